"""Whatever happens to a call in whatever order, what the contract promises holds."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from broker.domain import progress
from broker.domain.customer import Customer, Folding, LookupResult, LookupState
from broker.domain.messages import TRACKING, MessageState, Sender, Tracking, When
from broker.domain.progress import Finding, Policy
from broker.domain.record import NUMBER, Over, Record, Session, Step, Written
from broker.domain.variables import PROFILE, STEP, Variables

if TYPE_CHECKING:
    from broker.domain.record import Outcome

URL = "https://shop.example.com/track/{track_id}"
MOVES = {
    MessageState.QUEUED: {MessageState.SENDING, MessageState.FAILED},
    MessageState.SENDING: {
        MessageState.QUEUED,
        MessageState.SENT,
        MessageState.FAILED,
        MessageState.UNKNOWN,
    },
    MessageState.UNKNOWN: {MessageState.SENT},
    MessageState.SENT: set(),
    MessageState.FAILED: set(),
}
"""Message state -> the states that may follow it."""
FAILURES = [s for s in LookupState if s not in {LookupState.FOUND, LookupState.WITHHELD}]
VARIABLES = Variables.configured(
    {"name": True, "customer_id": True, "extra.erp": True, "lookup_source": True}
)
NAMES = {*PROFILE.values(), *STEP.values(), *VARIABLES.names.values()}


def customer(number: int, crm: str, premium: bool | None) -> Customer:
    """Person `number` as `crm` knows him; every value says whose it is."""
    return Customer(
        f"{crm}-{number}",
        email=f"{number}@example.com",
        premium=premium,
        track_id=f"T-{crm}-{number}",
        name=f"name-{crm}-{number}",
        extra={"erp": f"erp-{crm}-{number}"},
    )


results = st.one_of(
    st.builds(
        lambda number, crm, premium: LookupResult(
            LookupState.FOUND, customer(number, crm, premium), crm
        ),
        st.integers(1, 2),
        st.sampled_from(["shop", "billing"]),
        st.sampled_from([True, False, False, None]),
    ),
    st.sampled_from(FAILURES).map(LookupResult),
)
policies = st.builds(
    lambda when, sent_by, conflict: Policy(
        tracking=Tracking(URL, when=when, sent_by=sent_by), folding=Folding(conflict)
    ),
    st.sampled_from([When.AUTO, When.AUTO, When.ON_REQUEST, When.NEVER]),
    st.sampled_from([Sender.BROKER, Sender.BROKER, Sender.PLATFORM]),
    st.sampled_from(["ambiguous", "priority"]),
)


class AnyCall(RuleBasedStateMachine):
    """One call; the rules are what jobs, replicas and automations may do to it at any time."""

    record: Record
    policy: Policy

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.first_customer: Customer | None = None
        self.first_outcome: Outcome | None = None
        self.queued_wrongly = False
        """After the end, or for a customer whom a reference contradicted."""
        self.written = False
        self.customer_written = False
        self.lives: list[MessageState] = []
        """The states of the tracking message, one after the other."""

    def _become(self, record: Record) -> None:
        before, self.record = self.record, record
        self.first_customer = self.first_customer or record.customer
        self.first_outcome = self.first_outcome or record.outcome
        message, had = record.message(TRACKING), before.message(TRACKING)
        if message is not None and (had is None or had.state is not message.state):
            self.lives.append(message.state)
            forbidden = before.over is not None or before.contradicted
            self.queued_wrongly |= had is None and forbidden

    def _pick(self, data: st.DataObject, likely: list[Step]) -> str:
        """A step: mostly one of the `likely`, now and then any, as after a lost reply."""
        steps = likely if likely and data.draw(st.integers(0, 4)) else self.record.steps
        return data.draw(st.sampled_from([step.name for step in steps]))

    @initialize(policy=policies, withheld=st.booleans())
    def call_starts(self, policy: Policy, withheld: bool) -> None:
        self.policy = policy
        preset = LookupState.WITHHELD if withheld else None
        number = None if withheld else "+493023125001"
        step = Step(NUMBER, self.now, number, preset=preset)
        self.record = Record("call", self.now, self.now + 1800, steps=(step,))

    @precondition(lambda self: self.record.over is None and self.record.tries < 4)
    @rule(limited=st.booleans())
    def reference_is_typed(self, limited: bool) -> None:
        self.now += 1
        name = f"reference-{self.record.tries + 1}"
        refused = LookupState.NOT_FOUND if limited else None
        reason = "reference_limit" if limited else None
        step = Step(name, self.now, name, preset=refused, reason=reason)
        self._become(progress.add_reference(self.record, step, self.policy))

    @rule(data=st.data(), result=results, late=st.booleans())
    def lookup_ends(self, data: st.DataObject, result: LookupResult, late: bool) -> None:
        name = self._pick(data, [s for s in self.record.steps if not s.done and s.lookup is None])
        step = self.record.step(name)
        if step.preset is not None:
            result = LookupResult(step.preset, reason=step.reason)
        if late and step.lookup is not LookupState.TIMEOUT:
            return  # only a step that timed out is listened to
        finding = Finding(result, 12, late, Session("session", "given"))
        self.now += 1
        self._become(progress.decide(self.record, name, finding, self.policy, self.now))

    @rule(data=st.data(), written=st.sampled_from(Written), final=st.booleans())
    def write_ends(self, data: st.DataObject, written: Written, final: bool) -> None:
        decided = [s for s in self.record.steps if s.lookup is not None and not s.done]
        name = self._pick(data, decided)
        if self.record.step(name).lookup is None:
            return  # nothing to write
        counts = written is Written.OK and not self.record.step(name).done
        self.written |= counts
        self.customer_written |= counts and self.record.customer is not None
        self.now += 1
        reason = "write_failed" if written is Written.FAILED else None
        self._become(
            progress.wrote(
                self.record,
                name,
                written,
                final=final or self.record.step(name).lookup is not LookupState.TIMEOUT,
                policy=self.policy,
                now=self.now,
                reason=reason,
            )
        )

    @rule(data=st.data(), reason=st.sampled_from([None, "expired", "unwritten"]))
    def step_is_given_up(self, data: st.DataObject, reason: str | None) -> None:
        if data.draw(st.integers(0, 2)):
            return
        name = self._pick(data, list(self.record.steps))
        step = self.record.step(name)
        if reason is None and step.written is None:
            reason = "expired"
        self._become(progress.finish_step(self.record, name, reason))

    @rule(data=st.data(), why=st.sampled_from(Over))
    def call_ends(self, data: st.DataObject, why: Over) -> None:
        if data.draw(st.integers(0, 2)):
            return
        self.now += 1
        self._become(progress.end(self.record, why, self.now))

    @rule()
    def message_is_asked_for(self) -> None:
        self.now += 1
        self._become(progress.request_tracking(self.record, self.policy, self.now))

    @precondition(lambda self: self.record.messages)
    @rule(
        event=st.sampled_from(["begin", "taken", "later", "refused", "lost"]),
        attempt=st.integers(0, 3),
    )
    def channel_answers(self, event: str, attempt: int) -> None:
        self.now += 1
        record = {
            "begin": lambda: progress.sending(self.record, TRACKING),
            "taken": lambda: progress.sent(self.record, TRACKING, attempt, "id"),
            "later": lambda: progress.not_sent(self.record, TRACKING, "no", self.now + 2),
            "refused": lambda: progress.not_sent(self.record, TRACKING, "no"),
            "lost": lambda: progress.lost(self.record, TRACKING),
        }[event]()
        self._become(record)

    @invariant()
    def one_call_has_one_customer_at_most(self) -> None:
        assert self.record.customer == self.first_customer

    @invariant()
    def an_outcome_exists_exactly_when_all_is_over_and_never_changes(self) -> None:
        record = self.record
        resolved = all(step.done for step in record.steps) and not any(
            message.state.pending for message in record.messages
        )
        assert (record.outcome is not None) is (record.over is not None and resolved)
        assert record.outcome is self.first_outcome

    @invariant()
    def the_session_shows_nobody_elses_data(self) -> None:
        shown = VARIABLES.of(self.record)
        assert shown.keys() <= NAMES
        assert "" not in shown.values()
        if self.record.customer is None:
            assert shown.keys() <= {"ivr.lookup", "ivr.route", "ivr.lookup_source"}
            return
        mine = self.record.customer
        assert shown["ivr.email"] == mine.email
        assert shown["ivr.name"] == mine.name
        assert shown["ivr.track_id"] == mine.track_id
        assert shown["ivr.customer_id"] == mine.id
        assert shown["ivr.erp"] == mine.extra["erp"]

    @invariant()
    def a_message_needs_a_written_customer_and_a_living_call(self) -> None:
        assert len(self.record.messages) <= 1
        assert not self.queued_wrongly
        if self.record.messages:
            assert self.customer_written
            assert self.policy.tracking.refusal is None

    @invariant()
    def a_message_only_moves_forward(self) -> None:
        assert all(after in MOVES[before] for before, after in pairwise(self.lives))

    @invariant()
    def the_outcome_tells_what_the_session_got(self) -> None:
        outcome = self.record.outcome
        if outcome in {"premium", "informed", "messaged", "message_unknown"}:
            assert self.customer_written
        if outcome in {"call_gone", "expired"}:
            assert not self.written
            assert not self.record.messages

    def teardown(self) -> None:
        """However it stands now: once everything is resolved, the call has its outcome."""
        if not hasattr(self, "record"):
            return
        record = progress.end(self.record, Over.ENDED, self.now)
        for step in record.steps:
            record = progress.finish_step(record, step.name, "unwritten")
        if record.message(TRACKING) is not None:
            record = progress.not_sent(progress.lost(record, TRACKING), TRACKING, "refused")
        assert record.outcome is not None
        assert record.customer == self.first_customer


TestAnyCall = AnyCall.TestCase
TestAnyCall.settings = settings(max_examples=200, stateful_step_count=25)

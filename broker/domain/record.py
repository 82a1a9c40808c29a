"""The call's record: everything the ledger knows of one call, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - the store's codec reads the annotations
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from broker.domain.call import CallRef
from broker.domain.customer import Customer, LookupState
from broker.domain.evolve import evolve
from broker.domain.identities import Identity  # noqa: TC001 - the store's codec reads it
from broker.domain.messages import CrmEntry, EntryState, Message, MessageState
from broker.domain.routing import Route

POISON = "poison"
"""The reason of work that was given up because whoever began it never finished it."""
NUMBER = "number"
"""The step that looks the caller's number up; the others are `reference-1`, `reference-2` ..."""


ANSWER: Literal["answer"] = "answer"
"""The source of a session that is written nowhere: the answer to the automation is all of it."""


class Phase(StrEnum):
    """Where a call stands with us."""

    ACCEPTED = "accepted"
    LOOKING_UP = "looking_up"
    WAITING_REFERENCE = "waiting_reference"
    MESSAGING = "messaging"
    DECIDED = "decided"
    OVER = "over"


class Outcome(StrEnum):
    """How a call ended with us; exactly one of these, once."""

    CALL_GONE = "call_gone"
    EXPIRED = "expired"
    MESSAGED = "messaged"
    MESSAGE_UNKNOWN = "message_unknown"
    FAILED = "failed"
    SUPPRESSED = "suppressed"
    PREMIUM = "premium"
    INFORMED = "informed"
    NO_MATCH = "no_match"


class Written(StrEnum):
    """What became of a step's session write."""

    OK = "ok"
    FAILED = "failed"


class Over(StrEnum):
    """What ended the call for us."""

    ENDED = "ended"
    GONE = "gone"
    IDLE = "idle"


@dataclass(frozen=True)
class Session:
    """The platform's variable store of a live call, and how we know its id."""

    id: str
    source: Literal["given", "resolved", "guessed", "answer"]


@dataclass(frozen=True)
class CallData:
    """What the automation told us about the call, as it came."""

    session_id: str | None = None
    from_: str | None = None
    to: str | None = None
    agent_id: str | None = None
    anonymous: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)
    by_answer: bool = False
    """Whether whoever told us acts on our answer: nothing is written out for this call."""


@dataclass(frozen=True)
class Step:
    """One lookup within a call: of the caller's number, or of one reference he typed."""

    name: str
    received_at: float
    value: str | None = None
    """E.164 number or normalised reference; personal data."""
    preset: LookupState | None = None
    """Set if nobody is asked: withheld, malformed or over a limit."""
    lookup: LookupState | None = None
    """None until decided."""
    route: Route | None = None
    reason: str | None = None
    contradicts: bool = False
    """Whether it named somebody else than the customer on the call."""
    learned: bool = False
    """Whether the number led to him by a reference that was typed from it on an earlier call."""
    source: str | None = None
    lookup_ms: int | None = None
    decided_at: float | None = None
    written: Written | None = None
    done: bool = False
    """Nothing is left to do for it; an intermediate timeout is decided but not done."""
    repair: int = 0
    """Raised by each wish that what the call shows now is written again; 0 = none is open."""

    @property
    def is_reference(self) -> bool:
        return self.name != NUMBER

    @property
    def owns_number(self) -> bool:
        """Whether a CRM says that the calling number is the customer's own."""
        return self.name == NUMBER and self.lookup is LookupState.FOUND and not self.learned

    @property
    def answered(self) -> bool:
        """Whether its outcome is decided and its session write done or given up."""
        return self.done or self.written is not None

    @property
    def cut(self) -> bool:
        """Whether the call was over before this step had a result."""
        return self.done and self.written is None and self.reason in {"call_over", "unwritten"}


@dataclass(frozen=True)
class Offered:
    """What the rules said when it was last asked whether to offer this caller a channel."""

    offer: bool
    rule: str
    """Which rule decided."""
    forced: bool = False
    """Whether the call flow should offer nothing else."""
    channels: tuple[str, ...] = ()
    text: str | None = None


@dataclass(frozen=True)
class Record:
    """One call. Frozen: every change is a new record, saved by the ledger in one atomic step."""

    id: str
    received_at: float
    idle_at: float
    """When the call is over if nothing more is heard of it."""
    data: CallData = field(default_factory=CallData)
    session: Session | None = None
    aliases: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    customer: Customer | None = None
    customer_crm: str | None = None
    decisions: int = 0
    """Raised by everything that changes what the session should show."""
    touched: bool = False
    """Whether anything of ours was ever written into the session."""
    tracking_requested: bool = False
    messages: tuple[Message, ...] = ()
    over: Over | None = None
    over_at: float | None = None
    disposition: str | None = None
    outcome: Outcome | None = None
    reason: str | None = None
    note: CrmEntry | None = None
    """On the customer's record in his CRM, once the call has its outcome; None = there is none."""
    standalone: bool = False
    """A deflection without a call: it has messages and nothing else."""
    deflected_before: bool | None = None
    """Whether this caller was moved to a channel on an earlier call; None = nobody looked."""
    first_call: bool | None = None
    """Whether it is the caller's first call within the frequency window; None = nobody looked."""
    offered: Offered | None = None
    choice: str | None = None
    """What the caller chose last, in one word."""
    invalid_choices: int = 0
    identities: tuple[Identity, ...] = ()
    """Whom the person is known as on channels where his handle came back."""

    @property
    def ref(self) -> CallRef:
        return CallRef(self.id, self.data.session_id)

    def step(self, name: str) -> Step:
        for step in self.steps:
            if step.name == name:
                return step
        raise LookupError(f"the call has no step {name}")

    def with_step(self, changed: Step) -> Record:
        return evolve(
            self, steps=tuple(changed if s.name == changed.name else s for s in self.steps)
        )

    def reference(self, value: str) -> Step | None:
        """The step of this normalised reference, if it was typed before."""
        return next((s for s in self.steps if s.is_reference and s.value == value), None)

    @property
    def tries(self) -> int:
        return sum(step.is_reference for step in self.steps)

    def message(self, purpose: str) -> Message | None:
        return next((m for m in self.messages if m.purpose == purpose), None)

    def with_message(self, changed: Message) -> Record:
        kept = tuple(m for m in self.messages if m.purpose != changed.purpose)
        return evolve(self, messages=(*kept, changed))

    @property
    def shown(self) -> Step | None:
        """The step whose result the session shows: the latest decided one.

        Once a customer is on the call, a later lookup that led to nobody does not hide him; only
        a reference of somebody else does.
        """
        decided = [step for step in reversed(self.steps) if step.lookup is not None]
        if self.customer is not None:
            telling = (s for s in decided if s.lookup is LookupState.FOUND or s.contradicts)
            return next(telling, None)
        return next(iter(decided), None)

    @property
    def informed(self) -> bool:
        """Whether the customer stands in the session."""
        return any(s.lookup is LookupState.FOUND and s.written is Written.OK for s in self.steps)

    @property
    def contradicted(self) -> bool:
        """Whether a reference named somebody else than the call's customer."""
        return any(step.contradicts for step in self.steps)

    @property
    def trusted(self) -> Customer | None:
        """The call's customer, unless somebody typed another one's reference."""
        return None if self.contradicted else self.customer

    @property
    def phase(self) -> Phase:
        if self.over is not None:
            return Phase.OVER
        pending = [step for step in self.steps if step.lookup is None and not step.done]
        if pending or not self.steps:
            asked = any(step.preset is None for step in pending)
            return Phase.LOOKING_UP if asked else Phase.ACCEPTED
        if any(message.state.pending for message in self.messages):
            return Phase.MESSAGING
        shown = self.shown
        if shown is not None and shown.route is Route.REFERENCE:
            return Phase.WAITING_REFERENCE
        return Phase.DECIDED

    @property
    def state(self) -> str:
        return str(self.outcome or self.phase)


def add_alias(record: Record, alias: str) -> Record:
    if alias in (record.id, *record.aliases):
        return record
    return evolve(record, aliases=(*record.aliases, alias))


def show_again(record: Record) -> Record:
    """What the session shows has changed: it is written once more, while the call lives."""
    if record.over is not None or not record.steps:
        return record
    step = record.shown or record.steps[-1]
    wished = record.with_step(evolve(step, repair=step.repair + 1))
    return evolve(wished, decisions=record.decisions + 1)


def settled(record: Record) -> Record:
    """`record` with its outcome, once the call is over and nothing is pending."""
    if record.outcome is not None or record.over is None or record.standalone:
        return record
    if any(not step.done for step in record.steps):
        return record
    if any(message.state.pending for message in record.messages):
        return record
    outcome, reason = _outcome(record)
    return evolve(record, outcome=outcome, reason=reason, note=_note_wanted(record))


def _note_wanted(record: Record) -> CrmEntry | None:
    """A call that has its outcome wants its note, if it is to have one.

    None once a reference named somebody else: nobody knows whose call it was.
    """
    over_at = record.over_at or record.received_at
    if record.note is None or record.contradicted:
        return None
    return evolve(record.note, state=EntryState.WANTED, since=over_at, due_at=over_at)


def _outcome(record: Record) -> tuple[Outcome, str | None]:
    """The first that fits, in the order of the contract."""
    states = {message.state for message in record.messages}
    expired = any(step.reason == "expired" for step in record.steps)
    failure = _failure(record)
    suppressed = states & {MessageState.SUPPRESSED, MessageState.EXPIRED}
    customer = record.customer if record.informed else None
    premium = customer is not None and customer.premium is True and not record.contradicted
    shown = record.shown
    fitting = (
        (_gone(record), Outcome.CALL_GONE, None),
        (expired and not (record.touched or record.messages), Outcome.EXPIRED, None),
        (any(state.arrived for state in states), Outcome.MESSAGED, None),
        (MessageState.UNKNOWN in states, Outcome.MESSAGE_UNKNOWN, None),
        (failure is not None, Outcome.FAILED, failure),
        (bool(suppressed), Outcome.SUPPRESSED, next((m.reason for m in record.messages), None)),
        (premium, Outcome.PREMIUM, None),
        (customer is not None, Outcome.INFORMED, None),
        (True, Outcome.NO_MATCH, str(shown.lookup) if shown and shown.lookup else None),
    )
    return next((outcome, reason) for fits, outcome, reason in fitting if fits)


def _gone(record: Record) -> bool:
    """Whether the call was over before anything was written, and not just impossible to write.

    Who consented at once to a message, and hung up, is not gone: the message tells how it ended.
    """
    if record.touched or record.messages:
        return False
    cut = not record.steps or any(step.cut for step in record.steps)
    untried = all(step.written is None for step in record.steps)
    return record.over is Over.GONE or (cut and untried)


def _failure(record: Record) -> str | None:
    """Why a write or a message failed for good, or None."""
    failed = next((m for m in record.messages if m.state is MessageState.FAILED), None)
    if failed is not None:
        return failed.reason or "message_failed"
    if any(step.reason == POISON for step in record.steps):
        return POISON
    shown = record.shown
    if shown is not None and shown.written is Written.FAILED:
        return "session_not_found" if shown.reason == "session_not_found" else "write_failed"
    return None

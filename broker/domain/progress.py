"""How a call moves on: every change of a record, as a pure function from record to record."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from broker.domain import crm_entries
from broker.domain.customer import LEARNED, Folding, LookupResult, LookupState
from broker.domain.deflection import Deflection
from broker.domain.evolve import evolve
from broker.domain.messages import (
    EMAIL,
    TRACKING,
    CrmEntry,
    Message,
    Tracking,
    When,
    message_id,
)
from broker.domain.record import (
    POISON,
    Over,
    Record,
    Session,
    Step,
    Written,
    add_alias,
    settled,
)
from broker.domain.routing import Route, Routing
from broker.domain.sending import lost, not_sent

OTHER_CUSTOMER = "other_customer"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator decided about calls; everything a decision may depend on."""

    routing: Routing = field(default_factory=Routing)
    folding: Folding = field(default_factory=Folding)
    tracking: Tracking = field(default_factory=Tracking)
    deflection: Deflection = field(default_factory=Deflection)
    notes: frozenset[str] = frozenset()
    """The CRMs that get a note of every call of their customers."""
    idle_s: float = 1800.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What a lookup brought for a step."""

    result: LookupResult
    ms: int
    late: bool = False
    session: Session | None = None
    deflected_before: bool | None = None
    """Whether this caller was moved to a channel on an earlier call; None = nobody looked."""
    first_call: bool | None = None
    """Whether he has not called within the frequency window; None = nobody looked."""


def heard(record: Record, policy: Policy, now: float) -> Record:
    """Something was told of the call: it is alive, unless it is over."""
    return record if record.over is not None else evolve(record, idle_at=now + policy.idle_s)


def add_leg(record: Record, leg_id: str, policy: Policy, now: float) -> Record:
    """A child leg of the call began: the call is alive, and known by the leg's id too."""
    if record.over is not None:
        return record
    return heard(add_alias(record, leg_id), policy, now)


def add_reference(record: Record, step: Step, policy: Policy) -> Record:
    """A reference was typed: one more step, and the call is alive."""
    return evolve(record, steps=(*record.steps, step), idle_at=step.received_at + policy.idle_s)


def decide(record: Record, name: str, finding: Finding, policy: Policy, now: float) -> Record:
    """What the lookup of a step means for the call. At most one customer ever gets on it.

    The record comes back with the step cut if the call is over, and unchanged if there is nothing
    new to show (a late lookup that led to nobody, a step that is already done).
    """
    step = record.step(name)
    if step.done:
        return record
    if record.over is not None:
        return settled(record.with_step(evolve(step, done=True, reason="call_over")))
    if step.lookup is not None and not finding.late:
        return record
    result = _against_customer(record, finding.result, policy.folding)
    if finding.late and (record.customer is not None or result.state is not LookupState.FOUND):
        return record
    decided = evolve(
        step,
        lookup=result.state,
        route=_route(step, result, policy.routing),
        reason=result.reason or step.reason,
        contradicts=result.reason == OTHER_CUSTOMER,
        learned=result.reason == LEARNED,
        source=result.source,
        lookup_ms=finding.ms,
        decided_at=now,
        written=None,
    )
    if result.customer is not None and record.customer is None:
        steps = tuple(_superseded(other, name) for other in record.steps)
        record = evolve(
            record,
            customer=result.customer,
            customer_crm=result.source,
            steps=steps,
            note=CrmEntry(result.source) if result.source in policy.notes else None,
        )
    if finding.first_call is not None:
        record = evolve(
            record, first_call=finding.first_call, deflected_before=finding.deflected_before
        )
    return evolve(
        record.with_step(decided),
        session=finding.session or record.session,
        decisions=record.decisions + 1,
    )


def _superseded(step: Step, found_by: str) -> Step:
    """With a customer on the call, the number lookup is no longer waited for."""
    if step.is_reference or step.name == found_by or step.done:
        return step
    if step.lookup is None:
        return evolve(step, done=True, reason="superseded")
    return evolve(step, done=True) if step.written is not None else step


def _against_customer(record: Record, result: LookupResult, folding: Folding) -> LookupResult:
    """`result`, or ambiguous if it names somebody else than the customer on the call."""
    known, named = record.customer, result.customer
    if known is None or named is None:
        return result
    same_record = record.customer_crm == result.source and known.id == named.id
    if same_record or folding.same_person(known, named):
        return replace(result, customer=known, source=record.customer_crm)
    return LookupResult(LookupState.AMBIGUOUS, reason=OTHER_CUSTOMER)


def _route(step: Step, result: LookupResult, routing: Routing) -> Route:
    if result.customer is not None:
        return routing.found(result.customer)
    if step.is_reference:
        limited = step.reason in {"reference_limit", "reference_off"}
        tries = routing.tries_per_call if limited else int(step.name.rpartition("-")[2])
        return routing.reference_failed(result.state, tries)
    return routing.number_failed(result.state)


def wrote(  # noqa: PLR0913 - the facts of one write, each named at the call
    record: Record,
    name: str,
    written: Written,
    *,
    final: bool,
    policy: Policy,
    now: float,
    reason: str | None = None,
) -> Record:
    """A step's session write succeeded or was given up; `final` if nothing is left to look up."""
    step = record.step(name)
    if step.done:
        return record
    changed = evolve(step, written=written, done=final, reason=reason or step.reason)
    record = record.with_step(changed)
    if written is Written.OK:
        record = _touched(record)
    return settled(_queue_tracking(record, policy, now))


def _touched(record: Record) -> Record:
    return evolve(record, touched=True, steps=tuple(_made_up_for(step) for step in record.steps))


def ask_repair(record: Record, name: str) -> Record:
    """A write for this step may land after a newer one: what is true has to be written again."""
    step = record.step(name)
    return record.with_step(evolve(step, repair=step.repair + 1))


def repaired(record: Record, name: str, policy: Policy, now: float) -> Record:
    """What the call shows has been written again for this step."""
    record = _touched(record.with_step(evolve(record.step(name), repair=0)))
    return settled(_queue_tracking(record, policy, now))


def _made_up_for(step: Step) -> Step:
    """A write shows the whole record, so one that succeeds repairs those that failed before."""
    if step.written is not Written.FAILED:
        return step
    return evolve(step, written=Written.OK, reason=None)


def finish_step(record: Record, name: str, reason: str | None = None) -> Record:
    """Nothing (more) is to be done for this step."""
    step = record.step(name)
    if step.done:
        return record
    return settled(record.with_step(evolve(step, done=True, reason=reason or step.reason)))


def bury(record: Record, work: str) -> Record:
    """Give up work that no replica survives. How far a message got that was begun, nobody knows."""
    kind, _, name = work.partition(":")
    if kind == "step":
        return finish_step(record, name, POISON)
    if kind == "repair":
        return record.with_step(evolve(record.step(name), repair=0, reason=POISON))
    if kind in {crm_entries.TICKET, crm_entries.NOTE}:
        return crm_entries.failed(record, work)
    return not_sent(lost(record, name), name, POISON)


def end(record: Record, why: Over, now: float, disposition: str | None = None) -> Record:
    """The call is over. Steps without result are cut; one whose write is under way is not.

    Unless the session is gone: then no write can succeed, whatever ended the call before.
    """
    steps = tuple(_over(step, gone=why is Over.GONE) for step in record.steps)
    if record.over is not None:
        return settled(evolve(record, steps=steps))
    return settled(evolve(record, over=why, over_at=now, disposition=disposition, steps=steps))


def _over(step: Step, *, gone: bool) -> Step:
    """After hang-up nobody looks up or listens for late hits; a write under way still reports."""
    if step.done:
        return step
    if step.lookup is None:
        return evolve(step, done=True, reason="call_over")
    if step.written is not None:
        return evolve(step, done=True)
    return evolve(step, done=True, reason="unwritten") if gone else step


def tracking_refusal(record: Record, policy: Policy) -> str | None:
    """Why a tracking message that is asked for now cannot be sent, as an error code."""
    if (refusal := policy.tracking.refusal) is not None:
        return refusal
    if record.over is not None or record.contradicted:
        return "nothing_to_send"
    written = record.informed and _sendable(record, policy)
    expected = record.customer is None or _sendable(record, policy)
    to_come = expected and any(not step.done for step in record.steps)
    return None if written or to_come else "nothing_to_send"


def request_tracking(record: Record, policy: Policy, now: float) -> Record:
    """A later node of the flow wants the tracking message sent."""
    if record.message(TRACKING) is not None or tracking_refusal(record, policy) is not None:
        return record
    asked = evolve(record, tracking_requested=True, idle_at=now + policy.idle_s)
    return _queue_tracking(asked, policy, now)


def _sendable(record: Record, policy: Policy) -> bool:
    customer = record.customer
    if customer is None or not customer.track_id:
        return False
    return policy.tracking.place(record) is not None


def _queue_tracking(record: Record, policy: Policy, now: float) -> Record:
    """Queue the tracking message if it is due: informed, alive, wanted, and never twice."""
    shown = record.shown
    wanted = record.tracking_requested or (
        policy.tracking.when is When.AUTO
        and shown is not None
        and shown.route is Route.SELF_SERVICE
    )
    if (
        not wanted
        or policy.tracking.refusal is not None
        or record.over is not None
        or record.contradicted
        or record.message(TRACKING) is not None
        or not (record.informed and _sendable(record, policy))
    ):
        return record
    place = policy.tracking.place(record)
    channel = place[0] if place else policy.tracking.channel
    if channel != EMAIL:
        record = add_alias(record, message_id(record.id, TRACKING))  # receipts name it so
    return record.with_message(Message(TRACKING, channel, queued_at=now, due_at=now))

"""Who calls: a call starts, or the caller types a reference. Two doors into one lookup."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import structlog

from broker.domain.call import Caller, Phone
from broker.domain.customer import LookupState
from broker.domain.errors import UnknownCallError
from broker.domain.progress import add_leg, add_reference
from broker.domain.record import NUMBER, CallData, Record, Step
from broker.domain.references import ReferenceLimits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.domain.call import Numbering, ReferenceFormat
    from broker.domain.progress import Policy
    from broker.domain.references import Limit
    from broker.metrics import Metrics
    from broker.ports import Clock, Counters, Known
    from broker.usecases.book import Book
    from broker.usecases.hooks import Hooks

log = structlog.get_logger("broker.identify")


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A call-start automation, ids checked. A child leg never starts a lookup."""

    call_id: str
    session_id: str | None = None
    from_: str | None = None
    to: str | None = None
    parent_id: str | None = None
    outbound: bool = False
    agent_id: str | None = None
    anonymous: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)
    by_answer: bool = False
    """Whether the sender acts on our answer, whatever the configured platform does."""

    @property
    def is_child(self) -> bool:
        return self.parent_id is not None or self.outbound


@dataclass(frozen=True, slots=True)
class Identify:
    """Accepts calls and references; the lookup itself is a job of the ledger."""

    book: Book
    clock: Clock
    counters: Counters
    metrics: Metrics
    policy: Policy
    numbering: Numbering
    references: ReferenceFormat
    limits: ReferenceLimits = field(default_factory=ReferenceLimits)
    hooks: Hooks | None = None

    async def on_call_start(self, event: CallStarted) -> Record | None:
        """The call's record, new or known; None for an erased call, or a child leg of no call."""
        if event.is_child:
            return await self._on_child(event)
        now = self.clock.time()
        number = self._number(event)
        step = _number_step(number, now)
        record = self._new_record(event, number, now, (step,))
        note = {"at": now, "event": "accepted", "step": NUMBER}
        try:
            known = (await self.book.open(record, [note])).record
        except UnknownCallError:
            return None
        if known.over is None and not any(s.name == NUMBER for s in known.steps):
            # Only a reference was heard of this call so far.
            known = await self.book.save(known.id, partial(_add_number, step=step), notes=[note])
        return known

    async def _on_child(self, event: CallStarted) -> Record | None:
        known = await self.book.ledger.read(event.parent_id or event.call_id)
        parent = known.record if known is not None else None
        if known is None or parent is None or parent.over is not None:
            return parent
        if parent.id != event.call_id:
            now = self.clock.time()
            leg = partial(add_leg, leg_id=event.call_id, policy=self.policy, now=now)
            parent = await self.book.save(known, leg)
        if event.agent_id is not None and self.hooks is not None:
            self.hooks.agent_rings(parent, event.call_id, event.agent_id)
        return parent

    async def on_reference(
        self, event: CallStarted, typed: str | None
    ) -> tuple[Record | None, str]:
        """The call's record and the name of the step that answers for what was typed.

        The same value again is the same step. A call that is over has no new steps: the name is
        that of its last one, or empty. None for an erased call, or a child leg of no call.
        """
        found = await self.book.ledger.read(event.parent_id or event.call_id)
        if found is None and event.is_child:
            return None, ""
        if found is None:
            new = self._new_record(event, self._number(event), self.clock.time(), ())
            try:
                record = (await self.book.open(new)).record
            except UnknownCallError:
                return None, ""
        else:
            record = found.record
        value = self.references.normalise(typed)
        known = self._answered_by(record, value)
        if record.over is None and known is None:
            return await self._new_reference(found or record.id, record, value)
        if found is not None:
            await self.book.vouch(found)
        return record, _last(record) if record.over is not None or known is None else known.name

    async def _new_reference(
        self, call: str | Known, record: Record, value: str
    ) -> tuple[Record, str]:
        limits = () if self._tries_used(record) else self.limits.of(record)
        full = await self.counters.reserve(limits)
        step = self._reference_step(value, full)
        note = {"at": step.received_at, "event": "accepted", "step": "reference"}
        added = False

        def change(current: Record) -> Record:
            nonlocal added
            added = current.over is None and self._answered_by(current, value) is None
            if not added:
                return current
            used = self._tries_used(current)
            counted = replace(step, name=f"reference-{current.tries + 1}")
            return add_reference(current, _limited(counted) if used else counted, self.policy)

        saved = await self.book.save(call, change, notes=[note])
        if added:
            if saved.steps[-1].reason == "reference_limit":
                self._report_limit(saved, full)
            return saved, _last(saved)
        if full is None:
            await self.counters.refund(limits)  # the same value came twice at once
        known = self._answered_by(saved, value)
        return saved, known.name if known is not None else _last(saved)

    def _answered_by(self, record: Record, value: str) -> Step | None:
        """The step that already answers for `value`: typed before, or one beyond the tries."""
        if value and (known := record.reference(value)) is not None:
            return known
        beyond = record.tries > self.policy.routing.tries_per_call
        return record.steps[-1] if beyond else None

    def _tries_used(self, record: Record) -> bool:
        return record.tries >= self.policy.routing.tries_per_call

    def _reference_step(self, value: str, full: Limit | None) -> Step:
        step = Step("reference", self.clock.time(), value)
        if not self.policy.routing.reference_enabled:
            return replace(step, preset=LookupState.NOT_FOUND, reason="reference_off")
        if full is not None:
            return _limited(step)
        malformed = self.references.parse(value) is None
        return replace(step, preset=LookupState.NOT_FOUND) if malformed else step

    def _report_limit(self, record: Record, full: Limit | None) -> None:
        name = full.key.partition(":")[0] if full is not None else "tries"
        self.metrics.reference_limits.labels(name).inc()
        log.warning("reference_limit", call=record.id, limit=name)

    def _number(self, event: CallStarted) -> Phone | Caller:
        return self.numbering.parse(event.from_, event.to, anonymous=event.anonymous)

    def _new_record(
        self, event: CallStarted, number: Phone | Caller, now: float, steps: tuple[Step, ...]
    ) -> Record:
        data = CallData(
            session_id=event.session_id,
            from_=number.e164 if isinstance(number, Phone) else event.from_,
            to=event.to,
            agent_id=event.agent_id,
            anonymous=event.anonymous,
            extra=event.extra,
            by_answer=event.by_answer,
        )
        aliases = () if event.session_id in {None, event.call_id} else (event.session_id,)
        return Record(
            id=event.call_id,
            received_at=now,
            idle_at=now + self.policy.idle_s,
            data=data,
            aliases=tuple(alias for alias in aliases if alias),
            steps=steps,
        )


def _add_number(record: Record, step: Step) -> Record:
    """The call-start of a call that a reference had opened; moot if it found the customer."""
    known = record.customer is not None or any(s.name == NUMBER for s in record.steps)
    if record.over is not None or known:
        return record
    return replace(record, steps=(step, *record.steps))


def _number_step(number: Phone | Caller, now: float) -> Step:
    if isinstance(number, Phone):
        return Step(NUMBER, now, number.e164)
    withheld = number is Caller.WITHHELD
    return Step(NUMBER, now, preset=LookupState.WITHHELD if withheld else LookupState.NOT_FOUND)


def _limited(step: Step) -> Step:
    return replace(step, preset=LookupState.NOT_FOUND, reason="reference_limit")


def _last(record: Record) -> str:
    return record.steps[-1].name if record.steps else ""

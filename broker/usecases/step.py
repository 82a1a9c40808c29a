"""One step from lease to finish: look up, decide, write into the session, listen on."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import structlog

from broker.domain.customer import LookupResult, LookupState
from broker.domain.errors import (
    BrokerError,
    CallEndedError,
    FencedError,
    SessionNotFoundError,
    StoreUnavailableError,
    UnknownCallError,
)
from broker.domain.evolve import evolve
from broker.domain.progress import (
    Finding,
    ask_repair,
    decide,
    end,
    finish_step,
    repaired,
    wrote,
)
from broker.domain.record import ANSWER, Over, Record, Session, Written
from broker.domain.references import ReferenceLimits
from broker.timing import time_limit
from broker.usecases.run import Deadlines, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from broker.domain.call import ReferenceFormat
    from broker.domain.progress import Policy
    from broker.domain.variables import Variables
    from broker.metrics import Metrics
    from broker.ports import CallPlatform, Clock, Counters, History, Lease, Note, Variable
    from broker.usecases.book import Book
    from broker.usecases.lookup import Lookup
    from broker.usecases.offer import Offers
    from broker.usecases.pacing import Pace

    Change = Callable[[Record], Record]

LATER_WRITE_S = 2.0
"""What a late or repeated session write may take."""
_STORE_RETRY_S = 0.2
_NOT_HIS_FAILURE = {LookupState.FOUND, LookupState.TIMEOUT, LookupState.ERROR}
log = structlog.get_logger("broker.step")


@dataclass(frozen=True, slots=True)
class StepJob:
    """Does the work of one leased step."""

    book: Book
    clock: Clock
    lookup: Lookup
    platform: CallPlatform
    counters: Counters
    metrics: Metrics
    policy: Policy
    variables: Variables
    references: ReferenceFormat
    pace: Pace
    deadlines: Deadlines = field(default_factory=Deadlines)
    limits: ReferenceLimits = field(default_factory=ReferenceLimits)
    history: History | None = None
    offers: Offers | None = None
    """Who says what is offered with each result; None = the call flow asks for itself."""
    _turns: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    """Per call: sessions writes of one call run one after the other on this replica."""

    async def run(self, lease: Lease) -> None:
        """Bring the step to its end. FencedError if another replica took it over meanwhile."""
        run = self._begin(lease)
        if run.step.done:
            return
        if lease.record.over is not None:
            await run.save(partial(finish_step, name=run.name, reason="unwritten"))
        elif run.age() > self.deadlines.useful_s:
            reason = "expired" if run.step.written is None else None
            if reason is not None:
                self.metrics.write_in_time("false").inc()
            await run.save(partial(finish_step, name=run.name, reason=reason))
        else:
            await self._ends_well(run, self._look_up_and_write(run))

    async def repair(self, lease: Lease) -> None:
        """Write what the call shows now once more: an older write may have landed on it."""
        run = self._begin(lease)
        await self._ends_well(run, self._write_again(run))

    def _begin(self, lease: Lease) -> Run:
        return Run(
            lease,
            self.book,
            self.clock,
            self.lookup,
            self.platform,
            self.references,
            self.deadlines,
            self.history if self.policy.deflection.on else None,
            self.policy.deflection.first_call_s,
        )

    async def _ends_well(self, run: Run, work: Coroutine[None, None, None]) -> None:
        """Do it, and leave no write behind that may hide what others found out meanwhile."""
        run.start()
        try:
            await work
        except Exception:
            await self._ask_repair(run)
            raise
        else:
            await self._ask_repair(run)
        finally:
            await run.close()

    async def _ask_repair(self, run: Run) -> None:
        """Needed if a write was begun here that could not be noted: it may have come too late."""
        while run.unnoted:
            try:
                await self.book.save(run.call_id, partial(ask_repair, name=run.name))
            except StoreUnavailableError:
                run.unnoted = run.age() <= self.deadlines.useful_s
                await self.clock.sleep(_STORE_RETRY_S)
            except UnknownCallError:
                return
            else:
                run.unnoted = False
                log.info("repair_asked", call=run.call_id, step=run.name)

    async def _write_again(self, run: Run) -> None:
        """Until nobody decided or asked anew meanwhile. If it fails, the lease runs out first."""
        async with self._turn(run.call_id):
            while run.step.repair and run.lease.record.over is None:
                record = run.lease.record
                written, _ = await self._put(run, record, LATER_WRITE_S)
                if written is None:
                    await run.save(partial(end, why=Over.GONE, now=self.clock.time()))
                elif written is Written.OK:
                    change = partial(
                        _repaired_if_current,
                        name=run.name,
                        written=record,
                        policy=self.policy,
                        now=self.clock.time(),
                    )
                    note = {"at": self.clock.time(), "event": "session_repaired"}
                    await run.save(change, [note])
                run.unnoted = False
                if written is Written.FAILED:
                    return

    async def _look_up_and_write(self, run: Run) -> None:
        step = run.step
        if self.offers is not None:
            self.offers.prepare()
        if step.lookup is None:
            await self._conclude(run, await self._first_finding(run))
        elif step.written is None:
            await self._write_under_lock(run)
        if not run.step.done and run.step.lookup is LookupState.TIMEOUT:
            await self._listen(run)

    async def _first_finding(self, run: Run) -> Finding:
        """What is known at the deadline; a reference's result not before its pace allows."""
        step, deadline = run.step, self.deadlines.lookup_s
        if step.preset is not None:
            result = LookupResult(step.preset, reason=step.reason)
        else:
            result = await run.asking.until(deadline - run.age())
        finding = Finding(result, run.age_ms())
        if step.is_reference and result.state is not LookupState.TIMEOUT:
            asked = step.preset is None
            hold = self.pace.hold(run.age(), asked=asked, deadline_s=deadline)
            await self.clock.sleep(hold)
        return finding

    async def _listen(self, run: Run) -> None:
        """After the deadline: a hit that comes late is written like a timely one."""
        listens_until = min(run.began_at + self.deadlines.late_s, self.deadlines.useful_s)
        result = await run.asking.hit_until(listens_until - run.age())
        if result.state is LookupState.FOUND:
            await self._conclude(run, Finding(result, run.age_ms(), late=True))
        if not run.step.done:
            await run.save(partial(finish_step, name=run.name))
            await self._give_back(run, result.state)

    async def _conclude(self, run: Run, finding: Finding) -> None:
        """Decide and write, both while no other step of this call does."""
        patience = max(0.0, self.deadlines.lookup_s - run.age())
        finding = replace(finding, session=await run.known_session(patience))
        if (seen := await run.seen()) is not None:
            finding = replace(
                finding, deflected_before=seen.deflected_before, first_call=seen.first_in_window
            )
        async with self._turn(run.call_id):
            change: Change = partial(
                decide, name=run.name, finding=finding, policy=self.policy, now=self.clock.time()
            )
            if self.offers is not None:
                change = await self.offers.after(change)
            await self._decide(run, change, finding)
            if finding.late and run.step.lookup is not LookupState.FOUND:
                return  # somebody else was found first, or the call is over
            if not run.step.done:
                await self._write(run, late=finding.late)
        await self._after(run, finding)

    async def _decide(self, run: Run, change: Change, finding: Finding) -> None:
        """Save the decision. While the store is away, say `timeout` and go on trying."""
        notes = run.notes()
        while True:
            asked_at = self.clock.monotonic()
            try:
                await run.save(change, notes)
            except StoreUnavailableError:
                if run.age() > self.deadlines.useful_s:
                    raise
                if asked_at < run.lease.expires <= self.clock.monotonic():
                    continue  # maybe this process stood still, and another knows better by now
                if not run.said_timeout and not finding.late:
                    run.said_timeout = True
                    await self._say_timeout(run)
            else:
                return
            await self.clock.sleep(_STORE_RETRY_S)

    async def _say_timeout(self, run: Run) -> None:
        """Without the ledger no customer may be shown, but the call flow gets its outcome."""
        step, record = run.step, run.lease.record
        if record.customer is not None or step.is_reference:
            route = "standard"
        else:
            route = str(self.policy.routing.number_failed(LookupState.TIMEOUT))
        session = record.session or await run.known_session(LATER_WRITE_S)
        if session is not None and record.customer is None:
            run.unnoted = True
            with suppress(BrokerError):
                values = self.variables.fallback("timeout", route)
                await self._tell(session, values, LATER_WRITE_S)

    async def _write_under_lock(self, run: Run) -> None:
        async with self._turn(run.call_id):
            await self._write(run, late=True)

    async def _write(self, run: Run, *, late: bool) -> None:
        """Write what the record says now, until nobody has decided anything newer meanwhile."""
        while not run.step.done:
            record = run.lease.record
            within = self.deadlines.write_s - run.age()
            if late or run.taken_over or within <= 0:
                within = LATER_WRITE_S
            written, reason = await self._put(run, record, within)
            if written is None:
                await run.save(partial(end, why=Over.GONE, now=self.clock.time()))
                run.unnoted = False
                return
            change = partial(
                _wrote_if_current,
                name=run.name,
                decisions=record.decisions,
                written=written,
                final=not run.listens,
                policy=self.policy,
                now=self.clock.time(),
                reason=reason,
            )
            self._count_write(run, written, first=not late)
            note = {"at": self.clock.time(), "event": "session_written", "outcome": written}
            saved = await self._keep(run, change, note)
            run.unnoted = False
            if saved.decisions == record.decisions:
                return
            late = True

    async def _keep(self, run: Run, change: partial[Record], note: Note) -> Record:
        """Save what became of a write, also if the store is away for a while: no second write."""
        while True:
            try:
                return await run.save(change, [note])
            except StoreUnavailableError:
                if run.age() > self.deadlines.useful_s:
                    raise
            await self.clock.sleep(_STORE_RETRY_S)

    async def _put(
        self, run: Run, record: Record, within: float
    ) -> tuple[Written | None, str | None]:
        """What became of one session write: None = the session is gone. Fenced by the lease."""
        if self.clock.monotonic() >= run.lease.expires:
            raise FencedError("the lease ran out before the write")
        run.unnoted = True
        try:
            with time_limit(within):
                session = record.session or await run.session()
                await self._tell(session, self.variables.of(record), within)
        except CallEndedError:
            return None, None
        except SessionNotFoundError:
            return Written.FAILED, "session_not_found"
        except Exception as error:  # noqa: BLE001 - foreign code: a driver must not end a call
            log.warning("write_failed", call=run.call_id, error=type(error).__name__)
            return Written.FAILED, "write_failed"
        return Written.OK, None

    async def _tell(self, session: Session, values: Mapping[str, Variable], within: float) -> None:
        if session.source != ANSWER:
            await self.platform.write(session, values, within=within)

    def _count_write(self, run: Run, written: Written, *, first: bool) -> None:
        self.metrics.session_write(written).inc()
        if written is Written.OK:
            self.metrics.call_to_write.observe(run.age())
        if first:
            in_time = written is Written.OK and run.age() <= self.deadlines.write_s
            self.metrics.write_in_time(str(in_time).lower()).inc()

    async def _after(self, run: Run, finding: Finding) -> None:
        """Tell the operator."""
        step = run.step
        lookup = step.lookup or finding.result.state
        self.metrics.lookup(lookup).inc()
        log.info(
            "step",
            call=run.call_id,
            step=run.name,
            lookup=str(lookup),
            route=step.route and str(step.route),
            reason=step.reason,
            ms=finding.ms,
            late=finding.late,
            written=step.written and str(step.written),
            crms=run.summary(),
        )
        if step.done or lookup is LookupState.FOUND:
            await self._give_back(run, lookup)

    async def _give_back(self, run: Run, state: LookupState) -> None:
        """Only a reference that nobody has counts as the caller's failure, early or late."""
        if run.step.is_reference and run.step.preset is None and state in _NOT_HIS_FAILURE:
            with suppress(StoreUnavailableError):
                await self.counters.refund(self.limits.of(run.lease.record))

    def _turn(self, call_id: str) -> asyncio.Lock:
        return self._turns.setdefault(call_id, asyncio.Lock())


def _repaired_if_current(
    record: Record, *, name: str, written: Record, policy: Policy, now: float
) -> Record:
    """The repair counts only if it showed the newest decision and was not wished for again."""
    if record.decisions != written.decisions:
        return evolve(record, touched=True)
    if record.step(name).repair != written.step(name).repair:
        return evolve(record, touched=True)
    return repaired(record, name, policy, now)


def _wrote_if_current(  # noqa: PLR0913 - the facts of one write
    record: Record,
    *,
    name: str,
    decisions: int,
    written: Written,
    final: bool,
    policy: Policy,
    now: float,
    reason: str | None,
) -> Record:
    """The write counts only if it showed the newest decision; otherwise it is repeated."""
    if record.decisions != decisions:
        return evolve(record, touched=record.touched or written is Written.OK)
    final = final or record.over is not None
    return wrote(record, name, written, final=final, policy=policy, now=now, reason=reason)

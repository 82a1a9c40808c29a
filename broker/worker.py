"""The loops around the ledger: run leased work here, renew it, claim what others left, drain."""

from __future__ import annotations

import asyncio
import random
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING

import structlog

from broker.domain.errors import FencedError, StoreUnavailableError, UnknownCallError
from broker.ports import SUSPECT_TRIES, JobStarter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from broker.domain.record import Record
    from broker.metrics import Metrics
    from broker.ports import Clock, Lease, Ledger

CLAIM_EVERY_S = 0.1
CLAIM_AT_MOST = 32
MOST_TRIES = 5
"""Steps and messages that were taken over more often are not run again but buried."""
LOOK_EVERY_S = 0.075
"""How often a waiting request looks at a call that another replica works on."""
LOOK_HERE_S = 1.0
"""The same for a call that is worked on here, whose changes wake whoever waits."""
log = structlog.get_logger("broker.worker")


_Waiter = tuple["Callable[[Record], bool]", "asyncio.Future[Record | None]"]


def _is_message(lease: Lease) -> bool:
    """Or something for a CRM: work that no caller waits for."""
    return lease.work.startswith(("message:", "ticket:", "note:"))


def _give_up(waiting: asyncio.Future[Record | None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


class Worker(JobStarter):
    """Runs leases as tasks, with a runner per kind of work.

    `step`, `repair`, `message`, `ticket`, `note`, `idle`, `poison`.
    """

    def __init__(self, ledger: Ledger, clock: Clock, metrics: Metrics, *, lease_s: float) -> None:
        self._ledger = ledger
        self._clock = clock
        self._metrics = metrics
        self._lease_s = lease_s
        self._runners: Mapping[str, Callable[[Lease], Awaitable[None]]] = {}
        self._held: dict[str, dict[str, tuple[Lease, asyncio.Task[None]]]] = {}
        """Call id -> work -> what runs here."""
        self._newest: dict[str, Record] = {}
        """Of the calls that something runs for here."""
        self._waiting: dict[str, list[_Waiter]] = {}
        self._running_calls = 0
        self._loops: list[asyncio.Task[None]] = []
        self._claiming = False
        self._claim_turn = asyncio.Lock()
        """Held while a claim is on its way: what it brings has to be known before a stop."""
        self.store_up = True

    def run_with(self, runners: Mapping[str, Callable[[Lease], Awaitable[None]]]) -> None:
        """Who does which kind of work; the use cases need the worker first, so it comes later."""
        self._runners = runners

    def open(self) -> None:
        """Begin to claim and renew."""
        self._claiming = True
        self._loops = [
            asyncio.create_task(self._claim_forever(), name="claim"),
            asyncio.create_task(self._renew_forever(), name="renew"),
        ]

    @property
    def in_flight(self) -> int:
        """How many lookups and session writes run here.

        Messages do not count: a mail server that hangs is no reason to refuse calls.
        """
        return self._running_calls

    def start(self, leases: Sequence[Lease]) -> None:
        for lease in leases:
            # A context of its own: a request's patience with the store ends with the request.
            task = asyncio.create_task(self._run(lease), name=lease.work, context=Context())
            self._held.setdefault(lease.call_id, {})[lease.work] = (lease, task)
            self._running_calls += not _is_message(lease)
            task.add_done_callback(partial(self._forget, lease))

    def cancel(self, call_id: str, work: str) -> None:
        _, task = self._held.get(call_id, {}).get(work, (None, None))
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def changed(self, record: Record) -> None:
        if record.id in self._held:
            self._newest[record.id] = record
        for reached, waiting in self._waiting.get(record.id, ()):
            if not waiting.done() and reached(record):
                waiting.set_result(record)

    async def wait(
        self, call_id: str, reached: Callable[[Record], bool], seconds: float
    ) -> Record | None:
        newest = self._newest.get(call_id)
        if newest is not None and reached(newest):
            return newest
        look_after = min(seconds, LOOK_HERE_S if call_id in self._held else LOOK_EVERY_S)
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[Record | None] = loop.create_future()
        waiter = (reached, waiting)
        self._waiting.setdefault(call_id, []).append(waiter)
        timer = loop.call_later(look_after, _give_up, waiting)
        try:
            return await waiting
        finally:
            timer.cancel()
            waiters = self._waiting[call_id]
            waiters.remove(waiter)
            if not waiters:
                del self._waiting[call_id]

    async def _run(self, lease: Lease) -> None:
        kind, _, name = lease.work.partition(":")
        if name and lease.tries > MOST_TRIES:
            kind = "poison"
        try:
            await self._runners[kind](lease)
        except FencedError:
            log.info("fenced", call=lease.call_id, work=lease.work)
        except UnknownCallError:
            log.warning("record_lost", call=lease.call_id, work=lease.work)
        except StoreUnavailableError as error:
            # Nothing is lost: the lease runs out, and whoever reaches the store goes on.
            log.warning("store_away", call=lease.call_id, work=lease.work, error=str(error))
        except Exception:
            log.exception("work_failed", call=lease.call_id, work=lease.work)

    def _forget(self, lease: Lease, _: asyncio.Task[None]) -> None:
        self._running_calls -= not _is_message(lease)
        works = self._held.get(lease.call_id, {})
        if works.get(lease.work, (None,))[0] is lease:
            del works[lease.work]
            if not works:
                del self._held[lease.call_id]
                self._newest.pop(lease.call_id, None)

    def _running(self) -> list[tuple[Lease, asyncio.Task[None]]]:
        return [held for works in self._held.values() for held in works.values()]

    def _ran_out(self) -> list[Lease]:
        now = self._clock.monotonic()
        return [lease for lease, _ in self._running() if lease.expires <= now]

    async def _claim_forever(self) -> None:
        while True:
            async with self._claim_turn:
                if self._claiming:
                    await self._claim()
            await self._clock.sleep(CLAIM_EVERY_S * random.uniform(0.7, 1.3))  # noqa: S311 - jitter

    async def _claim(self) -> None:
        try:
            # After a pause, of the store or of this process, what runs here goes on as it is.
            await self._ledger.renew(self._ran_out())
            leases = await self._ledger.claim(CLAIM_AT_MOST, 0 if self._runs_a_suspect() else 1)
        except StoreUnavailableError as error:
            self._store_is(up=False, detail=str(error))
            return
        except Exception:
            log.exception("claim_failed")  # the loop must outlive whatever it finds
            return
        self._store_is(up=True)
        for lease in leases:
            if lease.work.startswith("step:"):
                self._metrics.takeovers.inc()
                log.info("taken_over", call=lease.call_id, work=lease.work, epoch=lease.epoch)
        self.start(leases)

    def _runs_a_suspect(self) -> bool:
        """Then no other is taken: if it kills this process, no innocent one dies with it again."""
        return any(lease.tries >= SUSPECT_TRIES for lease, _ in self._running())

    def _store_is(self, *, up: bool, detail: str = "") -> None:
        """One line when the store goes away, one when it is back."""
        if up is not self.store_up:
            (log.info if up else log.warning)("store_back" if up else "store_away", detail=detail)
        self.store_up = up
        self._metrics.store_up.set(up)

    async def _renew_forever(self) -> None:
        """What is lost is not stopped: a write under way has to be repaired, a send noted."""
        while True:
            await self._clock.sleep(self._lease_s / 3)
            held = [lease for lease, _ in self._running()]
            if not held:
                continue
            try:
                await self._ledger.renew(held)
            except StoreUnavailableError as error:
                self._store_is(up=False, detail=str(error))
                continue
            except Exception:
                log.exception("renew_failed")

    async def drain(self, grace_s: float) -> None:
        """Claim nothing more, finish what runs here, hand the rest over to other replicas.

        The second time there is nothing left to do.
        """
        if not self._loops:
            return
        until = self._clock.monotonic() + grace_s
        self._claiming = False
        async with self._claim_turn:
            pass
        while (running := self._running()) and (remaining := until - self._clock.monotonic()) > 0:
            # What ends may start more: a step leaves a message to send.
            await asyncio.wait([task for _, task in running], timeout=remaining)
        left = self._running()
        for loop in self._loops:
            loop.cancel()
        for _, task in left:
            task.cancel()
        await asyncio.gather(*self._loops, *(t for _, t in left), return_exceptions=True)
        self._loops = []
        if left:
            log.info("handed_over", works=len(left))
            try:
                await self._ledger.release([lease for lease, _ in left])
            except StoreUnavailableError as error:
                log.warning("store_away", error=str(error))

"""Tell the platform of its calls: best effort, once, and never at the cost of a call."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from broker.domain.errors import AnswerLostError, BrokerError, StoreUnavailableError
from broker.domain.hooks import Hook, HookResult, call_report, screen_pop
from broker.domain.references import Limit
from broker.presence import Presence
from broker.usecases.lookup import STOP_WITHIN_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from broker.domain.record import Record
    from broker.metrics import Metrics
    from broker.ports import CallPlatform, Counters

    Work = Callable[[], Awaitable[None]]

TELL_WITHIN_S = 10.0
"""The most that one attempt may take; a driver may want less."""
AT_ONCE = 20
"""Far fewer than the platform's connections, which session writes need."""
WAITING = 200
"""More than that are dropped: session writes need such a platform more."""
REMEMBERED_S = 86_400.0
"""How long it is known that something was told: an automation may come again."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """Does its work in tasks of its own. What fails is counted, said once in the log, and lost."""

    platform: CallPlatform
    counters: Counters
    metrics: Metrics
    presence: Presence = field(default_factory=Presence)
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    def agent_rings(self, record: Record, leg_id: str, agent_id: str) -> None:
        """A leg of the call leads to this agent: show him who it is, once for each leg."""
        shows = self.platform.pops_screens and not record.data.by_answer
        pop = screen_pop(record, agent_id) if shows else None
        if pop is not None:
            work = partial(self.platform.pop_screen, pop, within=TELL_WITHIN_S)
            self._tell(Hook.SCREEN_POP, f"{leg_id}:{agent_id}", work)

    def call_over(self, record: Record) -> None:
        """The call has its outcome: put it into the platform's record, once."""
        if self.platform.logs_back and not record.data.by_answer:
            report = call_report(record)
            work = partial(self.platform.log_back, report, within=TELL_WITHIN_S)
            self._tell(Hook.LOG_BACK, record.id, work)

    def _tell(self, hook: Hook, about: str, work: Work) -> None:
        if len(self._running) >= WAITING:
            self._count(hook, HookResult.DROPPED)
            return
        task = asyncio.create_task(self._told(hook, about, work), name=hook)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _told(self, hook: Hook, about: str, work: Work) -> None:
        try:
            async with self._room:
                if await self._is_first(hook, about):
                    await self._attempt(hook, work)
        except StoreUnavailableError as error:
            self._failed(hook, HookResult.FAILED, str(error))

    async def _is_first(self, hook: Hook, about: str) -> bool:
        """Noted before it is done: what was begun is never begun again, by any replica."""
        once = Limit(f"{hook}:{about}", 1, REMEMBERED_S)
        return await self.counters.reserve([once]) is None

    async def _attempt(self, hook: Hook, work: Work) -> None:
        try:
            async with asyncio.timeout(TELL_WITHIN_S + 1):
                await work()
        except (AnswerLostError, TimeoutError) as error:
            self._failed(hook, HookResult.UNKNOWN, str(error) or "no answer in time")
        except BrokerError as error:
            self._failed(hook, HookResult.FAILED, str(error))
        except Exception as error:  # noqa: BLE001 - foreign code: a driver must not end a call
            self._failed(hook, HookResult.UNKNOWN, type(error).__name__)
        else:
            self.presence.answered(f"platform.{hook}")
            self._count(hook, HookResult.DONE)

    def _failed(self, hook: Hook, told: HookResult, detail: str) -> None:
        self.presence.failed(f"platform.{hook}", detail)
        self._count(hook, told)

    def _count(self, hook: Hook, told: HookResult) -> None:
        self.metrics.hooks.labels(hook, told).inc()

    async def aclose(self, seconds: float) -> None:
        """Give what runs `seconds` to end; what has not ended then is lost."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=seconds)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(set(self._running), timeout=STOP_WITHIN_S)

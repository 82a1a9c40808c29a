"""CRMs in shadow mode: asked with every lookup, compared, and never heard by the call."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from broker.domain.errors import StoreUnavailableError
from broker.domain.shadow import compare
from broker.usecases.lookup import STOP_WITHIN_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.metrics import Metrics
    from broker.ports import ShadowBook
    from broker.usecases.lookup import Asking, Crm


@dataclass(frozen=True, slots=True)
class Shadows:
    """Follows lookups with tasks of its own: whatever becomes of them, the call goes its way."""

    crms: Sequence[Crm]
    book: ShadowBook
    metrics: Metrics
    fields: Sequence[str]
    """What is compared of a customer."""
    deadline_ms: int
    """An answer after this would have been late in the call."""
    listens_s: float
    """How long the call's own CRMs are waited for, to have something to compare with."""
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    def follow(self, asking: Asking, call_id: str, step: str) -> None:
        """Ask every shadow what the call's CRMs are being asked."""
        for crm in self.crms:
            work = self._compare(crm, asking, call_id, step)
            task = asyncio.create_task(work, name=f"shadow {crm.name}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _compare(self, crm: Crm, asking: Asking, call_id: str, step: str) -> None:
        answer = await asking.answer_of(crm)
        await asking.until(self.listens_s)
        seen = compare(answer, asking.told(), fields=self.fields, deadline_ms=self.deadline_ms)
        self.metrics.shadow.labels(crm.name, seen.result).inc()
        with suppress(StoreUnavailableError):  # the store's absence is told by whoever needs it
            await self.book.note(crm.name, call_id, step, seen)

    async def aclose(self) -> None:
        """Stop comparing; what was not compared yet is not counted. No adapter is waited for."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(set(self._running), timeout=STOP_WITHIN_S)

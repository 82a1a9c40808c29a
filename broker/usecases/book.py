"""The one door for every change of a call: save it, start its work, wake who waits, count it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from broker.metrics import reason_label

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from broker.domain.record import Record
    from broker.metrics import Metrics
    from broker.ports import JobStarter, Lease, Ledger, Note, Saved

log = structlog.get_logger("broker.call")


@dataclass(frozen=True, slots=True)
class Book:
    """Where calls are kept. Every use case writes through here."""

    ledger: Ledger
    jobs: JobStarter
    metrics: Metrics
    over: Callable[[Record], None] | None = None
    """Who hears of a call that has its outcome, once and on one replica."""

    async def open(self, record: Record, notes: Sequence[Note] = ()) -> Saved:
        """Accept a new call; see `Ledger.accept`."""
        saved = await self.ledger.accept(record, notes)
        self._published(saved)
        return saved

    async def save(
        self,
        call_id: str,
        change: Callable[[Record], Record],
        lease: Lease | None = None,
        notes: Sequence[Note] = (),
    ) -> Record:
        """Change a call; see `Ledger.update`. The record as it is now."""
        saved = await self.ledger.update(call_id, change, lease, notes)
        self._published(saved)
        return saved.record

    def _published(self, saved: Saved) -> None:
        before, after = saved.before, saved.record
        self.jobs.start(saved.leases)
        if after is before:
            return
        for step in after.steps:
            if step.done and any(
                known.name == step.name and not known.done for known in before.steps
            ):
                self.jobs.cancel(after.id, f"step:{step.name}")
        for message in after.messages:
            known = before.message(message.purpose)
            if known is None or known.state is not message.state:
                labels = (message.channel, message.purpose, message.state)
                self.metrics.messages.labels(*labels).inc()
        if after.outcome is not None and before.outcome is None:
            self.metrics.calls.labels(after.outcome, reason_label(after.reason)).inc()
            log.info("call_over", call=after.id, outcome=after.outcome, reason=after.reason)
            if self.over is not None:
                self.over(after)
        self.jobs.changed(after)

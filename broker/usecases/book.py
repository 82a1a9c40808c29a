"""The one door for every change of a call: save it, start its work, wake who waits, count it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from broker.domain.messages import MessageState
from broker.metrics import fallback_label, reason_label

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from broker.domain.guards import Guards
    from broker.domain.record import Record
    from broker.metrics import Metrics
    from broker.ports import JobStarter, Known, Lease, Ledger, Note, Saved

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
        call: str | Known,
        change: Callable[[Record], Record],
        lease: Lease | None = None,
        notes: Sequence[Note] = (),
        *,
        guards: Guards | None = None,
    ) -> Record:
        """Change a call; see `Ledger.update`. The record as it is now."""
        saved = await self.ledger.update(call, change, lease, notes, guards=guards)
        self._published(saved)
        return saved.record

    async def vouch(self, known: Known) -> Record:
        """What was read, once it lasts: with `durable` whoever saved it may have no proof yet."""
        return await self.save(known, lambda record: record)

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
        self._count_messages(before, after)
        if after.outcome is not None and before.outcome is None:
            self.metrics.calls.labels(after.outcome, reason_label(after.reason)).inc()
            log.info("call_over", call=after.id, outcome=after.outcome, reason=after.reason)
            if self.over is not None:
                self.over(after)
        self.jobs.changed(after)

    def _count_messages(self, before: Record, after: Record) -> None:
        for message in after.messages:
            known, count = before.message(message.purpose), self.metrics.messages.labels
            moved = known is not None and known.channel != message.channel
            if known is not None and moved:
                count(known.channel, known.purpose, MessageState.FAILED).inc()
                self.metrics.fallbacks.labels(known.channel, fallback_label(message.reason)).inc()
            if known is None or moved or known.state is not message.state:
                count(message.channel, message.purpose, message.state).inc()

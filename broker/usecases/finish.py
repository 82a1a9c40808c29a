"""How a call ends: by the platform's word, or because nothing was heard of it for too long."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from broker.domain.progress import bury, end
from broker.domain.record import Over

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.domain.record import Record
    from broker.ports import Clock, Lease
    from broker.usecases.abandoned import GaveUp
    from broker.usecases.book import Book

log = structlog.get_logger("broker.call")


@dataclass(frozen=True, slots=True)
class Finish:
    """Ends calls. What is already queued still goes out."""

    book: Book
    clock: Clock
    gave_up: GaveUp | None = None
    """Whom to write to whose call nobody took."""

    async def on_end(self, any_id: str, disposition: str | None = None) -> Record | None:
        """The ended call's record; None if the id is unknown or that of a child leg."""
        known = await self.book.ledger.read(any_id)
        if known is None or any_id not in {known.record.id, known.record.data.session_id}:
            return None
        record = known.record
        if record.over is not None:
            return await self.book.vouch(known)
        now = self.clock.time()
        change: Callable[[Record], Record]
        change = partial(end, why=Over.ENDED, now=now, disposition=disposition)
        if self.gave_up is not None:
            change = await self.gave_up.and_write(record, disposition, change)
        note = {"at": now, "event": "call_ended"}
        return await self.book.save(known, change, notes=[note])

    async def run(self, lease: Lease) -> None:
        """Leased when a call's idle time is over: end it, unless something happened meanwhile."""
        now = self.clock.time()

        def change(record: Record) -> Record:
            return end(record, Over.IDLE, now) if record.idle_at <= now else record

        await self.book.save(lease.call_id, change, lease)

    async def bury(self, lease: Lease) -> None:
        """Give up leased work that was begun too often: it may be what kills the replicas."""
        log.error("poison", call=lease.call_id, work=lease.work, tries=lease.tries)
        note = {"at": self.clock.time(), "event": "buried", "work": lease.work}
        await self.book.save(lease.call_id, partial(bury, work=lease.work), lease, [note])

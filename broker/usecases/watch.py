"""Look at calls, and wait until something about one has happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.ports import store_answers_within

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from broker.domain.record import Record
    from broker.ports import Clock, JobStarter, Ledger, Note


@dataclass(frozen=True, slots=True)
class Watch:
    """Read-only view of the ledger."""

    ledger: Ledger
    jobs: JobStarter
    clock: Clock

    async def find(self, any_id: str) -> Record | None:
        return await self.ledger.find(any_id)

    async def active(self, limit: int, before: float | None) -> Sequence[Record]:
        return await self.ledger.active(limit, before)

    async def trace(self, call_id: str) -> Sequence[Note]:
        return await self.ledger.trace(call_id)

    async def until(
        self, record: Record, reached: Callable[[Record], bool], seconds: float
    ) -> Record:
        """The call as soon as `reached`, or as it is after `seconds`; on any replica."""
        ends = self.clock.monotonic() + seconds
        store_answers_within(None)
        while not reached(record):
            left = ends - self.clock.monotonic()
            if left <= 0:
                break
            found = await self.jobs.wait(record.id, reached, left)
            found = found or await self.ledger.find(record.id)
            if found is None:
                break
            record = found
        return record

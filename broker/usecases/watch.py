"""Look at calls, and wait until something about one has happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.domain.errors import StoreUnavailableError
from broker.ports import store_answers_within

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from broker.domain.record import Record
    from broker.ports import Clock, JobStarter, Ledger, Note, Position

LAST_LOOK_S = 0.15
"""How long the store may take to tell how a call stands when the wait is over."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Read-only view of the ledger."""

    ledger: Ledger
    jobs: JobStarter
    clock: Clock

    async def find(self, any_id: str) -> Record | None:
        return await self.ledger.find(any_id)

    async def active(self, limit: int, after: Position | None) -> Sequence[Record]:
        return await self.ledger.active(limit, after)

    async def trace(self, call_id: str) -> Sequence[Note]:
        return await self.ledger.trace(call_id)

    async def until(
        self, record: Record, reached: Callable[[Record], bool], seconds: float
    ) -> Record:
        """The call as soon as `reached`, or as it is after `seconds`; on any replica.

        A store that is away meanwhile is no error: the call is kept, and may still get there.
        """
        ends = self.clock.monotonic() + seconds
        while not reached(record):
            left = ends - self.clock.monotonic()
            if left <= 0:
                break
            found = await self.jobs.wait(record.id, reached, left)
            found = found or await self._look(record, ends - self.clock.monotonic())
            if found is None:
                break
            record = found
        return record

    async def _look(self, record: Record, seconds: float) -> Record | None:
        """The call in the store; `record`, as it was last seen, if that cannot be told in time."""
        store_answers_within(max(seconds, LAST_LOOK_S))
        try:
            return await self.ledger.find(record.id)
        except StoreUnavailableError:
            return record

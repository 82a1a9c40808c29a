"""What an operator does about work that was given up: send it again, or drop it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from broker.domain import crm_entries
from broker.domain.sending import again

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.ports import Clock, DeadLetter, Ledger


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Each change is one atomic step, safe beside running replicas."""

    ledger: Ledger
    clock: Clock
    max_age_s: float
    """The message of an older call is not sent again."""

    async def all(self) -> Sequence[DeadLetter]:
        return await self.ledger.dead_letters()

    def age_s(self, letter: DeadLetter) -> float:
        """Seconds since the call came in, or since the work was given up if nobody knows."""
        since = letter.record.received_at if letter.record is not None else letter.since
        return self.clock.time() - since

    async def retry(self, letter: DeadLetter) -> str | None:
        """Why it is not sent again; None if it is due now."""
        kind, _, name = letter.work.partition(":")
        if letter.record is None:
            return "nobody can read its call any more"
        if kind not in {"message", crm_entries.TICKET, crm_entries.NOTE}:
            return "a lookup is of no use any more"
        if self.age_s(letter) > self.max_age_s:
            return "older than dead_letters.max_age_h"
        now = self.clock.time()
        change = partial(again, purpose=name, now=now)
        if kind != "message":
            change = partial(crm_entries.again, work=letter.work, now=now)
        note = {"at": self.clock.time(), "event": "retried_by_operator"}
        await self.ledger.update(letter.call_id, change, notes=[note])
        return None

    async def drop(self, letter: DeadLetter) -> str | None:
        """Why it is not dropped; None if it is."""
        return None if await self.ledger.drop_dead(letter) else "it is none any more"

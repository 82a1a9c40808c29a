"""A later node of the call flow wants the tracking message sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.domain.errors import BadInputError, UnknownCallError
from broker.domain.messages import TRACKING
from broker.domain.progress import request_tracking, tracking_refusal

if TYPE_CHECKING:
    from broker.domain.progress import Policy
    from broker.domain.record import Record
    from broker.ports import Clock
    from broker.usecases.book import Book

REFUSALS = {
    "nothing_to_send": "no customer with an email address and a track id is on this call",
    "sent_by_platform": "the platform sends the tracking email ([tracking.email] sent_by)",
    "switched_off": "tracking messages are switched off ([tracking] settings)",
}
"""Why a tracking message that was asked for is not sent: stable code -> sentence."""


@dataclass(frozen=True, slots=True)
class Notify:
    """Queues the tracking message on request, once per call."""

    book: Book
    clock: Clock
    policy: Policy

    async def on_tracking_email(self, any_id: str) -> Record:
        """The call with its message queued, or with the wish noted while the lookup runs.

        UnknownCallError; BadInputError with a code of `REFUSALS`.
        """
        known = await self.book.ledger.read(any_id)
        if known is None:
            raise UnknownCallError("no record of this call")
        now = self.clock.time()
        saved = await self.book.save(
            known, lambda current: request_tracking(current, self.policy, now)
        )
        if saved.message(TRACKING) is None:
            self.check(saved)
        return saved

    def check(self, record: Record) -> None:
        """BadInputError with a code of `REFUSALS` if no tracking message can come of this call."""
        refusal = tracking_refusal(record, self.policy)
        if refusal is not None:
            raise BadInputError(REFUSALS[refusal], code=refusal)

"""What providers tell: each receipt moves its message on, once, in whatever order."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from broker.domain.errors import BadInputError, SignatureError, UnknownCallError
from broker.domain.guards import Guards, opt_out_marks
from broker.domain.messages import ReceiptState, message_id, provider_alias
from broker.domain.people import hashed, people_reached
from broker.domain.references import Limit
from broker.domain.sending import opted_out, receipt
from broker.usecases.replies import KNOWN_AGAIN_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.domain.messages import Message
    from broker.domain.record import Record
    from broker.metrics import Metrics
    from broker.ports import Callback, CallbackRead, Channel, Clock, Counters, OptOuts, Receipt
    from broker.usecases.book import Book
    from broker.usecases.replies import Replies

_REFERENCE = re.compile(r"(m[0-9a-f]{31})\.([0-9]{1,4})", re.ASCII)
"""What `compose.receipt_reference` makes."""
_AT_ONCE = 20
"""Of one callback. One after the other, a bundle of thousands would outlast the provider."""
log = structlog.get_logger("broker.receipt")


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Reads what providers send, and has it taken."""

    channels: Mapping[str, Channel]
    receipts: Receipts
    replies: Replies
    metrics: Metrics

    async def on_callback(self, name: str, callback: Callback) -> CallbackRead:
        """How to answer the provider of channel `name`, once all of it is taken.

        BadInputError: `not_found` for a channel that takes none, or nothing it knows.
        SignatureError: it is from somebody else. StoreUnavailableError: let it be repeated.
        """
        channel = self.channels.get(name)
        if channel is None or not channel.calls_back:
            raise BadInputError("no channel of this name takes callbacks", code="not_found")
        try:
            read = channel.read_callback(callback)
        except SignatureError:
            self.metrics.callbacks_refused.labels(name).inc()
            raise
        # A STOP comes before the failure beside it that begins the next channel's message.
        for written in read.inbound:
            await self.replies.on_message(name, written)
        await self.receipts.on_receipts(name, read.receipts)
        return read


@dataclass(frozen=True, slots=True)
class Receipts:
    """Believes receipts. Repeats, disorder and what nobody knows change nothing."""

    book: Book
    clock: Clock
    metrics: Metrics
    counters: Counters
    opt_outs: OptOuts
    home_region: str | None = None

    async def on_receipts(self, channel: str, told: Sequence[Receipt]) -> None:
        """All of them; an error of the store passes when those beside it are through."""
        for first in range(0, len(told), _AT_ONCE):
            beside = (self.on_receipt(channel, one) for one in told[first : first + _AT_ONCE])
            for error in await asyncio.gather(*beside, return_exceptions=True):
                if error is not None:
                    raise error

    async def on_receipt(self, channel: str, told: Receipt) -> None:
        """A failure sends the message to its next channel at once, on this replica.

        An opt-out ends it instead, and holds for the person on all channels. Errors of the store
        pass; then nothing was promised, and a repeat is welcome.
        """
        try:
            outcome = await (self._once if told.opted_out else self._taken)(channel, told)
        except UnknownCallError:
            outcome = "unknown"
        self.metrics.receipts.labels(channel, told.state, outcome).inc()
        if outcome == "unknown":
            log.info("receipt_unknown", channel=channel, state=told.state)

    async def _once(self, channel: str, told: Receipt) -> str:
        """An opt-out counts once: before the same one comes again, he may have said START."""
        name = hashed(f"{channel}|{told.reference}|{told.provider_id}")
        once = Limit(f"opted-out:{name}", 1, KNOWN_AGAIN_S)
        if await self.counters.counted(once):
            return "unchanged"
        outcome = await self._taken(channel, told)
        if outcome != "unknown":
            await self.counters.reserve([once])
        return outcome

    async def _taken(self, channel: str, told: Receipt) -> str:
        named = _REFERENCE.fullmatch(told.reference or "")
        if named is not None:
            with suppress(UnknownCallError):
                outcome = await self._believed(channel, told, named[1], int(named[2]))
                if outcome != "unknown":
                    return outcome
        if told.provider_id is None:
            return "unknown"
        return await self._believed(channel, told, provider_alias(channel, told.provider_id))

    async def _believed(
        self, channel: str, told: Receipt, any_id: str, attempt: int | None = None
    ) -> str:
        """`applied`, `unchanged` or `unknown`. Without `attempt` the provider's id names the last.

        UnknownCallError: there is no such message any more.
        """
        now, was = self.clock.time(), _Was()
        known = await self.book.ledger.read(any_id)
        if known is None:
            raise UnknownCallError("no record of this message")
        people = self._opted_out(told, known.record, any_id)

        def change(record: Record) -> Record:
            message = was.message = _named(record, any_id, told.provider_id)
            if message is None:
                return record
            after = _after(record, message, told, attempt, now)
            was.changed = after != record
            return after

        note = {"at": now, "event": "receipt", "state": told.state, "reason": told.reason}
        guards = Guards(marks=opt_out_marks(people, now))
        saved = await self.book.save(known, change, notes=[note], guards=guards)
        if not was.changed:
            # Then the marks are not kept either, and the opt-out is true all the same.
            await self.opt_outs.stop(people, now)
        if was.message is None:
            return "unknown"
        if not was.changed:
            return "unchanged"
        self._timed(channel, told.state, was.message, now)
        log.info("receipt", call=saved.id, channel=channel, state=told.state, reason=told.reason)
        return "applied"

    def _opted_out(self, told: Receipt, record: Record, any_id: str) -> tuple[str, ...]:
        """Who is not written to any more because of this: by all that is known of him."""
        if not told.opted_out:
            return ()
        message = _named(record, any_id, told.provider_id)
        names = {told.recipient, message.to if message is not None else None}
        reached = [people_reached(record, name, self.home_region) for name in names if name]
        return tuple(sorted(set[str]().union(*reached)))

    def _timed(self, channel: str, state: ReceiptState, message: Message, now: float) -> None:
        if state is ReceiptState.DELIVERED and message.first_at is not None:
            self.metrics.receipt_delay.labels(channel).observe(max(0.0, now - message.first_at))


@dataclass(slots=True)
class _Was:
    """What a change met when it was last applied."""

    message: Message | None = None
    changed: bool = False


def _after(
    record: Record, message: Message, told: Receipt, attempt: int | None, now: float
) -> Record:
    """`record` after this receipt of hand-over number `attempt`, or of the last one."""
    attempt = message.attempts if attempt is None else attempt
    if told.opted_out:
        return opted_out(record, message.purpose, attempt)
    return receipt(
        record,
        message.purpose,
        told.state,
        attempt=attempt,
        provider_id=told.provider_id,
        reason=told.reason,
        now=now,
    )


def _named(record: Record, any_id: str, provider_id: str | None) -> Message | None:
    """The message that goes by our id, else the one that the provider calls so."""
    ours = (m for m in record.messages if message_id(record.id, m.purpose) == any_id)
    theirs = (m for m in record.messages if m.provider_id == provider_id is not None)
    return next(ours, None) or next(theirs, None)

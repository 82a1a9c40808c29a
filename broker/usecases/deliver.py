"""Send what is due: one attempt of one message, from the mark `sending` to its result."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import structlog

from broker.domain.errors import (
    AnswerLostError,
    BrokerError,
    OptedOutError,
    PermanentError,
    StoreUnavailableError,
    TemporaryError,
    UnknownCallError,
)
from broker.domain.messages import Backoff, Message, MessageState
from broker.domain.progress import Policy, lost, not_sent, sending, sent, suppressed
from broker.usecases.tracking import envelope_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from broker.domain.record import Record
    from broker.ports import Channel, Clock, Envelope, Lease
    from broker.usecases.book import Book
    from broker.usecases.tracking import TrackingLinks

SENDS_AT_ONCE = 100
"""Per channel and replica: what hangs must not use up the connections of everything else."""
SEND_WITHIN_S = 20.0
"""One attempt, from connecting to the provider's answer."""
_ACK_RETRY_S = 0.5
_MARK_RETRY_S = 0.1
log = structlog.get_logger("broker.message")


@dataclass(frozen=True, slots=True)
class Deliver:
    """Does the work of one leased message. A channel sends once; states and retries are here."""

    book: Book
    clock: Clock
    channels: Mapping[str, Channel]
    links: TrackingLinks
    policy: Policy
    backoff: Backoff = field(default_factory=Backoff)
    resend: frozenset[str] = frozenset()
    """Channels without keys that send again after a lost answer, although that may make two."""
    _room: dict[str, asyncio.Semaphore] = field(default_factory=dict)

    async def run(self, lease: Lease) -> None:
        """Bring the message one attempt further. FencedError if another replica took over."""
        message = _message(lease)
        if message.state is MessageState.SENDING:
            # The replica that began to send is gone: whether the provider took it, nobody knows.
            await self._save(lease, self._lost(message), "taken_over")
        elif message.state is MessageState.QUEUED:
            async with self._room_of(message.channel):
                await self._attempt(lease, message)

    def _room_of(self, channel: str) -> asyncio.Semaphore:
        return self._room.setdefault(channel, asyncio.Semaphore(SENDS_AT_ONCE))

    async def _attempt(self, lease: Lease, message: Message) -> None:
        try:
            envelope = await self._envelope(lease.record, message)
        except PermanentError as error:
            reason = "message_unfit"
            log.warning("message_unfit", call=lease.call_id, error=str(error))
            change = partial(not_sent, purpose=message.purpose, reason=reason)
            await self._save(lease, change, reason)
            return
        record = await self._mark_sending(lease, message)
        begun = record.message(message.purpose)
        if begun is None or begun.state is not MessageState.SENDING:
            return
        await self._send(lease, begun, envelope)

    def _lost(self, message: Message) -> partial[Record]:
        """Send again where a key or the operator allows it; else nobody will ever know."""
        channel = self.channels.get(message.channel)
        again = message.channel in self.resend or (channel is not None and channel.keyed)
        due = self.backoff.next_due(message, self.clock.time(), None) if again else None
        return partial(lost, purpose=message.purpose, retry_at=due)

    async def _mark_sending(self, lease: Lease, message: Message) -> Record:
        """The record with the mark; a lost reply is asked for again, since a mark sends nothing."""
        change = partial(sending, purpose=message.purpose)
        while True:
            try:
                return await self.book.save(lease.call_id, change, lease)
            except StoreUnavailableError:
                if self.clock.monotonic() >= lease.expires:
                    raise
            await self.clock.sleep(_MARK_RETRY_S)

    async def _envelope(self, record: Record, message: Message) -> Envelope:
        if message.channel not in self.channels:
            raise PermanentError("the channel of this message is not configured any more")
        customer = record.customer
        to = self.policy.tracking.address(record, message.channel)
        if customer is None or not customer.track_id or not to:
            raise PermanentError("the call has no customer to send to")
        link = await self.links.make(customer.track_id, record.id)
        return envelope_for(f"{record.id}|{message.purpose}", message.purpose, to, customer, link)

    async def _send(self, lease: Lease, message: Message, envelope: Envelope) -> None:
        purpose = message.purpose
        reason: str | None = None
        try:
            async with asyncio.timeout(SEND_WITHIN_S + 1):
                channel = self.channels[message.channel]
                provider_id = await channel.send(envelope, within=SEND_WITHIN_S)
        except TemporaryError as error:
            due = self.backoff.next_due(message, self.clock.time(), error.retry_after)
            reason = "not_taken" if due is not None else "gave_up"
            change = partial(not_sent, purpose=purpose, reason=reason, retry_at=due)
        except (AnswerLostError, TimeoutError):
            reason, change = "answer_lost", self._lost(message)
        except OptedOutError:
            reason = "opted_out"
            change = partial(suppressed, purpose=purpose, reason=reason)
        except BrokerError:
            reason = "refused"
            change = partial(not_sent, purpose=purpose, reason=reason)
        except Exception as error:  # noqa: BLE001 - foreign code: nobody knows how far it got
            log.warning("channel_failed", channel=message.channel, error=type(error).__name__)
            reason, change = "answer_lost", self._lost(message)
        else:
            change = partial(
                sent, purpose=purpose, attempt=message.attempts, provider_id=provider_id
            )
        await self._acknowledge(lease, message, change, reason)

    async def _acknowledge(
        self,
        lease: Lease,
        message: Message,
        change: Callable[[Record], Record],
        reason: str | None,
    ) -> None:
        """Keep the result. Retried apart from the send: repeating that would be a second message.

        A success needs no lease: it is true whoever holds the message meanwhile, and it names its
        attempt.
        """
        holding = lease if reason is not None else None
        while True:
            try:
                await self._save(holding or lease.call_id, change, reason, message)
            except StoreUnavailableError:
                await self.clock.sleep(_ACK_RETRY_S)
            except UnknownCallError:
                log.warning("message_forgotten", call=lease.call_id, purpose=message.purpose)
                return
            else:
                return

    async def _save(
        self,
        holder: Lease | str,
        change: Callable[[Record], Record],
        reason: str | None,
        message: Message | None = None,
    ) -> None:
        lease = None if isinstance(holder, str) else holder
        call_id = holder if isinstance(holder, str) else holder.call_id
        event = "message_sent" if reason is None else "message_not_sent"
        note = {"at": self.clock.time(), "event": event, "reason": reason}
        record = await self.book.save(call_id, change, lease, [note])
        for now in record.messages:
            if message is None or now.purpose == message.purpose:
                log.info(
                    "message",
                    call=call_id,
                    purpose=now.purpose,
                    channel=now.channel,
                    state=now.state,
                    attempts=now.attempts,
                    reason=reason,
                )


def _message(lease: Lease) -> Message:
    message = lease.record.message(lease.name)
    if message is None:
        raise LookupError("leased work without its message")
    return message

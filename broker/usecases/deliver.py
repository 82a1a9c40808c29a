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
    ForbiddenSendError,
    OptedOutError,
    PermanentError,
    StoreUnavailableError,
    TemporaryError,
    UnknownCallError,
)
from broker.domain.guards import Guards
from broker.domain.messages import Backoff, Message, MessageState
from broker.domain.send_rules import SendRules
from broker.domain.sending import SILENT, delayed, lost, not_sent, sending, sent, silent, suppressed
from broker.ports import Lease

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from broker.domain.record import Record
    from broker.ports import Channel, Clock, Envelope, Known
    from broker.usecases.book import Book
    from broker.usecases.compose import Compose

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
    compose: Compose
    backoff: Backoff = field(default_factory=Backoff)
    resend: frozenset[str] = frozenset()
    """Channels without keys that send again after a lost answer, although that may make two."""
    rules: SendRules = field(default_factory=SendRules)
    _room: dict[str, asyncio.Semaphore] = field(default_factory=dict)

    async def run(self, lease: Lease) -> None:
        """Bring the message one attempt further, and on to its next channel where one refuses it.

        FencedError if another replica took over.
        """
        message = _message(lease)
        if message.state is MessageState.SENDING:
            # The replica that began to send is gone: whether the provider took it, nobody knows.
            await self._save(lease, self._lost(message), "taken_over")
            return
        if message.state is MessageState.SENT:
            change = partial(silent, purpose=message.purpose, now=self.clock.time())
            await self._save(lease, change, SILENT, guards=Guards())
            message = _message(lease)
        left = None
        while message.state is MessageState.QUEUED and len(message.then) != left:
            left = len(message.then)
            async with self._room_of(message.channel):
                await self._attempt(lease, message)
            message = _message(lease)

    def _room_of(self, channel: str) -> asyncio.Semaphore:
        return self._room.setdefault(channel, asyncio.Semaphore(SENDS_AT_ONCE))

    async def _attempt(self, lease: Lease, message: Message) -> None:
        try:
            envelope = await self.compose.envelope(lease.record, message)
        except PermanentError as error:
            reason = "message_unfit"
            log.warning("message_unfit", call=lease.call_id, error=str(error))
            now = self.clock.time()
            change = partial(not_sent, purpose=message.purpose, reason=reason, now=now, of=message)
            await self._save(lease, change, reason)
            return
        if await self._put_off(lease, message, envelope.to):
            return
        try:
            record = await self._mark_sending(lease, message, envelope.to)
        except ForbiddenSendError as error:
            self.book.metrics.forbidden_sends.labels(message.channel, error.reason).inc()
            change = partial(suppressed, purpose=message.purpose, reason=error.reason)
            await self._save(lease, change, error.reason)
            return
        begun = record.message(message.purpose)
        if begun is None or begun.state is not MessageState.SENDING:
            return
        await self._send(lease, begun, envelope)

    async def _put_off(self, lease: Lease, message: Message, to: str) -> bool:
        """Whether it is night where `to` is: then the message waits, or goes to another channel."""
        now, reason = self.clock.time(), "quiet_hours"
        until = self.rules.quiet_until(lease.record, message, to, now)
        if until is None:
            return False
        change = partial(delayed, purpose=message.purpose, until=until, reason=reason)
        if self.rules.goes_around(message):
            change = partial(not_sent, purpose=message.purpose, reason=reason, now=now)
        await self._save(lease, change, reason)
        return True

    def _lost(self, message: Message) -> partial[Record]:
        """Send again where a key or the operator allows it; else nobody will ever know."""
        channel = self.channels.get(message.channel)
        again = message.channel in self.resend or (channel is not None and channel.keyed)
        due = self.backoff.next_due(message, self.clock.time(), None) if again else None
        return partial(lost, purpose=message.purpose, retry_at=due)

    async def _mark_sending(self, lease: Lease, message: Message, to: str) -> Record:
        """The record with the mark; a lost reply is asked for again, since a mark sends nothing.

        ForbiddenSendError: a rule looked at in the same step forbids it.
        """
        change = partial(sending, purpose=message.purpose, now=self.clock.time())
        guards = self.rules.guards(lease.record, message, to)
        while True:
            try:
                return await self.book.save(lease.call_id, change, lease, guards=guards)
            except StoreUnavailableError:
                if self.clock.monotonic() >= lease.expires:
                    raise
            await self.clock.sleep(_MARK_RETRY_S)

    async def _send(self, lease: Lease, message: Message, envelope: Envelope) -> None:
        purpose = message.purpose
        reason: str | None = None
        guards: Guards | None = None
        try:
            async with asyncio.timeout(SEND_WITHIN_S + 1):
                channel = self.channels[message.channel]
                provider_id = await channel.send(envelope, within=SEND_WITHIN_S)
        except TemporaryError as error:
            now = self.clock.time()
            due = self.backoff.next_due(message, now, error.retry_after)
            reason = "not_taken" if due is not None else "gave_up"
            change = partial(
                not_sent, purpose=purpose, reason=reason, retry_at=due, now=now, of=message
            )
        except (AnswerLostError, TimeoutError):
            reason, change = "answer_lost", self._lost(message)
        except OptedOutError:
            reason = "opted_out"
            change = partial(suppressed, purpose=purpose, reason=reason)
            guards = self.rules.opt_out(lease.record, envelope.to, self.clock.time())
        except BrokerError:
            reason = "refused"
            now = self.clock.time()
            change = partial(not_sent, purpose=purpose, reason=reason, now=now, of=message)
        except Exception as error:  # noqa: BLE001 - foreign code: nobody knows how far it got
            log.warning("channel_failed", channel=message.channel, error=type(error).__name__)
            reason, change = "answer_lost", self._lost(message)
        else:
            change = partial(
                sent, purpose=purpose, attempt=message.attempts, provider_id=provider_id
            )
        await self._acknowledge(lease, message, change, reason, guards)

    async def _acknowledge(
        self,
        lease: Lease,
        message: Message,
        change: Callable[[Record], Record],
        reason: str | None,
        guards: Guards | None,
    ) -> None:
        """Keep the result. Retried apart from the send: repeating that would be a second message.

        A success needs no lease: it is true whoever holds the message meanwhile, and it names its
        attempt.
        """
        holding = lease if reason is not None else lease.known
        while True:
            try:
                known = await self._save(holding, change, reason, message, guards)
            except StoreUnavailableError:
                await self.clock.sleep(_ACK_RETRY_S)
            except UnknownCallError:
                log.warning("message_forgotten", call=lease.call_id, purpose=message.purpose)
                return
            else:
                lease.record = known  # a receipt may have sent it on meanwhile
                return

    async def _save(
        self,
        holder: Lease | Known,
        change: Callable[[Record], Record],
        reason: str | None,
        message: Message | None = None,
        guards: Guards | None = None,
    ) -> Record:
        lease = holder if isinstance(holder, Lease) else None
        known = holder.known if isinstance(holder, Lease) else holder
        event = "message_sent" if reason is None else "message_not_sent"
        note = {"at": self.clock.time(), "event": event, "reason": reason}
        record = await self.book.save(known, change, lease, [note], guards=guards)
        for now in record.messages:
            if message is None or now.purpose == message.purpose:
                log.info(
                    "message",
                    call=record.id,
                    purpose=now.purpose,
                    channel=now.channel,
                    state=now.state,
                    attempts=now.attempts,
                    reason=reason,
                )
        return record


def _message(lease: Lease) -> Message:
    message = lease.record.message(lease.name)
    if message is None:
        raise LookupError("leased work without its message")
    return message

"""Brokers with a planted bug each, for the judge to find: `python -m tests.chaos.planted BUG`.

The product's own parts are put together as it does it, with one of them replaced.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.app import build_broker
from broker.domain.errors import AnswerLostError, PermanentError
from broker.domain.messages import MessageState, ReceiptState
from broker.logs import configure
from broker.parts import Parts, open_parts
from broker.ports import CallPlatform, Channel, CrmAdapter, Saved
from broker.settings import load
from broker.stores.ledger import RedisLedger
from broker.usecases.lookup import Crm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from broker.domain.call import CallRef, Phone, Reference
    from broker.domain.customer import Customer
    from broker.domain.guards import Guards
    from broker.domain.record import Record, Session
    from broker.ports import Callback, CallbackRead, Envelope, Known, Lease, Note, Variable
    from broker.settings import Settings

_SOON_S = 0.4


class AcknowledgeFirst(RedisLedger):
    """Says yes, then begins to store."""

    async def accept(self, record: Record, notes: Sequence[Note] = ()) -> Saved:
        self._later = asyncio.create_task(super().accept(record, notes))
        return Saved(record, record)


class StartAgain(RedisLedger):
    """Takes a repeated call-start for a new call."""

    async def accept(self, record: Record, notes: Sequence[Note] = ()) -> Saved:
        await self._store.client.delete(self._call(record.id))
        return await super().accept(record, notes)


class SendAgain(RedisLedger):
    """Takes a message that somebody began to send for one that nobody has begun to send."""

    async def claim(self, limit: int, suspects: int = 1) -> Sequence[Lease]:
        leases = await super().claim(limit, suspects)
        for lease in leases:
            for message in lease.record.messages:
                if message.state is MessageState.SENDING:
                    unsent = replace(message, state=MessageState.QUEUED)
                    lease.record = lease.record.with_message(unsent)
        return leases


class QueueUnconsented(RedisLedger):
    """Keeps what is to be sent, and leaves who agreed to it for later."""

    async def update(
        self,
        call: str | Known,
        change: Callable[[Record], Record],
        lease: Lease | None = None,
        notes: Sequence[Note] = (),
        *,
        guards: Guards | None = None,
    ) -> Saved:
        without = replace(guards, consents=()) if guards is not None else None
        return await super().update(call, change, lease, notes, guards=without)


class DeafToStop(RedisLedger):
    """Does not look at who wants no messages."""

    async def update(
        self,
        call: str | Known,
        change: Callable[[Record], Record],
        lease: Lease | None = None,
        notes: Sequence[Note] = (),
        *,
        guards: Guards | None = None,
    ) -> Saved:
        anybody = replace(guards, people=()) if guards is not None else None
        return await super().update(call, change, lease, notes, guards=anybody)


class GoOnInDoubt(RedisLedger):
    """Takes a message that somebody began to send to the next channel."""

    async def claim(self, limit: int, suspects: int = 1) -> Sequence[Lease]:
        leases = await super().claim(limit, suspects)
        for lease in leases:
            for message in lease.record.messages:
                if message.state is MessageState.SENDING and message.then:
                    place, *later = message.then
                    moved = replace(
                        message,
                        channel=place.channel,
                        to=place.to,
                        then=tuple(later),
                        state=MessageState.QUEUED,
                    )
                    lease.record = lease.record.with_message(moved)
        return leases


class _Platform(CallPlatform):
    """The real one, to be made worse."""

    def __init__(self, real: CallPlatform) -> None:
        self._real = real
        self._before: tuple[Session, Mapping[str, Variable]] | None = None

    async def find_session(self, call: CallRef, *, within: float) -> Session:
        return await self._real.find_session(call, within=within)

    async def ping(self) -> str:
        return await self._real.ping()


class CrossSessions(_Platform):
    """Writes into the session of the call before."""

    async def write(
        self, session: Session, variables: Mapping[str, Variable], *, within: float
    ) -> None:
        before = self._before[0] if self._before else session
        self._before = (session, variables)
        await self._real.write(before, variables, within=within)


class StaleWrite(_Platform):
    """A `timeout` takes its time on the way, and what comes after does not wait for it."""

    async def write(
        self, session: Session, variables: Mapping[str, Variable], *, within: float
    ) -> None:
        if variables.get("ivr.lookup") == "timeout":
            self._late = asyncio.create_task(self._write_late(session, variables, within))
        else:
            await self._real.write(session, variables, within=within)

    async def _write_late(
        self, session: Session, variables: Mapping[str, Variable], within: float
    ) -> None:
        await asyncio.sleep(_SOON_S)
        await self._real.write(session, variables, within=within)


class MixCustomers(CrmAdapter):
    """Gives everybody the customer before."""

    def __init__(self, real: CrmAdapter) -> None:
        self._real = real
        self._before: Sequence[Customer] = ()

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        return self._mixed(await self._real.find_by_phone(phone))

    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:
        return self._mixed(await self._real.find_by_reference(reference))

    def _mixed(self, found: Sequence[Customer]) -> Sequence[Customer]:
        before, self._before = self._before or found, found
        return before if found else found


class _Hook(Channel):
    """The real one, to be made worse."""

    keyed = True

    def __init__(self, real: Channel) -> None:
        self._real = real

    async def send(self, envelope: Envelope, *, within: float) -> str | None:
        return await self._real.send(envelope, within=within)

    async def ping(self) -> str:
        return await self._real.ping()


class AnotherKey(_Hook):
    """Gives each attempt a key of its own."""

    async def send(self, envelope: Envelope, *, within: float) -> str | None:
        another = replace(envelope, reference=f"{envelope.reference}-{token_hex(4)}")
        return await super().send(another, within=within)


class NoKey(_Hook):
    """Does not know that its provider can be asked again."""

    keyed = False


class _Texts(_Hook):
    """Of the channel `sms`."""

    keyed = False
    reaches = "phone"

    def __init__(self, real: Channel) -> None:
        super().__init__(real)
        self.recipients = real.recipients
        self.calls_back = real.calls_back


class LostIsRefused(_Texts):
    """Takes an answer that never came for a refusal, so that the next channel is asked."""

    async def send(self, envelope: Envelope, *, within: float) -> str | None:
        try:
            return await super().send(envelope, within=within)
        except AnswerLostError:
            raise PermanentError("no answer") from None


class SentUnasked(_Texts):
    """Says that it was sent, and sends nothing."""

    async def send(self, envelope: Envelope, *, within: float) -> str | None:  # noqa: ARG002
        return None


class ReceiptsTwice(_Texts):
    """Takes whatever fails for what was tried last, also if it is told again."""

    def read_callback(self, callback: Callback) -> CallbackRead:
        read = self._real.read_callback(callback)
        told = [one for one in read.receipts if one.state is ReceiptState.FAILED]
        newest = [replace(one, reference=_next_attempt(one.reference)) for one in told]
        # So often that one of them comes when the next attempt has begun.
        return replace(read, receipts=(*read.receipts, *newest * 20))


def _next_attempt(reference: str | None) -> str | None:
    named, _, attempt = (reference or "").partition(".")
    return f"{named}.{int(attempt) + 1}" if attempt else reference


def _texts(made: type[_Texts]) -> Callable[[Parts], Parts]:
    def plant(parts: Parts) -> Parts:
        return replace(parts, channels={**parts.channels, "sms": made(parts.channels["sms"])})

    return plant


def _ledger(made: type[RedisLedger]) -> Callable[[Parts], Parts]:
    def plant(parts: Parts) -> Parts:
        settings = parts.settings
        ledger = made(
            parts.store,
            parts.clock,
            lease_s=settings.store.lease_ms / 1000,
            retention_s=settings.privacy.retention_h * 3600,
        )
        return replace(parts, ledger=ledger)

    return plant


def _platform(made: type[_Platform]) -> Callable[[Parts], Parts]:
    return lambda parts: replace(parts, platform=made(parts.platform))


def _hook(made: type[_Hook]) -> Callable[[Parts], Parts]:
    return lambda parts: replace(
        parts, channels={**parts.channels, "hook": made(parts.channels["hook"])}
    )


def _crm(parts: Parts) -> Parts:
    crms = [
        Crm(crm.name, MixCustomers(crm.adapter), crm.priority, crm.timeout_s)
        for crm in parts.lookup.crms
    ]
    return replace(parts, lookup=replace(parts.lookup, crms=crms))


BUGS: Mapping[str, Callable[[Parts], Parts]] = {
    "acknowledge_first": _ledger(AcknowledgeFirst),
    "start_again": _ledger(StartAgain),
    "send_again": _ledger(SendAgain),
    "memory_only": lambda parts: parts,  # the world gives it no store
    "crossed_sessions": _platform(CrossSessions),
    "stale_write": _platform(StaleWrite),
    "mixed_customers": _crm,
    "another_key": _hook(AnotherKey),
    "no_key": _hook(NoKey),
    "queue_unconsented": _ledger(QueueUnconsented),
    "go_on_in_doubt": _ledger(GoOnInDoubt),
    "lost_is_refused": _texts(LostIsRefused),
    "sent_unasked": _texts(SentUnasked),
    "deaf_to_stop": _ledger(DeafToStop),
    "receipts_twice": _texts(ReceiptsTwice),
}


async def _serve(settings: Settings, plant: Callable[[Parts], Parts]) -> None:
    async with open_parts(settings) as parts:
        broker = build_broker(plant(parts))
        broker.worker.open()
        runner = web.AppRunner(broker.service, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, settings.server.host, settings.server.port).start()
        await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bug", choices=BUGS)
    parser.add_argument("--config", type=Path, required=True)
    arguments: Any = parser.parse_args()
    configure(sys.stdout.buffer)
    asyncio.run(_serve(load(arguments.config, os.environ), BUGS[arguments.bug]))


if __name__ == "__main__":
    main()

"""Messages on their way, and providers that tell of them; for the tests of receipts and replies."""

from __future__ import annotations

from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from broker.domain.messages import (
    DEFLECTION,
    Message,
    MessageState,
    Place,
    ReceiptState,
    handle_alias,
)
from broker.domain.opt_outs import OptOutWords
from broker.domain.record import CallData, Over, Record, add_alias
from broker.domain.sending import queue
from broker.ports import Receipt
from broker.stores.people import RedisOptOuts, RedisTalks
from broker.stores.shared import RedisCounters
from broker.testing.fake_channel import FakeChannel
from broker.usecases.receipts import Callbacks, Receipts
from broker.usecases.replies import Replies

if TYPE_CHECKING:
    from broker.ports import Callback, Inbound
    from tests.unit.usecases.conftest import Replica, World

MOBILE = "+4915112345678"
LOOK_BACK_S = 20.0


class Told:
    """One replica whose channels WhatsApp and SMS call back, and a message in two places."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.whatsapp = FakeChannel(world.clock, calls_back=True)
        self.sms = FakeChannel(world.clock, calls_back=True)
        world.channels = {"whatsapp": self.whatsapp, "sms": self.sms}
        self.opt_outs = RedisOptOuts(world.store)
        self.talks = RedisTalks(world.store, world.clock)
        self.replica = world.replica()

    def callbacks(self, replica: Replica | None = None) -> Callbacks:
        one = replica or self.replica
        store, clock = self.world.store, self.world.clock
        counters = RedisCounters(store)
        replies = Replies(
            one.book,
            clock,
            one.metrics,
            counters,
            self.opt_outs,
            self.talks,
            OptOutWords(),
            look_back_s=LOOK_BACK_S,
            home_region="DE",
        )
        receipts = Receipts(one.book, clock, one.metrics, counters, self.opt_outs, "DE")
        channels = {"email": self.world.channel, **self.world.channels}
        return Callbacks(channels, receipts, replies, one.metrics)

    async def tells(self, name: str, callback: Callback) -> str:
        return (await self.callbacks().on_callback(name, callback)).answer

    async def queued(self, *then: Place, silent_after_s: float | None = None) -> Record:
        """A deflection by WhatsApp, on its way."""
        now = self.world.clock.time()
        record = Record(
            uuid4().hex, now, now, CallData(from_=MOBILE), over=Over.ENDED, standalone=True
        )
        handle = token_urlsafe(18)
        message = Message(
            DEFLECTION,
            "whatsapp",
            now,
            now,
            to=MOBILE,
            then=then,
            handle=handle,
            silent_after_s=silent_after_s,
        )
        record = add_alias(queue(record, message), handle_alias(handle))
        return (await self.replica.book.open(record)).record

    async def sent(self, *then: Place, silent_after_s: float | None = None) -> Record:
        record = await self.queued(*then, silent_after_s=silent_after_s)
        return await self.world.until(record, lambda now: state(now) is MessageState.SENT)

    async def now(self, record: Record) -> Record:
        found = await self.replica.book.ledger.find(record.id)
        assert found is not None
        return found

    def said(self, state: ReceiptState, attempt: int = -1, **more: Any) -> Receipt:
        """About one of WhatsApp's attempts, by our reference."""
        return Receipt(state, reference=self.whatsapp.attempts[attempt].receipt_reference, **more)

    async def hears(self, name: str, *written: Inbound) -> None:
        """The provider of this channel tells what somebody wrote."""
        channel = self.world.channels[name]
        await self.tells(name, channel.callback(inbound=written))

    def heard(self, channel: str, outcome: str) -> float:
        return float(self.replica.metrics.inbound.labels(channel, outcome)._value.get())

    def counted(self, channel: str, state: str, outcome: str) -> float:
        return float(self.replica.metrics.receipts.labels(channel, state, outcome)._value.get())


def message(record: Record) -> Message:
    found = record.message(DEFLECTION)
    assert found is not None
    return found


def state(record: Record) -> MessageState:
    return message(record).state

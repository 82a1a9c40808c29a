"""A message of which nothing is heard: its next channel gets its turn, whoever is left to see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.domain.caps import Caps
from broker.domain.errors import AnswerLostError
from broker.domain.messages import MessageState, Place, ReceiptState
from broker.domain.send_rules import SendRules
from tests.unit.usecases.told import MOBILE, Told, message, state

if TYPE_CHECKING:
    from broker.domain.record import Record
    from tests.unit.usecases.conftest import World

SMS = Place("sms", MOBILE)
PATIENCE_S = 2.0


@pytest.fixture
def told(world: World) -> Told:
    return Told(world)


def by_sms(record: Record) -> bool:
    return message(record).channel == "sms" and state(record) is MessageState.SENT


async def now(told: Told, record: Record) -> Record:
    found = await told.replica.book.ledger.find(record.id)
    assert found is not None
    return found


async def test_silence_moves_it_on_in_time_and_a_late_receipt_changes_nothing(told: Told) -> None:
    told.replica.worker.open()
    record = await told.sent(SMS, silent_after_s=PATIENCE_S)
    began = told.world.clock.time()
    await told.world.clock.sleep(PATIENCE_S - 0.3)
    assert state(await now(told, record)) is MessageState.SENT
    assert told.sms.attempts == []
    moved = await told.world.until(record, by_sms)
    assert PATIENCE_S - 0.1 < told.world.clock.time() - began < PATIENCE_S + 0.5
    fallbacks = told.replica.metrics.fallbacks
    assert fallbacks.labels("whatsapp", "silent")._value.get() == 1
    late = told.said(ReceiptState.DELIVERED, attempt=0)
    await told.tells("whatsapp", told.whatsapp.callback(late))
    assert await now(told, record) == moved
    assert (len(told.whatsapp.taken), len(told.sms.taken)) == (1, 1)


async def test_a_receipt_in_time_cancels_it(told: Told) -> None:
    told.replica.worker.open()
    record = await told.sent(SMS, silent_after_s=PATIENCE_S)
    await told.world.clock.sleep(PATIENCE_S / 2)
    await told.tells("whatsapp", told.whatsapp.callback(told.said(ReceiptState.DELIVERED)))
    due = await told.replica.book.ledger.due()
    assert due["messages"].held == 0, "nothing is left to do for it"
    await told.world.clock.sleep(2 * PATIENCE_S)
    assert state(await now(told, record)) is MessageState.DELIVERED
    assert told.sms.attempts == []


async def test_a_receipt_that_comes_while_it_is_being_moved_on_wins(told: Told) -> None:
    record = await told.sent(SMS, silent_after_s=PATIENCE_S)
    await told.world.clock.sleep(PATIENCE_S + 0.1)
    claimed = await told.replica.book.ledger.claim(10)
    await told.tells("whatsapp", told.whatsapp.callback(told.said(ReceiptState.DELIVERED)))
    trace = await told.replica.book.ledger.trace(record.id)
    told.replica.worker.start(claimed)
    await told.world.clock.sleep(0.1)
    assert [lease.work for lease in claimed] == ["message:deflection"]
    assert state(await now(told, record)) is MessageState.DELIVERED
    assert await told.replica.book.ledger.trace(record.id) == trace
    assert told.sms.attempts == []


async def test_it_survives_the_replica_that_sent_it(told: Told) -> None:
    record = await told.sent(SMS, silent_after_s=PATIENCE_S)
    await told.replica.worker.drain(0.0)
    other = told.world.replica()
    other.worker.open()
    await told.world.until(record, by_sms, seconds=PATIENCE_S + 3)
    assert len(told.sms.taken) == 1


async def test_a_failure_while_it_waits_starts_the_next_channel_at_once(told: Told) -> None:
    record = await told.sent(SMS, silent_after_s=PATIENCE_S)
    began = told.world.clock.time()
    await told.tells("whatsapp", told.whatsapp.callback(told.said(ReceiptState.FAILED)))
    await told.world.until(record, by_sms)
    assert told.world.clock.time() - began < 0.1, "nobody had to claim it"
    fallbacks = told.replica.metrics.fallbacks
    assert fallbacks.labels("whatsapp", "receipt")._value.get() == 1


async def test_two_replicas_send_it_once_on_the_next_channel(world: World) -> None:
    world.rules = SendRules(Caps(per_number_per_day=100, per_prefix_per_10min=100))
    told = Told(world)
    told.replica.worker.open()
    other = told.world.replica()
    other.worker.open()
    records = [await told.sent(SMS, silent_after_s=PATIENCE_S) for _ in range(10)]
    for record in records:
        await told.world.until(record, by_sms, seconds=PATIENCE_S + 3)
    await told.world.clock.sleep(1.0)
    assert (len(told.whatsapp.taken), len(told.sms.taken)) == (10, 10)


async def test_without_another_channel_silence_is_no_reason(told: Told) -> None:
    told.replica.worker.open()
    record = await told.sent(silent_after_s=PATIENCE_S)
    await told.world.clock.sleep(2 * PATIENCE_S)
    assert state(await now(told, record)) is MessageState.SENT


async def test_the_next_channel_may_lead_to_the_same_receiver(told: Told) -> None:
    """He takes each key once: going on is no repeat, and a repeat there is one."""
    told.whatsapp.keyed = told.sms.keyed = True
    told.sms.taken = told.whatsapp.taken
    told.sms.fail(AnswerLostError("cut"))
    told.replica.worker.open()
    record = await told.sent(SMS, silent_after_s=PATIENCE_S)
    record = await told.world.until(
        record, lambda now: (message(now).channel, state(now)) == ("sms", MessageState.SENT), 10.0
    )
    assert message(record).attempts == 3
    first, second = f"{record.id}|deflection", f"{record.id}|deflection|2"
    assert [one.reference for one in told.sms.attempts] == [second, second]
    assert [one.reference for one in told.whatsapp.taken] == [first, second]

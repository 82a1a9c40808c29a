"""What providers tell of messages, against the real ledger: once, in any order, from anybody."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from broker.domain.errors import (
    AnswerLostError,
    BadInputError,
    SignatureError,
    StoreUnavailableError,
)
from broker.domain.messages import DEFLECTION, MessageState, Place, ReceiptState, message_id
from broker.domain.people import hashed
from broker.ports import Inbound, Receipt
from tests.unit.usecases.told import MOBILE, Told, message, state

if TYPE_CHECKING:
    from tests.unit.usecases.conftest import World


@pytest.fixture
def told(world: World) -> Told:
    return Told(world)


async def test_every_attempt_carries_where_its_receipts_go(told: Told) -> None:
    record = await told.sent()
    (envelope,) = told.whatsapp.attempts
    reference = f"{message_id(record.id, DEFLECTION)}.1"
    assert envelope.receipt_reference == reference
    address = "https://broker.example.com/v1/channels/whatsapp/callback"
    assert envelope.receipt_url == f"{address}?m={reference}"


async def test_a_receipt_is_believed_once_and_its_replay_changes_nothing(told: Told) -> None:
    record = await told.sent()
    callback = told.whatsapp.callback(told.said(ReceiptState.READ))
    assert await told.tells("whatsapp", callback) == "taken"
    read = await told.world.until(record, lambda now: state(now) is MessageState.READ)
    trace = await told.replica.book.ledger.trace(record.id)
    for _ in range(3):
        await told.tells("whatsapp", callback)
    await told.tells("whatsapp", told.whatsapp.callback(told.said(ReceiptState.DELIVERED)))
    assert await told.replica.book.ledger.find(record.id) == read
    assert await told.replica.book.ledger.trace(record.id) == trace
    assert told.counted("whatsapp", "read", "applied") == 1
    assert told.counted("whatsapp", "read", "unchanged") == 3
    assert told.counted("whatsapp", "delivered", "unchanged") == 1


async def test_a_receipt_without_our_reference_is_found_by_the_providers_id(told: Told) -> None:
    record = await told.sent()
    by_id = Receipt(ReceiptState.DELIVERED, provider_id=message(record).provider_id)
    await told.tells("whatsapp", told.whatsapp.callback(by_id))
    await told.world.until(record, lambda now: state(now) is MessageState.DELIVERED)


async def test_a_failure_receipt_starts_the_next_channel_at_once_on_this_replica(
    told: Told,
) -> None:
    record = await told.sent(Place("sms", MOBILE))
    failed = told.said(ReceiptState.FAILED, reason="131026")
    callback = told.whatsapp.callback(failed)
    before = told.world.clock.time()
    for _ in range(2):
        await told.tells("whatsapp", callback)
    record = await told.world.until(record, lambda now: state(now) is MessageState.SENT)
    assert (message(record).channel, message(record).attempts) == ("sms", 2)
    assert told.world.clock.time() - before < 0.1, "no lease had to run out"
    assert (len(told.whatsapp.taken), len(told.sms.taken)) == (1, 1)
    late = told.said(ReceiptState.DELIVERED, attempt=0)
    await told.tells("whatsapp", told.whatsapp.callback(late))
    assert message(record) == message(await told.world.until(record, lambda now: now))


async def test_a_receipt_that_overtakes_the_answer_is_kept(told: Told) -> None:
    told.whatsapp.hold()
    record = await told.queued()
    await told.world.until(record, lambda now: state(now) is MessageState.SENDING)
    while not told.whatsapp.attempts:
        await told.world.clock.sleep(0.01)
    await told.tells("whatsapp", told.whatsapp.callback(told.said(ReceiptState.DELIVERED)))
    told.whatsapp.release()
    record = await told.world.until(record, lambda now: message(now).provider_id)
    assert state(record) is MessageState.DELIVERED


async def test_a_failure_that_overtakes_the_answer_goes_on_to_the_next_channel(
    told: Told,
) -> None:
    told.whatsapp.hold()
    record = await told.queued(Place("sms", MOBILE))
    while not told.whatsapp.attempts:
        await told.world.clock.sleep(0.01)
    await told.tells("whatsapp", told.whatsapp.callback(told.said(ReceiptState.FAILED)))
    began = told.world.clock.time()
    told.whatsapp.release()
    record = await told.world.until(
        record, lambda now: (message(now).channel, state(now)) == ("sms", MessageState.SENT)
    )
    assert message(record).provider_id == f"fake:{record.id}|{DEFLECTION}|2"
    assert len(told.sms.taken) == 1
    assert told.world.clock.time() - began < 0.1, "no lease had to run out"


@pytest.mark.parametrize(
    "receipt",
    [
        Receipt(ReceiptState.DELIVERED),
        Receipt(ReceiptState.DELIVERED, "wamid-of-somebody-else", "m" + "0" * 31 + ".1"),
        Receipt(ReceiptState.DELIVERED, reference="call:../../etc"),
    ],
    ids=["nothing", "unknown", "no reference of ours"],
)
async def test_what_nobody_knows_is_counted_and_taken(told: Told, receipt: Receipt) -> None:
    assert await told.tells("whatsapp", told.whatsapp.callback(receipt)) == "taken"
    assert told.counted("whatsapp", "delivered", "unknown") == 1


async def test_a_receipt_for_an_erased_message_is_one_that_nobody_knows(told: Told) -> None:
    await told.sent()
    await told.replica.book.ledger.erase(MOBILE)
    await told.tells("whatsapp", told.whatsapp.callback(told.said(ReceiptState.DELIVERED)))
    assert told.counted("whatsapp", "delivered", "unknown") == 1


async def test_a_forged_callback_is_refused_and_counted(told: Told) -> None:
    record = await told.sent()
    genuine = told.whatsapp.callback(told.said(ReceiptState.READ))
    with pytest.raises(SignatureError):
        await told.tells("whatsapp", replace(genuine, headers={}))
    assert told.replica.metrics.callbacks_refused.labels("whatsapp")._value.get() == 1
    assert await told.replica.book.ledger.find(record.id) == record


@pytest.mark.parametrize("name", ["nothing", "email"])
async def test_a_channel_that_takes_no_callbacks_is_not_found(told: Told, name: str) -> None:
    with pytest.raises(BadInputError) as refused:
        await told.tells(name, told.whatsapp.callback())
    assert refused.value.code == "not_found"


async def test_without_a_store_nothing_is_promised_and_the_repeat_is_taken(told: Told) -> None:
    record = await told.sent()
    callback = told.whatsapp.callback(told.said(ReceiptState.READ))
    told.world.store.away = True
    with pytest.raises(StoreUnavailableError):
        await told.tells("whatsapp", callback)
    told.world.store.away = False
    await told.tells("whatsapp", callback)
    await told.world.until(record, lambda now: state(now) is MessageState.READ)


async def test_a_bundle_of_receipts_does_not_wait_for_the_store_once_for_each(told: Told) -> None:
    record = await told.sent()
    others = [Receipt(ReceiptState.DELIVERED, f"wamid.{n}") for n in range(60)]
    callback = told.whatsapp.callback(*others, told.said(ReceiptState.READ))
    told.world.store.slow_s, began = 0.02, told.world.clock.time()
    await told.tells("whatsapp", callback)
    took, told.world.store.slow_s = told.world.clock.time() - began, 0.0
    assert took < 0.6, "half of what one after the other takes"
    await told.world.until(record, lambda now: state(now) is MessageState.READ)
    assert told.counted("whatsapp", "delivered", "unknown") == 60


async def test_receipts_of_one_message_that_come_together_settle_on_the_furthest(
    told: Told,
) -> None:
    record = await told.sent()
    states = [ReceiptState.READ, ReceiptState.SENT, ReceiptState.DELIVERED, ReceiptState.FAILED] * 5
    await told.tells("whatsapp", told.whatsapp.callback(*map(told.said, states)))
    await told.world.until(record, lambda now: state(now) is MessageState.READ)
    assert len(told.whatsapp.taken) == 1


ADDRESS = "ada@example.com"


async def test_a_receipt_that_tells_of_an_opt_out_ends_the_message_and_is_kept(told: Told) -> None:
    record = await told.sent(Place("sms", MOBILE))
    opted_out = told.said(ReceiptState.FAILED, reason="131050", opted_out=True)
    for _ in range(2):
        await told.tells("whatsapp", told.whatsapp.callback(opted_out))
    ended = message(await told.now(record))
    assert (ended.state, ended.reason) == (MessageState.SUPPRESSED, "opted_out")
    assert (ended.channel, told.sms.attempts) == ("whatsapp", [])
    assert await told.opt_outs.stopped([hashed(MOBILE)])
    assert told.counted("whatsapp", "failed", "applied") == 1
    assert told.counted("whatsapp", "failed", "unchanged") == 1
    next_one = await told.queued()
    held = await told.world.until(next_one, lambda now: state(now) is MessageState.SUPPRESSED)
    assert (message(held).reason, message(held).attempts) == ("opted_out", 0)


@pytest.mark.parametrize("deaf", [False, True], ids=["same step", "lost reply"])
async def test_an_opt_out_is_kept_in_the_step_that_ends_the_message(told: Told, deaf: bool) -> None:
    record = await told.sent(Place("sms", MOBILE))
    told.world.store.deaf_to_commit = told.world.store.commits + 1 if deaf else None
    callback = told.whatsapp.callback(told.said(ReceiptState.FAILED, opted_out=True))
    with pytest.raises(StoreUnavailableError) if deaf else nullcontext():
        await told.tells("whatsapp", callback)
    assert state(await told.now(record)) is MessageState.SUPPRESSED
    assert await told.opt_outs.stopped([hashed(MOBILE)])


async def test_an_opt_out_settles_a_message_of_which_nobody_knew(told: Told) -> None:
    told.whatsapp.fail(AnswerLostError("hung up"))
    record = await told.queued(Place("sms", MOBILE))
    await told.world.until(record, lambda now: state(now) is MessageState.UNKNOWN)
    opted_out = told.said(ReceiptState.FAILED, opted_out=True)
    await told.tells("whatsapp", told.whatsapp.callback(opted_out))
    assert state(await told.now(record)) is MessageState.SUPPRESSED
    assert await told.opt_outs.stopped([hashed(MOBILE)])
    assert told.sms.attempts == []


async def test_an_opt_out_that_overtakes_the_answer_ends_the_message(told: Told) -> None:
    told.whatsapp.hold()
    record = await told.queued(Place("sms", MOBILE))
    while not told.whatsapp.attempts:
        await told.world.clock.sleep(0.01)
    opted_out = told.said(ReceiptState.FAILED, opted_out=True)
    await told.tells("whatsapp", told.whatsapp.callback(opted_out))
    told.whatsapp.release()
    await told.world.clock.sleep(0.1)
    assert state(await told.now(record)) is MessageState.SUPPRESSED
    assert (len(told.whatsapp.taken), told.sms.attempts) == (1, [])


async def test_an_opt_out_of_a_message_that_has_gone_on_holds_by_all_its_addresses(
    told: Told,
) -> None:
    record = await told.sent(Place("sms", ADDRESS))
    await told.tells("whatsapp", told.whatsapp.callback(told.said(ReceiptState.FAILED)))
    sent_on = await told.world.until(record, lambda now: state(now) is MessageState.SENT)
    late = told.said(ReceiptState.FAILED, opted_out=True, recipient=MOBILE)
    await told.tells("whatsapp", told.whatsapp.callback(late))
    assert await told.now(record) == sent_on, "what was handed over is not called back"
    for name in (MOBILE, ADDRESS):
        assert await told.opt_outs.stopped([hashed(name)]), name


async def test_an_opt_out_of_what_has_gone_on_is_kept_without_our_reference(told: Told) -> None:
    record = await told.sent(Place("sms", ADDRESS))
    provider_id = message(record).provider_id
    await told.tells("whatsapp", told.whatsapp.callback(told.said(ReceiptState.FAILED)))
    late = Receipt(ReceiptState.FAILED, provider_id, opted_out=True, recipient=MOBILE)
    await told.tells("whatsapp", told.whatsapp.callback(late))
    assert await told.opt_outs.stopped([hashed(MOBILE)])


async def test_an_opt_out_of_what_has_arrived_changes_the_person_only(told: Told) -> None:
    record = await told.sent()
    await told.tells("whatsapp", told.whatsapp.callback(told.said(ReceiptState.READ)))
    opted_out = told.said(ReceiptState.FAILED, opted_out=True)
    await told.tells("whatsapp", told.whatsapp.callback(opted_out))
    assert state(await told.now(record)) is MessageState.READ
    assert await told.opt_outs.stopped([hashed(MOBILE)])


async def test_a_stop_is_kept_before_a_failure_beside_it_begins_the_next_channel(
    told: Told,
) -> None:
    record = await told.sent(Place("sms", MOBILE))
    stop = (Inbound(MOBILE, "STOP", "in-1"),)
    failed = told.said(ReceiptState.FAILED)
    told.world.store.slow_s = 0.01
    await told.tells("whatsapp", told.whatsapp.callback(failed, inbound=stop))
    ended = await told.world.until(record, lambda now: not state(now).pending)
    assert (state(ended), message(ended).reason) == (MessageState.SUPPRESSED, "opted_out")
    assert told.sms.attempts == []


async def test_a_stop_beside_a_receipt_that_cannot_be_kept_is_kept(told: Told) -> None:
    await told.sent()
    stop = (Inbound(MOBILE, "STOP", "in-1"),)
    callback = told.whatsapp.callback(told.said(ReceiptState.READ), inbound=stop)
    told.world.store.deaf_to_commit = told.world.store.commits + 1
    with pytest.raises(StoreUnavailableError):
        await told.tells("whatsapp", callback)
    assert await told.opt_outs.stopped([hashed(MOBILE)])


@pytest.mark.parametrize("before", [None, ReceiptState.READ], ids=["suppressed", "read"])
async def test_an_opt_out_told_again_does_not_undo_a_start(
    told: Told, before: ReceiptState | None
) -> None:
    await told.sent()
    if before is not None:
        await told.tells("whatsapp", told.whatsapp.callback(told.said(before)))
    callback = told.whatsapp.callback(told.said(ReceiptState.FAILED, opted_out=True))
    await told.tells("whatsapp", callback)
    await told.hears("sms", Inbound(MOBILE, "START", "in-1"))
    await told.tells("whatsapp", callback)
    assert not await told.opt_outs.stopped([hashed(MOBILE)])


async def test_how_long_a_delivery_took_is_counted_once(told: Told) -> None:
    await told.sent()
    callback = told.whatsapp.callback(told.said(ReceiptState.DELIVERED))
    for _ in range(2):
        await told.tells("whatsapp", callback)
    assert told.replica.metrics.receipt_delay.labels("whatsapp")._sum.get() < 1.0
    assert b'broker_receipt_delay_seconds_count{channel="whatsapp"} 1.0' in (
        told.replica.metrics.render()
    )

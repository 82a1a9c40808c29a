"""A tracking message from its queueing to its end: sent once, or honestly not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from broker.domain.errors import (
    AnswerLostError,
    OptedOutError,
    PermanentError,
    TemporaryError,
)
from broker.domain.messages import (
    TRACKING,
    Backoff,
    Message,
    MessageState,
    Place,
    Tracking,
    When,
)
from broker.domain.recipients import Recipients
from broker.domain.record import Outcome, Record, show_again
from broker.domain.sending import queue
from broker.usecases.deliver import SENDS_AT_ONCE
from broker.usecases.identify import CallStarted

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.domain.customer import Customer
    from tests.unit.usecases.conftest import World

CALLER = "+493023125001"
URL = "https://shop.example.com/{track_id}"


def _in(state: MessageState) -> Callable[[Record], bool]:
    return lambda record: _message(record) is not None and _message(record).state is state


def _message(record: Record) -> Message:
    message = record.message(TRACKING)
    return message if message is not None else Message(TRACKING, "none", 0, 0)


async def test_message_is_sent_once_however_often_the_call_starts(
    world: World, standard: Customer
) -> None:
    world.tracking()
    world.crm.add(standard, CALLER)
    replica = world.replica()
    record = await world.starts(replica)
    sent = await world.until(record, _in(MessageState.SENT))
    again = CallStarted(sent.id, session_id=sent.data.session_id, from_=CALLER)
    await replica.identify.on_call_start(again)
    await asyncio.sleep(0.05)
    assert [envelope.to for envelope in world.channel.taken] == ["ben@example.com"]


async def test_message_not_taken_now_is_tried_again_and_then_sent(
    world: World, standard: Customer
) -> None:
    world.tracking()
    world.crm.add(standard, CALLER)
    world.channel.fail(TemporaryError("greylisted"))
    replica = world.replica()
    replica.worker.open()
    record = await world.starts(replica)
    sent = await world.until(record, _in(MessageState.SENT))
    assert _message(sent).attempts == 2
    assert len({envelope.reference for envelope in world.channel.attempts}) == 1


async def test_message_that_is_never_taken_has_failed_in_the_end(
    world: World, standard: Customer
) -> None:
    world.tracking()
    world.crm.add(standard, CALLER)
    world.channel.fail(*[TemporaryError("greylisted")] * 50)
    replica = world.replica()
    replica.worker.open()
    record = await world.starts(replica)
    failed = await world.until(record, _in(MessageState.FAILED))
    assert _message(failed).reason == "gave_up"
    assert 1 < _message(failed).attempts < 10


async def test_channel_that_hangs_holds_up_neither_calls_nor_more_than_its_share(
    world: World, standard: Customer
) -> None:
    world.tracking()
    world.crm.add(standard, CALLER)
    world.channel.hold()
    replica = world.replica()
    replica.worker.open()
    records = [await world.starts(replica) for _ in range(SENDS_AT_ONCE + 3)]
    for record in records:
        await world.until(record, lambda current: current.messages)
    await asyncio.sleep(1.0)
    assert len(world.channel.attempts) == SENDS_AT_ONCE
    assert replica.worker.in_flight == 0
    world.channel.release()
    for record in records:
        await world.until(record, _in(MessageState.SENT))
    assert len(world.channel.taken) == len(records)


async def test_refused_message_has_failed_at_once(world: World, standard: Customer) -> None:
    world.tracking()
    world.crm.add(standard, CALLER)
    world.channel.fail(PermanentError("550"))
    replica = world.replica()
    record = await world.starts(replica)
    await world.until(record, _in(MessageState.FAILED))
    over = await replica.finish.on_end(record.id)
    assert over is not None
    assert (over.outcome, over.reason) == (Outcome.FAILED, "refused")
    assert len(world.channel.attempts) == 1


async def test_lost_answer_is_unknown_and_nobody_sends_again(
    world: World, standard: Customer
) -> None:
    world.tracking()
    world.crm.add(standard, CALLER)
    world.channel.fail(AnswerLostError("no 250"))
    replica = world.replica()
    replica.worker.open()
    record = await world.starts(replica)
    await world.until(record, _in(MessageState.UNKNOWN))
    await asyncio.sleep(0.5)
    assert len(world.channel.attempts) == 1
    over = await replica.finish.on_end(record.id)
    assert over is not None
    assert over.outcome is Outcome.MESSAGE_UNKNOWN


async def test_replica_that_dies_while_it_sends_leaves_an_unknown_message(
    world: World, standard: Customer
) -> None:
    world.tracking()
    world.crm.add(standard, CALLER)
    world.channel.hold()
    dying, heir = world.replica(), world.replica()
    record = await world.starts(dying)
    await world.until(record, _in(MessageState.SENDING))
    running = [task for _, task in dying.worker._running()]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    heir.worker.open()
    await world.until(record, _in(MessageState.UNKNOWN))
    assert len(world.channel.attempts) == 1


async def test_lost_answer_of_a_keyed_channel_is_cleared_up_by_sending_again(
    world: World, standard: Customer
) -> None:
    world.tracking()
    world.channel.keyed = True
    world.crm.add(standard, CALLER)
    world.channel.fail(AnswerLostError("reset"), AnswerLostError("reset"))
    replica = world.replica()
    replica.worker.open()
    record = await world.starts(replica)
    sent = await world.until(record, _in(MessageState.SENT))
    assert (_message(sent).attempts, _message(sent).doubtful) == (3, False)
    assert len({envelope.reference for envelope in world.channel.attempts}) == 1
    assert len(world.channel.taken) == 1


async def test_replica_that_dies_while_it_sends_leaves_one_message_of_a_keyed_channel(
    world: World, standard: Customer
) -> None:
    world.tracking()
    world.channel.keyed = True
    world.backoff = Backoff(first_s=0.05)
    world.crm.add(standard, CALLER)
    world.channel.hold()
    dying, heir = world.replica(), world.replica()
    record = await world.starts(dying)
    await world.until(record, _in(MessageState.SENDING))
    running = [task for _, task in dying.worker._running()]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    world.channel.release()
    heir.worker.open()
    sent = await world.until(record, _in(MessageState.SENT))
    assert _message(sent).attempts == 2
    assert len(world.channel.taken) == 1


async def test_keyed_channel_that_never_answers_again_leaves_an_unknown_message(
    world: World, standard: Customer
) -> None:
    """The first attempt may have arrived, so `failed` could be wrong."""
    world.tracking()
    world.channel.keyed = True
    world.crm.add(standard, CALLER)
    world.channel.fail(AnswerLostError("reset"), *[TemporaryError("503")] * 50)
    replica = world.replica()
    replica.worker.open()
    record = await world.starts(replica)
    unknown = await world.until(record, _in(MessageState.UNKNOWN))
    assert _message(unknown).reason == "gave_up"
    assert 1 < len(world.channel.attempts) < 10


async def test_operator_can_have_a_lost_answer_sent_again_without_a_key(
    world: World, standard: Customer
) -> None:
    world.tracking()
    world.resend = frozenset({"email"})
    world.crm.add(standard, CALLER)
    world.channel.fail(AnswerLostError("no 250"))
    replica = world.replica()
    replica.worker.open()
    record = await world.starts(replica)
    await world.until(record, _in(MessageState.SENT))
    assert len(world.channel.taken) == 2


async def test_success_is_kept_even_if_the_store_comes_back_after_the_lease(
    world: World, standard: Customer
) -> None:
    world.tracking()
    world.crm.add(standard, CALLER)
    world.channel.hold()
    sender, heir = world.replica(), world.replica()
    sender.worker.open()
    record = await world.starts(sender)
    await world.until(record, _in(MessageState.SENDING))
    world.store.away = True
    world.channel.release()
    await asyncio.sleep(0.5)
    world.store.away = False
    heir.worker.open()
    await world.until(record, _in(MessageState.SENT))
    assert len(world.channel.taken) == 1


async def test_replica_does_not_take_over_what_it_still_does_itself(
    world: World, standard: Customer
) -> None:
    """As a store that is back, or a process that was stopped for longer than a lease, finds it."""
    world.tracking()
    world.crm.add(standard, CALLER)
    world.channel.hold()
    replica = world.replica()
    replica.worker.open()
    record = await world.starts(replica)
    await world.until(record, _in(MessageState.SENDING))
    await replica.finish.on_end(record.id)
    world.store.away = True
    await asyncio.sleep(1.0)
    world.store.away = False
    await asyncio.sleep(1.0)
    world.channel.release()
    ended = await world.until(record, lambda current: current.outcome)
    assert ended.outcome is Outcome.MESSAGED


async def test_message_for_a_channel_that_is_gone_from_the_settings_has_failed(
    world: World, standard: Customer
) -> None:
    """Nothing went out, so the state must not say that something may have."""
    world.policy = replace(world.policy, tracking=Tracking(URL, channel="pigeon"))
    world.crm.add(standard, CALLER)
    record = await world.starts(world.replica())
    failed = await world.until(record, lambda r: r.messages and not _message(r).state.pending)
    assert _message(failed).state is MessageState.FAILED


async def test_lost_reply_to_the_mark_does_not_make_a_message_unknown(
    world: World, standard: Customer
) -> None:
    world.tracking()
    world.crm.add(standard, CALLER)
    world.store.deaf_to_commit = 3
    record = await world.starts(world.replica())
    sent = await world.until(record, _in(MessageState.SENT))
    assert world.store.deaf_to_commit is None, "decided, written, and then the mark"
    assert _message(sent).attempts == len(world.channel.attempts) == 1


async def test_lost_reply_to_a_refusal_leaves_out_no_channel(
    world: World, standard: Customer
) -> None:
    """The call was changed meanwhile, and the refusal is told again: the message went on before."""
    tracking = Tracking(URL, channel="hook", when=When.ON_REQUEST)
    world.policy = replace(world.policy, tracking=tracking)
    world.channels["hook"] = world.channel
    world.crm.add(standard, CALLER)
    replica = world.replica()
    record = await world.starts(replica)
    await world.until(record, lambda call: all(step.done for step in call.steps))
    world.channel.fail(PermanentError("never"))
    world.store.deaf_to_commit = world.store.commits + 3
    now = world.clock.time()
    chain = Message(TRACKING, "hook", now, now, then=(Place("email", "ben@example.com"),))
    await replica.book.save(record.id, partial(queue, message=chain))
    await world.until(record, lambda call: call.messages and _message(call).channel == "email")
    await replica.book.save(record.id, show_again)
    sent = await world.until(record, lambda r: r.messages and not _message(r).state.pending)
    assert world.store.deaf_to_commit is None, "queued, marked, and then the refusal"
    assert (_message(sent).state, _message(sent).channel) == (MessageState.SENT, "email")
    assert len(world.channel.attempts) == 2


async def test_nothing_is_sent_if_the_session_was_not_written(
    world: World, standard: Customer
) -> None:
    world.tracking()
    world.crm.add(standard, CALLER)
    world.platform.fail(PermanentError("500"))
    replica = world.replica()
    record = await world.starts(replica)
    await world.until(record, lambda r: all(step.done for step in r.steps))
    over = await replica.finish.on_end(record.id)
    assert over is not None
    assert (over.outcome, over.messages) == (Outcome.FAILED, ())


MOBILE = "+4915112345678"


def _by_sms(world: World, *, or_email: bool = False) -> None:
    """Tracking messages go by the world's one channel, to German mobiles."""
    recipients = Recipients(frozenset({"DE"}), home_region="DE")
    world.channels["sms"] = world.channel
    tracking = Tracking(URL, channel="sms", recipients=recipients, or_email=or_email)
    world.policy = replace(world.policy, tracking=tracking)


async def test_text_message_goes_to_the_number_that_calls(world: World, standard: Customer) -> None:
    _by_sms(world)
    world.crm.add(standard, MOBILE)
    record = await world.starts(world.replica(), caller=MOBILE)
    sent = await world.until(record, _in(MessageState.SENT))
    assert _message(sent).channel == "sms"
    assert [envelope.to for envelope in world.channel.taken] == [MOBILE]


async def test_who_calls_from_a_fixed_line_gets_an_email_if_there_is_one(
    world: World, standard: Customer
) -> None:
    """The route has promised a message, so it must not come to nothing."""
    _by_sms(world, or_email=True)
    world.crm.add(standard, CALLER)
    record = await world.starts(world.replica())
    sent = await world.until(record, _in(MessageState.SENT))
    assert _message(sent).channel == "email"
    assert [envelope.to for envelope in world.channel.taken] == [standard.email]


async def test_without_a_mobile_and_without_email_nothing_is_queued(
    world: World, standard: Customer
) -> None:
    _by_sms(world)
    world.crm.add(standard, CALLER)
    record = await world.starts(world.replica())
    done = await world.until(record, lambda r: all(step.done for step in r.steps))
    assert done.messages == ()


async def test_who_wants_no_messages_is_no_failure(world: World, standard: Customer) -> None:
    _by_sms(world)
    world.crm.add(standard, MOBILE)
    world.channel.fail(OptedOutError("the recipient has opted out"))
    replica = world.replica()
    record = await world.starts(replica, caller=MOBILE)
    silent = await world.until(record, _in(MessageState.SUPPRESSED))
    assert _message(silent).reason == "opted_out"
    await replica.finish.on_end(silent.id, None)
    over = await world.until(silent, lambda current: current.outcome)
    assert over.outcome is Outcome.SUPPRESSED
    assert await replica.book.ledger.dead_letters() == []

"""Which call an event is about, where its session is, and how it ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from broker.domain.errors import (
    BadInputError,
    CallEndedError,
    StoreUnavailableError,
    TemporaryError,
    UnknownCallError,
)
from broker.domain.messages import TRACKING, Tracking, When
from broker.domain.record import NUMBER, Outcome, Over, Record, Written
from broker.usecases.identify import CallStarted
from broker.usecases.notify import Notify

if TYPE_CHECKING:
    from broker.domain.customer import Customer
    from tests.unit.usecases.conftest import World

CALLER = "+493023125001"
URL = "https://shop.example.com/{track_id}"


def finished(record: Record) -> bool:
    return all(step.done for step in record.steps)


# Repeats and legs


async def test_a_repeated_call_start_gets_the_record_and_asks_nobody_again(
    world: World, premium: Customer
) -> None:
    world.crm.add(premium, CALLER)
    replicas = [world.replica(), world.replica()]
    record = await world.starts(replicas[0])
    again = CallStarted(record.id, session_id=record.data.session_id, from_="+493023125999")
    for replica in replicas * 2:
        known = await replica.identify.on_call_start(again)
        assert known is not None
        assert known.data.from_ == CALLER
    await world.until(record, finished)
    assert world.crm.asked == [CALLER]
    assert len(world.platform.writes) == 1


async def test_a_call_start_sent_to_all_replicas_at_once_is_one_call(
    world: World, standard: Customer
) -> None:
    world.tracking()
    world.crm.add(standard, CALLER)
    replicas = [world.replica() for _ in range(3)]
    event = CallStarted(uuid4().hex, session_id=uuid4().hex, from_=CALLER)
    records = await asyncio.gather(*(r.identify.on_call_start(event) for r in replicas))
    assert records[0] is not None
    await world.until(records[0], _is_sent)
    await asyncio.sleep(1.0)
    assert world.crm.asked == [CALLER]
    assert len(world.channel.attempts) == 1


@pytest.mark.parametrize("by_parent", [True, False])
async def test_a_child_leg_gets_its_parents_record_and_is_found_by_its_own_id(
    world: World, by_parent: bool
) -> None:
    replica = world.replica()
    record = await world.starts(replica)
    leg = CallStarted(uuid4().hex, parent_id=record.id, from_="+493023125777")
    if not by_parent:
        leg = CallStarted(record.id, outbound=True)
    known = await replica.identify.on_call_start(leg)
    assert known is not None
    assert known.id == record.id
    found = await replica.watch.find(leg.call_id)
    assert found is not None
    assert found.id == record.id
    await world.until(record, finished)
    assert world.crm.asked == [CALLER]


async def test_a_child_leg_of_nobody_is_ignored(world: World) -> None:
    replica = world.replica()
    for leg in (CallStarted("leg", parent_id="unknown"), CallStarted("leg", outbound=True)):
        assert await replica.identify.on_call_start(leg) is None
    assert await replica.watch.find("leg") is None
    assert world.crm.asked == []


async def test_the_end_of_a_child_leg_does_not_end_the_call(world: World) -> None:
    replica = world.replica()
    record = await world.starts(replica)
    await replica.identify.on_call_start(CallStarted("leg", parent_id=record.id))
    assert await replica.finish.on_end("leg") is None
    assert await replica.finish.on_end("unknown") is None
    alive = await replica.watch.find(record.id)
    assert alive is not None
    assert alive.over is None


async def test_a_call_ends_by_its_session_too_and_only_once(world: World) -> None:
    replica = world.replica()
    record = await world.starts(replica)
    await world.until(record, finished)
    over = await replica.finish.on_end(str(record.data.session_id), "busy")
    assert over is not None
    assert (over.over, over.disposition, over.outcome) == (Over.ENDED, "busy", Outcome.NO_MATCH)
    assert await replica.finish.on_end(record.id, "other") == over


async def test_after_the_end_a_reference_changes_nothing(world: World) -> None:
    replica = world.replica()
    record = await world.starts(replica)
    await world.until(record, finished)
    over = await replica.finish.on_end(record.id)
    known, name = await replica.identify.on_reference(CallStarted(record.id), "2001001")
    assert known == over
    assert name == NUMBER
    assert world.crm.asked == [CALLER]


async def test_a_call_nobody_hears_of_any_more_is_over(world: World) -> None:
    world.policy = replace(world.policy, idle_s=1.0)
    replica = world.replica()
    replica.worker.open()
    record = await world.starts(replica)
    over = await world.until(record, lambda r: r.outcome)
    assert (over.over, over.outcome) == (Over.IDLE, Outcome.NO_MATCH)


async def test_a_reference_keeps_a_call_from_being_over(world: World) -> None:
    world.policy = replace(world.policy, idle_s=1.0)
    replica = world.replica()
    replica.worker.open()
    record = await world.starts(replica)
    await asyncio.sleep(0.8)
    await replica.identify.on_reference(CallStarted(record.id), "2001001")
    await asyncio.sleep(0.8)
    alive = await replica.watch.find(record.id)
    assert alive is not None
    assert alive.over is None


async def test_a_child_leg_keeps_a_call_from_being_over(world: World) -> None:
    world.policy = replace(world.policy, idle_s=1.0)
    replica = world.replica()
    replica.worker.open()
    record = await world.starts(replica)
    await asyncio.sleep(0.8)
    await replica.identify.on_call_start(CallStarted("leg", parent_id=record.id))
    await asyncio.sleep(0.8)
    alive = await replica.watch.find(record.id)
    assert alive is not None
    assert alive.over is None


async def test_a_call_start_after_a_reference_found_somebody_does_not_contradict_him(
    world: World, premium: Customer, standard: Customer
) -> None:
    """The first customer found is the call's; a number is no claim to be somebody else."""
    world.crm.add(premium, references=["2001001"])
    world.crm.add(standard, CALLER)
    replica = world.replica()
    event = CallStarted(uuid4().hex, session_id=uuid4().hex, from_=CALLER)
    record, _ = await replica.identify.on_reference(event, "2001001")
    assert record is not None
    await world.until(record, lambda r: r.customer and finished(r))
    await replica.identify.on_call_start(event)
    known = await world.until(record, finished)
    assert known.customer == premium
    assert not known.contradicted


# Sessions


async def test_a_session_that_was_resolved_is_written(world: World, premium: Customer) -> None:
    world.crm.add(premium, CALLER)
    replica = world.replica()
    call_id = uuid4().hex
    world.platform.resolves[call_id] = "resolved"
    record = await replica.identify.on_call_start(CallStarted(call_id, from_=CALLER))
    assert record is not None
    record = await world.until(record, finished)
    assert world.platform.sessions["resolved"]["ivr.email"] == premium.email
    assert record.session is not None
    assert record.session.source == "resolved"


async def test_a_session_that_is_found_late_still_gets_its_write_in_time(
    world: World, premium: Customer
) -> None:
    world.crm.add(premium, CALLER)
    world.platform.delay_s = 0.04
    replica = world.replica()
    call_id = uuid4().hex
    world.platform.resolves[call_id] = "resolved"
    record = await replica.identify.on_call_start(CallStarted(call_id, from_=CALLER))
    assert record is not None
    record = await world.until(record, finished)
    assert record.step(NUMBER).written is Written.OK


async def test_a_wrong_guess_of_the_session_has_failed(world: World, premium: Customer) -> None:
    world.crm.add(premium, CALLER)
    world.platform.known = set()
    replica = world.replica()
    record = await world.starts(replica, session_id=None)
    await world.until(record, finished)
    over = await replica.finish.on_end(record.id)
    assert over is not None
    assert (over.outcome, over.reason) == (Outcome.FAILED, "session_not_found")


@pytest.mark.parametrize("resolved", [True, False])
async def test_an_unknown_session_that_was_not_guessed_ends_the_call(
    world: World, premium: Customer, resolved: bool
) -> None:
    world.crm.add(premium, CALLER)
    world.platform.known = set()
    replica = world.replica()
    call_id = uuid4().hex
    if resolved:
        world.platform.resolves[call_id] = "resolved"
    event = CallStarted(call_id, session_id=None if resolved else "given", from_=CALLER)
    record = await replica.identify.on_call_start(event)
    assert record is not None
    over = await world.until(record, lambda r: r.over)
    assert (over.over, over.outcome) == (Over.GONE, Outcome.CALL_GONE)


async def test_a_call_the_platform_does_not_know_is_gone(world: World) -> None:
    call_id = uuid4().hex
    world.platform.end(call_id)
    record = await world.replica().identify.on_call_start(CallStarted(call_id, from_=CALLER))
    assert record is not None
    over = await world.until(record, lambda r: r.over)
    assert (over.over, over.outcome) == (Over.GONE, Outcome.CALL_GONE)


async def test_a_session_gone_between_timeout_and_late_hit_is_no_call_without_write(
    world: World, premium: Customer
) -> None:
    world.crm.add(premium, CALLER)
    world.crm.delay_s = 0.2
    record = await world.starts(world.replica())
    await world.until(record, lambda r: r.step(NUMBER).written)
    world.platform.fail(CallEndedError("gone"))
    over = await world.until(record, lambda r: r.outcome)
    assert (over.over, over.outcome) == (Over.GONE, Outcome.NO_MATCH)


async def test_a_session_found_gone_after_the_end_settles_the_call_at_once(
    world: World, premium: Customer
) -> None:
    world.crm.add(premium, CALLER)
    world.platform.hold()
    world.platform.fail(CallEndedError("gone"))
    replica = world.replica()
    record = await world.starts(replica)
    while not world.platform.writes:
        await asyncio.sleep(0)
    await replica.finish.on_end(record.id)
    world.platform.release()
    over = await world.until(record, lambda r: r.outcome, seconds=0.05)
    assert over.outcome is Outcome.CALL_GONE


async def test_a_platform_that_cannot_be_asked_for_the_session_does_not_stop_the_lookup(
    world: World,
) -> None:
    class Faulty(type(world.platform)):  # type: ignore[misc]
        async def find_session(self, *_: object, **__: object) -> None:
            raise ValueError("a fault of the driver")

    world.platform = Faulty(world.clock)
    replica = world.replica()
    record = await world.starts(replica, session_id=None)
    record = await world.until(record, finished)
    assert (record.step(NUMBER).lookup, record.step(NUMBER).written) == ("not_found", "failed")


# The first write


@pytest.mark.parametrize("tries", [1, 2])
async def test_a_failed_write_is_not_repeated_without_reason(world: World, tries: int) -> None:
    world.platform.fail(*[TemporaryError("500")] * tries)
    replica = world.replica()
    replica.worker.open()
    record = await world.starts(replica)
    record = await world.until(record, finished)
    await asyncio.sleep(1.0)
    assert len(world.platform.writes) == 1
    assert record.step(NUMBER).written is Written.FAILED


async def test_a_reference_makes_up_for_a_number_that_was_not_written(
    world: World, premium: Customer
) -> None:
    world.crm.add(premium, CALLER)
    world.platform.fail(TemporaryError("500"))
    replica = world.replica()
    record = await world.starts(replica)
    await world.until(record, finished)
    await replica.identify.on_reference(CallStarted(record.id), "0000001")
    await world.until(record, lambda r: len(r.steps) == 2 and finished(r))
    over = await replica.finish.on_end(record.id)
    assert over is not None
    assert over.outcome is Outcome.PREMIUM
    assert world.session(record)["ivr.email"] == premium.email


# The tracking message on request


async def test_a_message_asked_for_during_the_lookup_is_sent_when_somebody_is_found(
    world: World, premium: Customer
) -> None:
    world.policy = replace(world.policy, tracking=Tracking(URL, when=When.ON_REQUEST))
    world.crm.add(premium, CALLER)
    world.crm.delay_s = 0.2
    replica = world.replica()
    notify = Notify(replica.book, world.clock, world.policy)
    record = await world.starts(replica)
    asked = await notify.on_tracking_email(record.id)
    assert asked.messages == ()
    await world.until(record, _is_sent)
    again = await notify.on_tracking_email(record.id)
    assert _is_sent(again)
    assert [envelope.to for envelope in world.channel.taken] == [premium.email]


async def test_a_message_that_cannot_be_sent_is_refused_with_its_reason(world: World) -> None:
    world.tracking()
    replica = world.replica()
    notify = Notify(replica.book, world.clock, world.policy)
    record = await world.starts(replica)
    await world.until(record, finished)
    with pytest.raises(BadInputError) as caught:
        await notify.on_tracking_email(record.id)
    assert caught.value.code == "nothing_to_send"
    with pytest.raises(UnknownCallError):
        await notify.on_tracking_email("unknown")


# The store is away


async def test_a_call_that_the_store_did_not_keep_is_refused_without_effect(world: World) -> None:
    replica = world.replica()
    world.store.away = True
    with pytest.raises(StoreUnavailableError):
        await world.starts(replica)
    world.store.away = False
    assert await replica.watch.active(10, None) == []
    assert world.crm.asked == []


async def test_whoever_waits_is_not_told_that_his_call_was_refused(
    world: World, premium: Customer
) -> None:
    world.crm.add(premium, CALLER)
    world.platform.hold()
    replica, elsewhere = world.replica(), world.replica()
    record = await world.starts(replica)
    world.store.unreadable = True
    began = world.clock.monotonic()
    waiting = asyncio.create_task(elsewhere.watch.until(record, finished, 1.0))
    await asyncio.sleep(0.5)
    world.store.unreadable = False
    world.platform.release()
    assert finished(await waiting)
    world.store.unreadable = True
    assert await elsewhere.watch.until(record, finished, 1.0) == record
    assert world.clock.monotonic() - began < 2.5


async def test_a_lost_answer_of_the_store_leaves_the_whole_call_and_a_repeat_is_safe(
    world: World, premium: Customer
) -> None:
    world.crm.add(premium, CALLER)
    replica = world.replica()
    replica.worker.open()
    event = CallStarted(uuid4().hex, session_id=uuid4().hex, from_=CALLER)
    world.store.deaf = True
    with pytest.raises(StoreUnavailableError):
        await replica.identify.on_call_start(event)
    world.store.deaf = False
    record = await replica.identify.on_call_start(event)
    assert record is not None
    done = await world.until(record, lambda r: r.customer and finished(r))
    assert done.step(NUMBER).written is Written.OK
    assert world.crm.asked == [CALLER]


async def test_a_write_is_not_repeated_because_the_store_was_away_after_it(
    world: World, standard: Customer
) -> None:
    world.tracking()
    world.crm.add(standard, CALLER)
    world.platform.hold()
    replica = world.replica()
    replica.worker.open()
    record = await world.starts(replica)
    while not world.platform.writes:
        await asyncio.sleep(0)
    world.store.away = True
    world.platform.release()
    await asyncio.sleep(0.5)
    assert world.channel.attempts == []
    world.store.away = False
    await world.until(record, _is_sent)
    assert len(world.platform.writes) == 1
    assert len(world.channel.attempts) == 1


def _is_sent(record: Record) -> bool:
    message = record.message(TRACKING)
    return message is not None and message.state == "sent"

"""Messages that a rule forbids: opted out, too often, too dear. Nothing is sent, nothing breaks."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from dataclasses import replace
from datetime import time
from functools import partial
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from broker.domain.caps import SPEND, Caps
from broker.domain.customer import Customer
from broker.domain.errors import AnswerLostError, OptedOutError, PermanentError, TemporaryError
from broker.domain.evolve import evolve
from broker.domain.guards import Forbidden
from broker.domain.messages import DEFLECTION, TRACKING, Message, MessageState, Place, Tracking
from broker.domain.people import hashed, people_reached
from broker.domain.quiet_hours import QuietHours
from broker.domain.recipients import Recipients
from broker.domain.record import Outcome, Record
from broker.domain.references import Limit
from broker.domain.send_rules import SendRules
from broker.stores.people import RedisOptOuts
from broker.stores.shared import RedisCounters
from broker.testing.fake_clock import BEGAN
from broker.usecases.dead_letters import DeadLetters
from broker.usecases.spend import Spend

if TYPE_CHECKING:
    from broker.ports import OptOuts
    from tests.unit.usecases.conftest import Replica, World

URL = "https://shop.example.com/{track_id}"
MOBILE = "+4915123456789"
ADA = Customer("c1", "ada@example.com", premium=False, track_id="T-1", phones=("0151 23456789",))
FULL = os.environ.get("CHAOS_SIZE") == "full"


@pytest.fixture
def opt_outs(world: World) -> OptOuts:
    return RedisOptOuts(world.store)


def _by_sms(world: World) -> None:
    """Tracking messages go to German mobiles."""
    world.channels["sms"] = world.channel
    recipients = Recipients(frozenset({"DE"}), home_region="DE")
    world.policy = replace(
        world.policy, tracking=Tracking(URL, channel="sms", recipients=recipients)
    )


async def _ended(world: World, replica: Replica, caller: str = MOBILE) -> tuple[Record, Message]:
    """A call whose message has ended."""
    record = await world.starts(replica, caller)
    ended = await world.until(
        record, lambda call: call.messages and not call.messages[0].state.pending
    )
    return ended, ended.messages[0]


def _forbidden(replica: Replica, channel: str, reason: str) -> float:
    labels = {"channel": channel, "reason": reason}
    name = "broker_forbidden_sends_total"
    return replica.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize("known_by", [MOBILE, "ada@example.com"])
@pytest.mark.parametrize("channel", ["sms", "email"])
async def test_who_has_opted_out_by_any_address_gets_nothing_on_any_channel(
    world: World, opt_outs: OptOuts, known_by: str, channel: str
) -> None:
    _by_sms(world) if channel == "sms" else world.tracking()
    world.rules = SendRules(home_region="DE")
    world.crm.add(ADA, MOBILE)
    await opt_outs.stop([hashed(known_by)], world.clock.time())
    replica = world.replica()
    record, message = await _ended(world, replica)
    assert (message.state, message.reason) == (MessageState.SUPPRESSED, "opted_out")
    assert world.channel.attempts == []
    assert _forbidden(replica, channel, "opted_out") == 1
    over = await replica.finish.on_end(record.id)
    assert over is not None
    assert (over.outcome, over.reason) == (Outcome.SUPPRESSED, "opted_out")
    assert await replica.book.ledger.dead_letters() == []


async def test_opt_out_that_a_provider_tells_of_holds_for_every_later_message(
    world: World, opt_outs: OptOuts
) -> None:
    _by_sms(world)
    world.crm.add(ADA, MOBILE)
    world.rules = SendRules(home_region="DE")
    world.channel.fail(OptedOutError("21610"))
    replica = world.replica()
    await _ended(world, replica)
    assert await opt_outs.stopped([hashed(MOBILE)])
    assert await opt_outs.stopped([hashed("ada@example.com")])
    _, message = await _ended(world, replica)
    assert (message.state, message.reason) == (MessageState.SUPPRESSED, "opted_out")
    assert len(world.channel.attempts) == 1, "only the one that the provider refused"


async def test_stop_between_two_attempts_ends_the_message(world: World, opt_outs: OptOuts) -> None:
    _by_sms(world)
    world.crm.add(ADA, MOBILE)
    world.channel.fail(TemporaryError("busy"))
    replica = world.replica()
    record = await world.starts(replica, MOBILE)
    await world.until(record, lambda call: call.messages and call.messages[0].reason == "not_taken")
    await opt_outs.stop([hashed(MOBILE)], world.clock.time())
    replica.worker.open()
    ended = await world.until(record, lambda call: not call.messages[0].state.pending)
    assert (ended.messages[0].state, ended.messages[0].attempts) == (MessageState.SUPPRESSED, 1)
    assert len(world.channel.attempts) == 1


async def test_message_that_may_have_arrived_before_the_stop_stays_unknown(
    world: World, opt_outs: OptOuts
) -> None:
    _by_sms(world)
    world.crm.add(ADA, MOBILE)
    world.resend = frozenset({"sms"})
    world.channel.fail(AnswerLostError("lost"))
    replica = world.replica()
    record = await world.starts(replica, MOBILE)
    await world.until(record, lambda call: call.messages and call.messages[0].doubtful)
    await opt_outs.stop([hashed(MOBILE)], world.clock.time())
    replica.worker.open()
    ended = await world.until(record, lambda call: not call.messages[0].state.pending)
    assert (ended.messages[0].state, ended.messages[0].reason) == ("unknown", "opted_out")
    assert len(world.channel.attempts) == 1


async def test_operators_retry_is_forbidden_like_any_send(world: World, opt_outs: OptOuts) -> None:
    _by_sms(world)
    world.crm.add(ADA, MOBILE)
    world.channel.fail(PermanentError("refused"))
    replica = world.replica()
    replica.worker.open()
    record, message = await _ended(world, replica)
    assert message.state is MessageState.FAILED
    await opt_outs.stop([hashed(MOBILE)], world.clock.time())
    letters = DeadLetters(replica.book.ledger, world.clock, 3600.0)
    (letter,) = await letters.all()
    assert await letters.retry(letter) is None
    again = await world.until(record, lambda call: call.messages[0].state == "suppressed")
    assert again.messages[0].reason == "opted_out"
    assert len(world.channel.attempts) == 1
    assert await letters.all() == []


async def test_a_number_gets_so_many_messages_a_day_and_retries_do_not_count(world: World) -> None:
    _by_sms(world)
    world.crm.add(ADA, MOBILE)
    world.channel.fail(TemporaryError("busy"), TemporaryError("busy"))
    replica = world.replica()
    replica.worker.open()
    states = [(await _ended(world, replica))[1].state for _ in range(4)]
    assert states == [*(MessageState.SENT,) * 3, MessageState.SUPPRESSED]
    assert len(world.channel.attempts) == 3 + 2
    assert _forbidden(replica, "sms", "cap_number") == 1


async def test_mark_whose_answer_is_lost_counts_once(world: World) -> None:
    _by_sms(world)
    world.crm.add(ADA, MOBILE)
    caps = Caps(spend_per_day=1.0, prices={"sms": 0.25})
    world.rules = SendRules(caps)
    replica = world.replica()
    record = await world.starts(replica, MOBILE)
    await world.until(record, lambda call: call.message(TRACKING))
    world.store.deaf_to_commit = world.store.commits + 1
    await world.until(record, lambda call: call.messages[0].state is MessageState.SENT)
    assert await Spend(RedisCounters(world.store), caps).used() == pytest.approx(0.25)


async def test_without_a_cap_nothing_is_spent(world: World) -> None:
    _by_sms(world)
    world.crm.add(ADA, MOBILE)
    caps, counters = Caps(prices={"sms": 0.25}), RedisCounters(world.store)
    world.rules = SendRules(caps)
    assert (await _ended(world, world.replica()))[1].state is MessageState.SENT
    (limit,) = (cap.limit for cap in caps.of(MOBILE, "sms") if cap.reason is Forbidden.CAP_NUMBER)
    assert await counters.counted(limit) == 1, "it was looked at"
    assert await counters.counted(Limit(SPEND, 1, 86_400.0)) == 0
    assert await Spend(counters, caps).used() == 0


@pytest.mark.parametrize("sender", [MOBILE, "ada@example.com"])
async def test_a_stop_by_one_of_his_names_ends_messages_on_all_channels_until_start(
    world: World, opt_outs: OptOuts, sender: str
) -> None:
    _by_sms(world)
    world.crm.add(ADA, MOBILE)
    replica = world.replica()
    record, message = await _ended(world, replica)
    assert message.state is MessageState.SENT
    people = people_reached(record, sender, "DE")
    await opt_outs.stop(people, world.clock.time())
    assert (await _ended(world, replica))[1].reason == "opted_out"
    await opt_outs.start(people)
    assert (await _ended(world, replica))[1].state is MessageState.SENT


def _night(ends_in_s: int, **more: Any) -> QuietHours:
    """It is 9 in the morning in Berlin when a test begins, and still quiet for so long."""
    return QuietHours(time(8), time(9, 0, ends_in_s), ZoneInfo("Asia/Tokyo"), **more)


async def test_message_in_the_night_waits_for_the_morning_and_is_sent_then(world: World) -> None:
    _by_sms(world)
    world.crm.add(ADA, MOBILE)
    world.rules = SendRules(quiet_hours=_night(2))
    replica = world.replica()
    replica.worker.open()
    record = await world.starts(replica, MOBILE)
    waits = await world.until(
        record, lambda call: call.message(TRACKING) and call.messages[0].reason
    )
    message = waits.messages[0]
    assert (message.state, message.reason, message.attempts) == ("queued", "quiet_hours", 0)
    assert message.due_at == BEGAN + 2
    await replica.finish.on_end(record.id)
    assert world.channel.attempts == []
    sent = await world.until(record, lambda call: call.messages[0].state is MessageState.SENT)
    assert world.clock.time() >= BEGAN + 2
    assert sent.outcome is Outcome.MESSAGED


async def test_stop_in_the_night_forbids_the_message_of_the_morning(
    world: World, opt_outs: OptOuts
) -> None:
    _by_sms(world)
    world.crm.add(ADA, MOBILE)
    world.rules = SendRules(quiet_hours=_night(2))
    replica = world.replica()
    replica.worker.open()
    record = await world.starts(replica, MOBILE)
    await world.until(record, lambda call: call.messages and call.messages[0].reason)
    await opt_outs.stop([hashed(MOBILE)], world.clock.time())
    await world.until(record, lambda call: call.messages[0].state is MessageState.SUPPRESSED)
    assert world.channel.attempts == []


async def test_operators_retry_waits_for_the_morning_too(world: World) -> None:
    _by_sms(world)
    world.crm.add(ADA, MOBILE)
    world.channel.fail(PermanentError("refused"))
    record, _ = await _ended(world, world.replica())
    world.rules = SendRules(quiet_hours=_night(59))
    replica = world.replica()
    replica.worker.open()
    letters = DeadLetters(replica.book.ledger, world.clock, 3600.0)
    (letter,) = await letters.all()
    assert await letters.retry(letter) is None
    waits = await world.until(record, lambda call: call.messages[0].reason == "quiet_hours")
    assert waits.messages[0].state is MessageState.QUEUED
    assert len(world.channel.attempts) == 1


@pytest.mark.parametrize(
    ("quiet", "doubtful", "channel", "state"),
    [
        ((), False, "email", "sent"),
        (("sms", "email"), False, "sms", "queued"),
        ((), True, "sms", "queued"),
    ],
    ids=["goes around", "quiet everywhere", "may have arrived"],
)
async def test_message_goes_by_a_channel_that_wakes_nobody_if_the_operator_says_so(
    world: World, quiet: tuple[str, ...], doubtful: bool, channel: str, state: str
) -> None:
    world.channels["sms"] = world.channel
    hours = _night(30, then="next_channel", channels=frozenset(quiet))
    world.rules = SendRules(quiet_hours=hours)
    replica = world.replica()
    record = await world.starts(replica, MOBILE)
    email = (Place("email", "ada@example.com"),)
    now = world.clock.time()
    queued = Message(DEFLECTION, "sms", now, now, to=MOBILE, then=email, handle="h")
    change = partial(Record.with_message, changed=evolve(queued, doubtful=doubtful))
    await replica.book.save(record.id, change)
    after = await world.until(record, lambda call: (m := call.messages[0]).reason or m.attempts)
    after = await world.until(after, lambda call: call.messages[0].state == state)
    assert (after.messages[0].channel, after.messages[0].state) == (channel, state)
    assert [one.to for one in world.channel.taken] == ["ada@example.com"] * (channel == "email")


@pytest.mark.timeout(900 if FULL else 60)
async def test_pumped_traffic_meets_the_caps_and_every_call_goes_on(world: World) -> None:
    """Callers of a few ranges ring again and again, all at once, to make us text them."""
    ranges, per_range = (500, 100) if FULL else (25, 20)
    affordable = ranges * 9
    _by_sms(world)
    world.rules = SendRules(Caps(spend_per_day=affordable * 0.05, prices={"sms": 0.05}))
    replica = world.replica()
    ends: Counter[str] = Counter()
    for one in range(ranges):
        numbers = [f"+49151{one:04d}{end:04d}" for end in range(4)]
        for number in numbers:
            world.crm.add(replace(ADA, id=number, phones=()), number)
        for record, message in await asyncio.gather(
            *(_ended(world, replica, number) for number in numbers * (per_range // 4))
        ):
            assert (record.steps[0].lookup, record.steps[0].written) == ("found", "ok")
            ends[f"{message.state} {message.reason}"] += 1
    sent = [envelope.to for envelope in world.channel.taken]
    assert max(Counter(sent).values()) == 3
    assert max(Counter(number[:-4] for number in sent).values()) == 10
    assert len(sent) == affordable == ends.pop("sent None")
    assert set(ends) == {f"suppressed cap_{kind}" for kind in ("number", "prefix", "spend")}
    assert sum(ends.values()) == ranges * per_range - affordable
    assert await replica.book.ledger.dead_letters() == []

"""Who gave up waiting is written to only where he once asked to be, and once per call."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from broker.domain.abandoned import Abandoned
from broker.domain.deflection import Reaching, Wish
from broker.domain.messages import ABANDONED, DEFLECTION, MessageState
from broker.domain.people import hashed
from broker.domain.record import Outcome
from broker.stores.people import RedisConsents, RedisOptOuts

if TYPE_CHECKING:
    from broker.domain.customer import Customer
    from broker.domain.record import Record
    from tests.unit.usecases.conftest import Replica, World

CALLER, OTHER = "+493023125001", "+493023125002"
DAY_S = 86_400.0


def listening(world: World) -> Replica:
    """A broker that writes to those who gave up."""
    world.deflecting("sms")
    world.abandoned = Abandoned(frozenset({"abandoned"}), 90 * DAY_S)
    return world.replica()


async def calls(world: World, replica: Replica, caller: str = CALLER) -> Record:
    record = await world.starts(replica, caller)
    return await world.until(record, lambda r: r.steps[0].done)


async def agreed(world: World, replica: Replica, caller: str = CALLER) -> None:
    """An earlier call on which he asked to be written to."""
    record = await calls(world, replica, caller)
    await replica.deflect.on_deflect(record.id, Wish(by="flow"))
    await replica.finish.on_end(record.id, "deflected")
    await world.until(record, lambda r: r.outcome is Outcome.MESSAGED)
    world.channels["sms"].taken.clear()


async def ended(replica: Replica, record: Record, how: str | None = "abandoned") -> Record:
    found = await replica.finish.on_end(record.id, how)
    assert found is not None
    return found


async def test_who_agreed_before_gets_one_message_however_often_the_end_is_told(
    world: World, premium: Customer
) -> None:
    replica = listening(world)
    world.crm.add(premium, CALLER)
    await agreed(world, replica)
    record = await calls(world, replica)
    for _ in range(3):
        await ended(replica, record, " Abandoned ")
    record = await world.until(record, lambda r: r.outcome is not None)
    assert record.outcome is Outcome.MESSAGED
    assert [envelope.to for envelope in world.channels["sms"].taken] == [CALLER]
    message = record.message(ABANDONED)
    assert message is not None
    assert (message.state, record.message(DEFLECTION)) == (MessageState.SENT, None)
    exported = [one async for one in RedisConsents(world.store).export()]
    assert len(exported) == 1, "writing to him is no new consent"


async def test_who_never_agreed_is_left_alone(world: World, premium: Customer) -> None:
    replica = listening(world)
    world.crm.add(premium, CALLER)
    await agreed(world, replica, OTHER)
    record = await ended(replica, await calls(world, replica))
    assert (record.messages, record.outcome) == ((), Outcome.PREMIUM)
    assert world.channels["sms"].taken == []


async def test_a_consent_counts_only_so_long(world: World) -> None:
    replica = listening(world)
    await agreed(world, replica)
    await asyncio.sleep(90 * DAY_S + 1)
    record = await ended(replica, await calls(world, replica))
    assert record.messages == ()


@pytest.mark.parametrize("how", ["answered", "deflected", "busy", "", None])
async def test_only_a_call_that_nobody_took_is_followed_up(world: World, how: str | None) -> None:
    replica = listening(world)
    await agreed(world, replica)
    assert (await ended(replica, await calls(world, replica), how)).messages == ()


async def test_who_talked_to_an_agent_is_left_alone(world: World) -> None:
    replica = listening(world)
    await agreed(world, replica)
    record = await world.starts(replica, CALLER, agent_id="agent-7")
    assert (await ended(replica, record)).messages == ()


async def test_who_was_deflected_on_this_call_gets_no_second_message(world: World) -> None:
    replica = listening(world)
    await agreed(world, replica)
    record = await calls(world, replica)
    await replica.deflect.on_deflect(record.id, Wish(by="flow"))
    record = await ended(replica, record)
    assert [message.purpose for message in record.messages] == [DEFLECTION]


async def test_who_asks_for_a_message_while_his_call_ends_gets_that_one_only(world: World) -> None:
    replica = listening(world)
    await agreed(world, replica)
    record = await calls(world, replica)
    assert replica.finish.gave_up is not None
    change = await replica.finish.gave_up.and_write(record, "abandoned", lambda known: known)
    asked = await replica.deflect.on_deflect(record.id, Wish(by="flow"))
    assert [message.purpose for message in change(asked).messages] == [DEFLECTION]
    assert change(record).message(ABANDONED) is not None, "or else he had got it"


async def test_who_opted_out_since_is_left_alone(world: World) -> None:
    replica = listening(world)
    await agreed(world, replica)
    await RedisOptOuts(world.store).stop([hashed(CALLER)], world.clock.time())
    record = await ended(replica, await calls(world, replica))
    record = await world.until(record, lambda r: r.outcome is not None)
    assert (record.outcome, record.reason) == (Outcome.SUPPRESSED, "opted_out")
    assert world.channels["sms"].taken == []


async def test_a_consent_is_of_one_number_and_not_of_the_customer(
    world: World, premium: Customer
) -> None:
    """He agreed by one of his numbers and calls with another: that one gets nothing."""
    replica = listening(world)
    world.crm.add(replace(premium, phones=(CALLER, OTHER)), CALLER, OTHER)
    await agreed(world, replica, OTHER)
    assert (await ended(replica, await calls(world, replica))).messages == ()


async def test_a_call_of_which_nothing_is_heard_any_more_is_no_abandoned_one(
    world: World,
) -> None:
    world.policy = replace(world.policy, idle_s=5.0)
    replica = listening(world)
    await agreed(world, replica)
    replica.worker.open()
    record = await calls(world, replica)
    record = await world.until(record, lambda r: r.over is not None, 30.0)
    assert record.messages == ()


async def test_switched_off_nobody_is_written_to(world: World) -> None:
    world.deflecting("sms")
    replica = world.replica()
    await agreed(world, replica)
    assert (await ended(replica, await calls(world, replica))).messages == ()


async def test_after_the_hang_up_a_late_customer_gets_nothing(
    world: World, standard: Customer
) -> None:
    """The CRM answers after the end: nobody is written to whom nobody has asked."""
    world.tracking()
    replica = listening(world)
    world.crm.add(standard, CALLER)
    world.crm.delay_s = 0.2
    record = await ended(replica, await world.starts(replica, CALLER))
    await asyncio.sleep(1.0)
    record = await world.until(record, lambda r: r.outcome is not None)
    assert (record.messages, record.outcome) == ((), Outcome.CALL_GONE)


async def test_an_address_is_the_same_however_it_is_spelled(
    world: World, premium: Customer
) -> None:
    replica = listening(world)
    reach = {"sms": Reaching("email")}
    rules = replace(world.policy.deflection, reach=reach)
    world.policy = replace(world.policy, deflection=rules)
    replica = world.replica()
    world.crm.add(replace(premium, email="Ada@Example.com"), CALLER)
    await replica.deflect.without_call("crm", Wish(by="api:crm", to="ada@example.com"))
    record = await ended(replica, await calls(world, replica))
    assert record.message(ABANDONED) is not None

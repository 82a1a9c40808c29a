"""The telephone menu over the real ledger: what is asked of it, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.domain.voice import Again, Ask, Dial, HangUp, Menu, Script
from broker.ports import store_answers_within, store_patience
from broker.usecases.identify import CallStarted
from broker.usecases.voice import Voice

if TYPE_CHECKING:
    from broker.domain.customer import Customer
    from tests.unit.usecases.conftest import Replica, World

CALLER = "+493023125001"
RINGS = CallStarted("CA1", from_=CALLER, to="+493023125000", by_answer=True)
MENU = Menu("+493023125901", "+493023125902")
QUEUE = Dial(MENU.queue_dial, 30)


def menu(world: World, replica: Replica) -> Voice:
    return Voice(
        book=replica.book,
        identify=replica.identify,
        deflect=replica.deflect,
        finish=replica.finish,
        watch=replica.watch,
        counters=replica.deflect.counters,
        clock=world.clock,
        policy=world.policy,
        menu=MENU,
        lookup_s=1.0,
    )


def asks(script: Script) -> bool:
    return any(isinstance(verb, Ask) for verb in script.verbs)


async def test_nothing_is_written_out_for_a_call_of_the_menu(
    world: World, premium: Customer
) -> None:
    world.crm.add(premium, CALLER)
    world.platform.logs_back = world.platform.pops_screens = True
    replica = world.replica()
    script = await menu(world, replica).on_ring(RINGS)
    assert script.verbs[-1] == Dial(MENU.premium_dial, 30)
    record = await replica.watch.find("CA1")
    assert record is not None
    assert record.touched, "the answer is the delivery"
    await replica.identify.on_call_start(
        CallStarted("CA2", parent_id="CA1", agent_id="agent-7", by_answer=True)
    )
    await replica.finish.on_end("CA1", "answered")
    await replica.hooks.aclose(1.0)
    assert (world.platform.writes, world.platform.pops, world.platform.reports) == ([], [], [])


async def test_after_a_wait_the_store_has_its_time_again(world: World, premium: Customer) -> None:
    world.deflecting("sms")
    world.crm.add(premium, CALLER)
    store_answers_within(0.2)
    await menu(world, world.replica()).on_ring(RINGS)
    assert store_patience(9.0) > 1.0


async def test_a_message_that_is_on_its_way_is_held_for_and_then_told(
    world: World, standard: Customer
) -> None:
    world.deflecting("sms")
    world.crm.add(standard, CALLER)
    voice = menu(world, world.replica())
    assert asks(await voice.on_ring(RINGS))
    world.channels["sms"].delay_s = 10.0
    held = await voice.on_keys(RINGS, "1")
    assert held.verbs[-1] == Again()
    told = await voice.on_keys(RINGS, None)
    assert told.verbs[-1] == HangUp()


async def test_a_message_that_takes_too_long_gives_him_back_his_place(
    world: World, standard: Customer
) -> None:
    world.deflecting("sms")
    world.crm.add(standard, CALLER)
    voice = menu(world, world.replica())
    await voice.on_ring(RINGS)
    world.channels["sms"].delay_s = 60.0
    scripts = [await voice.on_keys(RINGS, keys) for keys in ("1", None, None)]
    assert [script.verbs[-1] for script in scripts] == [Again(), Again(), QUEUE]

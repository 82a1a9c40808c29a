"""The platform is told of its calls at most once, and no call ever pays for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from broker.domain.errors import AnswerLostError, PermanentError, TemporaryError
from broker.domain.hooks import Hook, HookResult
from broker.domain.record import NUMBER
from broker.usecases.hooks import AT_ONCE, WAITING
from broker.usecases.identify import CallStarted

if TYPE_CHECKING:
    from broker.domain.customer import Customer
    from broker.domain.record import Record
    from tests.unit.usecases.conftest import Replica, World

CALLER = "+493023125001"
AGENT = "a0000000000000000000000000000007"


@pytest.fixture(autouse=True)
def _hooks_on(world: World) -> None:
    world.platform.pops_screens = world.platform.logs_back = True


async def known(world: World, customer: Customer) -> tuple[Replica, Record]:
    """A live call of this customer, written."""
    world.crm.add(customer, CALLER)
    replica = world.replica()
    record = await world.starts(replica)
    return replica, await world.until(record, lambda r: r.step(NUMBER).done)


async def rings(replica: Replica, record: Record, leg: str = "", agent: str = AGENT) -> None:
    """A leg that leads to `agent`, and everything that follows from it."""
    started = CallStarted(leg or uuid4().hex, parent_id=record.id, agent_id=agent)
    await replica.identify.on_call_start(started)
    await told(replica)


async def told(replica: Replica) -> None:
    while replica.hooks._running:
        await asyncio.wait(set(replica.hooks._running))


def counted(replica: Replica, hook: Hook, result: HookResult) -> float:
    count: float = replica.metrics.hooks.labels(hook, result)._value.get()
    return count


async def test_an_agent_is_shown_whose_call_rings(world: World, premium: Customer) -> None:
    replica, record = await known(world, premium)
    await rings(replica, record)
    (pop,) = world.platform.pops
    assert (pop.agent_id, pop.data["customer_id"]) == (AGENT, premium.id)
    assert counted(replica, Hook.SCREEN_POP, HookResult.DONE) == 1


async def test_each_leg_and_agent_is_told_once_by_all_replicas(
    world: World, premium: Customer
) -> None:
    replica, record = await known(world, premium)
    rival = world.replica()
    for one in (replica, rival, replica):
        await rings(one, record, "leg1")
    await rings(rival, record, "leg1", agent="a8")
    await rings(rival, record, "leg2")
    shown = [pop.agent_id for pop in world.platform.pops]
    assert shown == [AGENT, "a8", AGENT]


async def test_a_bridge_that_names_the_call_itself_shows_it_too(
    world: World, premium: Customer
) -> None:
    replica, record = await known(world, premium)
    event = CallStarted(record.id, outbound=True, agent_id=AGENT)
    await replica.identify.on_call_start(event)
    await told(replica)
    assert [pop.agent_id for pop in world.platform.pops] == [AGENT]


async def test_a_call_without_customer_shows_nothing_until_it_has_one(
    world: World, premium: Customer
) -> None:
    replica = world.replica()
    record = await world.starts(replica)
    await world.until(record, lambda r: r.step(NUMBER).done)
    await rings(replica, record, "leg1")
    assert world.platform.told == 0
    world.crm.add(premium, references=["2001001"])
    await replica.identify.on_reference(CallStarted(record.id), "2001001")
    await world.until(record, lambda r: r.customer)
    await rings(replica, record, "leg1")
    assert len(world.platform.pops) == 1


async def test_a_leg_without_agent_or_without_call_shows_nothing(
    world: World, premium: Customer
) -> None:
    replica, record = await known(world, premium)
    await replica.identify.on_call_start(CallStarted("leg", parent_id=record.id))
    stranger = CallStarted("leg", parent_id="unknown", agent_id=AGENT)
    assert await replica.identify.on_call_start(stranger) is None
    await told(replica)
    assert world.platform.told == 0


async def test_a_call_that_is_over_shows_nothing(world: World, premium: Customer) -> None:
    replica, record = await known(world, premium)
    await replica.finish.on_end(record.id)
    await told(replica)
    await rings(replica, record)
    assert world.platform.pops == []


async def test_the_outcome_is_logged_back_once(world: World, premium: Customer) -> None:
    replica, record = await known(world, premium)
    rival = world.replica()
    for one in (replica, rival, replica):
        await one.finish.on_end(record.id, "answered")
        await told(one)
    (report,) = world.platform.reports
    assert report.call_id == record.id
    assert (report.data["outcome"], report.data["disposition"]) == ("premium", "answered")
    assert counted(replica, Hook.LOG_BACK, HookResult.DONE) == 1


async def test_a_platform_that_wants_neither_is_told_nothing(
    world: World, premium: Customer
) -> None:
    world.platform.pops_screens = world.platform.logs_back = False
    replica, record = await known(world, premium)
    await rings(replica, record)
    await replica.finish.on_end(record.id)
    await told(replica)
    assert world.platform.told == 0


@pytest.mark.parametrize(
    ("fault", "result"),
    [
        (TemporaryError("503"), HookResult.FAILED),
        (PermanentError("403"), HookResult.FAILED),
        (AnswerLostError("lost"), HookResult.UNKNOWN),
        (RuntimeError(CALLER), HookResult.UNKNOWN),
    ],
)
async def test_what_fails_is_counted_said_once_and_never_repeated(
    world: World, premium: Customer, fault: Exception, result: HookResult
) -> None:
    replica, record = await known(world, premium)
    world.platform.fail_hooks(fault, fault)
    with capture_logs() as logs:
        await rings(replica, record, "leg1")
        await rings(replica, record, "leg2")
        await rings(replica, record, "leg1")
    assert (world.platform.told, world.platform.pops) == (2, [])
    assert counted(replica, Hook.SCREEN_POP, result) == 2
    said = [line for line in logs if line["event"] == "dependency_away"]
    assert [line["dependency"] for line in said] == ["platform.screen_pop"]
    personal = [premium.email, premium.name, CALLER, premium.id]
    assert not [value for value in personal if value and value in str(logs)]


async def test_a_platform_that_hangs_costs_the_call_nothing(
    world: World, premium: Customer
) -> None:
    replica, record = await known(world, premium)
    world.platform.delay_s = 3600.0
    began = world.clock.monotonic()
    await replica.identify.on_call_start(CallStarted("leg", parent_id=record.id, agent_id=AGENT))
    ended = await replica.finish.on_end(record.id)
    assert ended is not None
    assert (ended.outcome, replica.worker._running()) == ("premium", [])
    assert world.clock.monotonic() - began < 0.1
    await told(replica)
    assert counted(replica, Hook.SCREEN_POP, HookResult.UNKNOWN) == 1
    assert counted(replica, Hook.LOG_BACK, HookResult.UNKNOWN) == 1


async def test_a_store_that_is_away_means_that_nothing_is_told(
    world: World, premium: Customer
) -> None:
    replica, record = await known(world, premium)
    world.store.away = True
    replica.hooks.call_over(record)
    await told(replica)
    assert world.platform.told == 0
    assert counted(replica, Hook.LOG_BACK, HookResult.FAILED) == 1


async def test_few_are_told_at_once_and_too_many_are_dropped(
    world: World, premium: Customer
) -> None:
    replica, record = await known(world, premium)
    world.platform.delay_s = 1.0
    for leg in range(WAITING + 5):
        replica.hooks.agent_rings(record, f"leg{leg}", AGENT)
    assert counted(replica, Hook.SCREEN_POP, HookResult.DROPPED) == 5
    await asyncio.sleep(0.5)
    assert world.platform.told == AT_ONCE
    await told(replica)
    assert len(world.platform.pops) == WAITING


async def test_the_end_of_the_process_waits_for_what_is_being_told_but_not_long(
    world: World, premium: Customer
) -> None:
    replica, record = await known(world, premium)
    world.platform.delay_s = 0.2
    replica.hooks.agent_rings(record, "leg1", AGENT)
    await replica.hooks.aclose(1.0)
    assert len(world.platform.pops) == 1
    world.platform.delay_s = 3600.0
    replica.hooks.agent_rings(record, "leg2", AGENT)
    began = world.clock.monotonic()
    await replica.hooks.aclose(1.0)
    assert world.clock.monotonic() - began == pytest.approx(1.0, abs=0.1)
    assert not replica.hooks._running

"""A reference is no secret: whoever guesses learns nothing from the time, and soon is not asked."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from broker.domain.customer import LookupState
from broker.domain.errors import TemporaryError
from broker.domain.record import NUMBER, Record
from broker.domain.references import ReferenceLimits
from broker.domain.routing import Routing
from broker.usecases.identify import CallStarted
from broker.usecases.pacing import Pace

if TYPE_CHECKING:
    from broker.domain.customer import Customer
    from broker.domain.record import Step
    from tests.unit.usecases.conftest import Replica, World

CALLER, REFERENCE = "+493023125001", "2001001"
ONCE = ReferenceLimits(failures_per_caller_per_day=1)


async def typed(world: World, replica: Replica, reference: str | None) -> Step:
    """The finished step of a reference, typed in a fresh call of CALLER."""
    record = await world.starts(replica)
    await world.until(record, lambda r: r.step(NUMBER).done)
    record, name = await types(replica, record, reference)
    return (await world.until(record, lambda r: r.step(name).done)).step(name)


async def types(replica: Replica, record: Record, reference: str | None) -> tuple[Record, str]:
    known, name = await replica.identify.on_reference(CallStarted(record.id), reference)
    assert known is not None
    return known, name


def age(step: Step) -> float:
    assert step.decided_at is not None
    return round(step.decided_at - step.received_at, 3)


async def test_hit_miss_refusal_and_rubbish_are_answered_at_the_same_age(
    world: World, premium: Customer
) -> None:
    world.crm.add(premium, references=[REFERENCE])
    world.limits = ReferenceLimits(failures_per_caller_per_day=3)
    replica = world.replica()
    world.crm.delay_s = 0.03
    slowest = await typed(world, replica, "0000001")
    world.crm.delay_s = 0.0
    hit = await typed(world, replica, REFERENCE)
    miss = await typed(world, replica, "0000002")
    rubbish = await typed(world, replica, "12")
    refused = await typed(world, replica, "0000003")
    assert (hit.lookup, miss.lookup, refused.reason) == ("found", "not_found", "reference_limit")
    ages = {age(step) for step in (slowest, hit, miss, rubbish, refused)}
    assert len(ages) == 1
    assert ages.pop() == pytest.approx(0.03, abs=0.002)


async def test_the_last_try_of_a_call_takes_as_long_as_one_beyond(world: World) -> None:
    replica = world.replica()
    record = await world.starts(replica)
    await world.until(record, lambda r: r.step(NUMBER).done)
    for number in range(4):
        record, name = await types(replica, record, f"000000{number}")
        record = await world.until(record, lambda r, name=name: r.step(name).done)  # type: ignore[misc]
    assert record.steps[-1].reason == "reference_limit"
    assert len({age(step) for step in record.steps[1:]}) == 1


def test_the_pace_is_that_of_the_slowest_lookup_and_never_beyond_the_deadline() -> None:
    pace = Pace(floor_s=0.25)
    assert pace.hold(0.1, asked=True, deadline_s=1.5) == pytest.approx(0.15)
    assert pace.hold(0.5, asked=True, deadline_s=1.5) == 0
    assert pace.hold(0.1, asked=True, deadline_s=1.5) == pytest.approx(0.4)
    assert pace.hold(0.1, asked=True, deadline_s=0.3) == pytest.approx(0.2)
    assert pace.hold(2.0, asked=False, deadline_s=1.5) == 0


def test_what_asks_nobody_sets_no_pace_and_a_slow_lookup_is_forgotten_some_time() -> None:
    pace = Pace(floor_s=0.25)
    pace.hold(1.0, asked=False, deadline_s=1.5)
    assert pace.hold(0.0, asked=False, deadline_s=1.5) == 0.25
    pace.hold(1.0, asked=True, deadline_s=1.5)
    for _ in range(64):
        pace.hold(0.1, asked=True, deadline_s=1.5)
    assert pace.hold(0.0, asked=False, deadline_s=1.5) == 0.25


@pytest.mark.parametrize("reference", ["0000001", "12", "", None])
async def test_whatever_leads_to_nobody_counts_as_the_callers_failure(
    world: World, reference: str | None
) -> None:
    world.limits = ONCE
    replica = world.replica()
    assert (await typed(world, replica, reference)).reason is None
    assert (await typed(world, replica, "0000002")).reason == "reference_limit"


async def test_a_refusal_is_one_metric_however_often_it_is_delivered(world: World) -> None:
    world.limits = ONCE
    replica = world.replica()
    await typed(world, replica, "0000001")
    record = await world.starts(replica)
    await asyncio.gather(*(types(replica, record, "0000002") for _ in range(3)))
    assert replica.metrics.reference_limits.labels("caller")._value.get() == 1


async def test_the_same_reference_at_once_counts_once(world: World) -> None:
    world.limits = ReferenceLimits(failures_per_caller_per_day=2)
    replica = world.replica()
    record = await world.starts(replica)
    answers = await asyncio.gather(*(types(replica, record, "0000001") for _ in range(2)))
    assert {name for _, name in answers} == {"reference-1"}
    await world.until(record, lambda r: r.steps[-1].done)
    assert (await typed(world, replica, "0000002")).reason is None
    assert (await typed(world, replica, "0000003")).reason == "reference_limit"


async def test_references_beyond_the_tries_give_nothing_back(world: World) -> None:
    world.limits = ReferenceLimits(failures_per_caller_per_day=4)
    replica = world.replica()
    record = await world.starts(replica)
    for number in range(3):
        await types(replica, record, f"000000{number}")
    await asyncio.gather(*(types(replica, record, f"000001{number}") for number in range(9)))
    assert (await typed(world, replica, "0000020")).reason is None
    assert (await typed(world, replica, "0000021")).reason == "reference_limit"


async def test_a_miss_that_comes_late_is_a_failure_all_the_same(world: World) -> None:
    """Otherwise a slow CRM could be guessed at without end."""
    world.limits = ONCE
    replica = world.replica()
    world.crm.delay_s = 0.2
    slow = await typed(world, replica, "0000001")
    assert slow.lookup is LookupState.TIMEOUT
    await asyncio.sleep(0.05)
    assert (await typed(world, replica, "0000002")).reason == "reference_limit"


async def test_a_hit_that_comes_late_gives_one_failure_back_and_not_two(
    world: World, premium: Customer
) -> None:
    world.limits = ReferenceLimits(failures_per_caller_per_day=2)
    world.crm.add(premium, references=[REFERENCE])
    replica = world.replica()
    await typed(world, replica, "0000001")
    world.crm.delay_s = 0.2
    assert (await typed(world, replica, REFERENCE)).lookup is LookupState.FOUND
    await asyncio.sleep(0.05)
    world.crm.delay_s = 0.0
    assert (await typed(world, replica, "0000002")).reason is None
    assert (await typed(world, replica, "0000003")).reason == "reference_limit"


@pytest.mark.parametrize("delay_s", [0.0, 5.0])
async def test_a_crm_that_never_answers_is_not_the_callers_failure(
    world: World, delay_s: float
) -> None:
    world.limits = ONCE
    replica = world.replica()
    for reference in ("0000001", "0000002"):
        record = await world.starts(replica)
        await world.until(record, lambda r: r.step(NUMBER).done)
        world.crm.delay_s = delay_s
        if not delay_s:
            world.crm.fail(TemporaryError("away"))
        record, name = await types(replica, record, reference)
        record = await world.until(record, lambda r, name=name: r.step(name).done)  # type: ignore[misc]
        await asyncio.sleep(0.05)
        assert record.step(name).reason != "reference_limit"
        world.crm.delay_s = 0.0


async def test_without_reference_question_nobody_is_asked(world: World) -> None:
    world.policy = replace(world.policy, routing=Routing(reference_enabled=False))
    step = await typed(world, world.replica(), "0000001")
    assert (step.lookup, step.route) == ("not_found", "standard")
    assert world.crm.asked == [CALLER]

"""What the caller types: tries, limits, repeats, and lookups that overtake each other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

from broker.domain.errors import TemporaryError
from broker.domain.record import NUMBER
from broker.domain.references import ReferenceLimits
from broker.usecases.identify import CallStarted

if TYPE_CHECKING:
    from broker.domain.customer import Customer
    from broker.domain.record import Record
    from tests.unit.usecases.conftest import Replica, World

CALLER, REFERENCE = "+493023125001", "2001001"


async def _types(world: World, replica: Replica, record: Record, typed: str | None) -> Record:
    """The call once what was typed has its answer."""
    known, name = await replica.identify.on_reference(CallStarted(record.id), typed)
    assert known is not None
    return await world.until(known, lambda r: r.step(name).done)


async def test_reference_finds_who_the_number_did_not(world: World, premium: Customer) -> None:
    world.crm.add(premium, references=[REFERENCE])
    replica = world.replica()
    record = await world.starts(replica)
    await world.until(record, lambda r: r.step(NUMBER).done)
    await _types(world, replica, record, f" {REFERENCE}#")
    assert world.session(record)["ivr.route"] == "premium"


async def test_reference_has_a_deadline_of_its_own(world: World) -> None:
    replica = world.replica()
    record = await world.starts(replica)
    await world.until(record, lambda r: r.step(NUMBER).done)
    await asyncio.sleep(5.0)  # the caller looks for it and types
    world.crm.hold()
    began = world.clock.time()
    known, name = await replica.identify.on_reference(CallStarted(record.id), REFERENCE)
    assert known is not None
    await world.until(known, lambda r: r.step(name).written)
    assert world.session(record)["ivr.lookup"] == "timeout"
    assert 0.04 < world.clock.time() - began < world.deadlines.lookup_s + 0.03


async def test_same_reference_again_is_the_same_step_and_uses_no_try(world: World) -> None:
    replica = world.replica()
    record = await world.starts(replica)
    for _ in range(5):
        record = await _types(world, replica, record, "0000001")
    assert record.tries == 1
    assert world.crm.asked.count("0000001") == 1


async def test_tries_of_a_call_end_and_what_comes_then_asks_nobody(world: World) -> None:
    replica = world.replica()
    record = await world.starts(replica)
    for typed in ("0000001", "12", "0000003", "0000004", "0000005"):
        record = await _types(world, replica, record, typed)
    assert [step.route for step in record.steps[1:]] == [
        "reference",
        "reference",
        "standard",
        "standard",
    ]
    assert record.steps[-1].reason == "reference_limit"
    assert set(world.crm.asked) == {CALLER, "0000001", "0000003"}


async def test_caller_who_failed_too_often_today_is_not_looked_up_again(world: World) -> None:
    world.limits = ReferenceLimits(failures_per_caller_per_day=2)
    replica = world.replica()
    for typed in ("0000001", "0000002", "0000003"):
        record = await world.starts(replica)
        record = await _types(world, replica, record, typed)
    assert record.steps[-1].reason == "reference_limit"
    assert record.steps[-1].route == "standard"
    assert "0000003" not in world.crm.asked


async def test_reference_that_is_found_is_no_failure(world: World, premium: Customer) -> None:
    world.limits = ReferenceLimits(failures_per_caller_per_day=1)
    world.crm.add(premium, references=[REFERENCE])
    replica = world.replica()
    for _ in range(3):
        record = await world.starts(replica, "+493023125777")
        record = await _types(world, replica, record, REFERENCE)
        await asyncio.sleep(0.02)  # the failure is given back after the answer
        assert record.customer is not None


async def test_outage_of_a_crm_is_not_the_callers_failure(world: World) -> None:
    world.limits = ReferenceLimits(failures_per_caller_per_day=1)
    replica = world.replica()
    for typed in ("0000001", "0000002"):
        record = await world.starts(replica)
        await world.until(record, lambda r: r.step(NUMBER).done)
        world.crm.fail(TemporaryError("away"))
        record = await _types(world, replica, record, typed)
        await asyncio.sleep(0.02)
        assert record.steps[-1].lookup == "error"


async def test_first_reference_of_a_call_is_not_refused_for_what_others_did(world: World) -> None:
    world.limits = ReferenceLimits(failures_per_called_per_10min=1)
    replica = world.replica()
    first = await world.starts(replica, "+493023125101")
    await _types(world, replica, first, "0000001")
    second = await world.starts(replica, "+493023125102")
    second = await _types(world, replica, second, "0000002")
    assert second.steps[-1].reason is None
    second = await _types(world, replica, second, "0000003")
    assert second.steps[-1].reason == "reference_limit"


async def test_reference_of_an_unknown_call_opens_it_and_its_call_start_still_counts(
    world: World, premium: Customer
) -> None:
    replica = world.replica()
    world.crm.add(premium, CALLER)
    call_id = uuid4().hex
    event = CallStarted(call_id, session_id=f"s{call_id}")
    record, _ = await replica.identify.on_reference(event, "0000001")
    assert record is not None
    await replica.identify.on_call_start(CallStarted(call_id, from_=CALLER))
    found = await world.until(record, lambda r: r.customer and len(r.steps) == 2)
    assert {step.name for step in found.steps} == {NUMBER, "reference-1"}


async def test_child_legs_reference_opens_no_call(world: World) -> None:
    replica = world.replica()
    leg = CallStarted(uuid4().hex, parent_id=uuid4().hex)
    assert await replica.identify.on_reference(leg, REFERENCE) == (None, "")
    assert await replica.watch.find(leg.call_id) is None


async def test_first_customer_found_is_the_calls_customer(
    world: World, premium: Customer, standard: Customer
) -> None:
    """The number's late hit comes after a reference has found somebody: it enters no session."""
    world.crm.add(standard, CALLER)
    world.crm.add(premium, references=[REFERENCE])
    world.crm.hold()
    replica = world.replica()
    record = await world.starts(replica)
    await world.until(record, lambda r: r.step(NUMBER).written)
    gate, world.crm._gate = world.crm._gate, None
    await _types(world, replica, record, REFERENCE)
    assert gate is not None
    gate.set()
    done = await world.until(record, lambda r: all(step.done for step in r.steps))
    assert done.customer == premium
    assert all("ben@example.com" not in str(write) for write in world.platform.writes)

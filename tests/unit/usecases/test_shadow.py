"""A CRM in shadow mode is asked and compared, and the call never hears of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from broker.domain.customer import Customer, LookupState
from broker.domain.errors import PermanentError, TemporaryError
from broker.domain.record import NUMBER
from broker.domain.shadow import Result, Tally
from broker.testing.fake_crm import FakeCrm
from broker.usecases.identify import CallStarted
from broker.usecases.lookup import Crm
from tests.unit.usecases.test_crms import OddCrm, StubbornCrm, age, raising

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from broker.domain.record import Record
    from broker.domain.shadow import Difference
    from broker.ports import CrmAdapter
    from tests.unit.usecases.conftest import Replica, World

CALLER = "+493023125001"


@pytest.fixture
def shadow(world: World) -> FakeCrm:
    """A CRM in shadow mode that knows nobody yet."""
    crm = FakeCrm(world.clock)
    world.shadows.append(Crm("new", crm, timeout_s=1.0))
    return crm


async def called(world: World) -> tuple[Replica, Record]:
    """A call from CALLER that has its outcome and of which nothing runs any more."""
    replica = world.replica()
    record = await world.starts(replica)
    record = await world.until(record, lambda r: all(step.done for step in r.steps))
    await compared(replica)
    return replica, record


async def compared(replica: Replica) -> None:
    """Until no comparison is under way."""
    while replica.shadows._running:
        await asyncio.wait(set(replica.shadows._running))


async def told(replica: Replica) -> tuple[Tally, Sequence[Difference]]:
    book = replica.shadows.book
    return await book.tally("new"), await book.differences("new")


async def test_what_it_finds_reaches_neither_session_nor_record_nor_trace(
    world: World, shadow: FakeCrm, premium: Customer
) -> None:
    world.tracking()
    shadow.add(premium, CALLER)
    replica, record = await called(world)
    assert shadow.asked == [CALLER]
    assert (record.step(NUMBER).lookup, record.customer) == ("not_found", None)
    assert world.session(record) == {"ivr.lookup": "not_found", "ivr.route": "reference"}
    assert record.messages == ()
    notes = await replica.watch.trace(record.id)
    assert [note["crm"] for note in notes if "crm" in note] == ["shop"]
    tally, (difference,) = await told(replica)
    assert tally.results == {"only_shadow": 1}
    assert (difference.call_id, difference.step) == (record.id, "number")


async def test_another_answer_than_the_calls_is_counted_by_field(
    world: World, shadow: FakeCrm, premium: Customer, standard: Customer
) -> None:
    world.crm.add(premium, CALLER)
    shadow.add(standard, CALLER)
    replica, record = await called(world)
    assert record.customer == premium
    tally, (difference,) = await told(replica)
    assert tally.results == {"differs": 1}
    assert tally.fields == {"email": 1, "premium": 1, "track_id": 1}
    assert difference.seen.result is Result.DIFFERS
    labels = ("new", Result.DIFFERS)
    assert replica.metrics.shadow.labels(*labels)._value.get() == 1


async def test_the_same_answer_is_counted_and_not_kept(
    world: World, shadow: FakeCrm, premium: Customer
) -> None:
    world.crm.add(premium, CALLER)
    shadow.add(premium, CALLER)
    replica, _ = await called(world)
    tally, differences = await told(replica)
    assert (tally.results, tally.asked, list(differences)) == ({"same": 1}, 1, [])


async def test_references_are_compared_as_well(
    world: World, shadow: FakeCrm, premium: Customer
) -> None:
    world.crm.add(premium, references=["2001001"])
    replica, record = await called(world)
    await replica.identify.on_reference(CallStarted(record.id), "2001001")
    await world.until(record, lambda r: r.steps[-1].done and len(r.steps) > 1)
    await compared(replica)
    assert shadow.asked == [CALLER, "2001001"]
    tally, (difference,) = await told(replica)
    assert tally.results == {"same": 1, "only_crms": 1}
    assert difference.step == "reference-1"


@pytest.mark.parametrize(
    "adapter",
    [
        lambda _: OddCrm(lambda: raising(PermanentError("refused"))),
        lambda _: OddCrm(lambda: raising(RecursionError())),
        lambda _: OddCrm(lambda: raising(SystemExit())),
        lambda _: OddCrm(lambda: [{"id": "1"}]),
        lambda _: StubbornCrm(5.0),
        lambda world: FakeCrm(world.clock, delay_s=3600.0),
    ],
    ids=["refused", "bug", "exit", "rubbish", "stubborn", "dead"],
)
async def test_whatever_it_does_the_call_is_as_fast_and_ends_as_well(
    world: World, premium: Customer, adapter: Callable[[World], CrmAdapter]
) -> None:
    world.crm.add(premium, CALLER)
    world.crm.delay_s = 0.02
    world.shadows.append(Crm("new", adapter(world), timeout_s=0.3))
    replica = world.replica()
    record = await world.starts(replica)
    record = await world.until(record, lambda r: r.step(NUMBER).done)
    assert (record.customer, world.session(record)["ivr.lookup"]) == (premium, "found")
    assert age(record) == pytest.approx(0.02, abs=0.002)
    assert replica.worker._running() == [], "the job waits for no shadow"
    await compared(replica)
    tally, _ = await told(replica)
    assert tally.asked == 1
    assert set(tally.results) <= {"error", "late"}


async def test_a_slow_one_does_not_make_the_call_listen_longer(
    world: World, shadow: FakeCrm
) -> None:
    shadow.delay_s = 0.3
    replica = world.replica()
    record = await world.starts(replica)
    record = await world.until(record, lambda r: r.step(NUMBER).done)
    assert record.step(NUMBER).lookup is LookupState.NOT_FOUND
    assert age(record) < 0.01
    await compared(replica)
    assert (await told(replica))[0].results == {"late": 1}


async def test_an_answer_after_the_deadline_is_late_and_compared_all_the_same(
    world: World, shadow: FakeCrm, premium: Customer, standard: Customer
) -> None:
    world.crm.add(premium, CALLER)
    shadow.add(standard, CALLER)
    shadow.delay_s = 0.2
    replica, _ = await called(world)
    tally, (difference,) = await told(replica)
    assert (tally.results, tally.fields["email"]) == ({"late": 1}, 1)
    assert difference.seen.result is Result.LATE


async def test_it_is_compared_with_the_hit_that_came_late(
    world: World, shadow: FakeCrm, premium: Customer
) -> None:
    world.crm.add(premium, CALLER)
    world.crm.delay_s = 0.2
    shadow.add(premium, CALLER)
    replica, record = await called(world)
    assert record.customer == premium
    assert (await told(replica))[0].results == {"same": 1}


@pytest.mark.parametrize("delay_s", [0.0, 3600.0], ids=["error", "timeout"])
async def test_without_an_answer_of_the_crms_nothing_is_compared(
    world: World, shadow: FakeCrm, premium: Customer, delay_s: float
) -> None:
    world.crm.delay_s = delay_s
    world.crm.fail(TemporaryError("away"))
    shadow.add(premium, CALLER)
    replica, _ = await called(world)
    assert (await told(replica))[0].results == {"not_compared": 1}


async def test_a_call_that_is_over_before_the_shadow_answers_is_compared_too(
    world: World, shadow: FakeCrm, premium: Customer
) -> None:
    world.crm.add(premium, CALLER)
    shadow.delay_s = 0.04
    replica = world.replica()
    record = await world.starts(replica)
    await world.until(record, lambda r: r.customer)
    await replica.finish.on_end(record.id)
    await compared(replica)
    assert (await told(replica))[0].results == {"only_crms": 1}


async def test_without_a_number_no_shadow_is_asked(world: World, shadow: FakeCrm) -> None:
    replica = world.replica()
    record = await world.starts(replica, from_=None)
    await world.until(record, lambda r: r.step(NUMBER).done)
    assert shadow.asked == []
    assert (await told(replica))[0] == Tally()


async def test_a_store_that_is_away_costs_the_comparison_and_nothing_else(
    world: World, shadow: FakeCrm, premium: Customer, caplog: pytest.LogCaptureFixture
) -> None:
    world.crm.add(premium, CALLER)
    shadow.delay_s = 0.03
    replica = world.replica()
    record = await world.starts(replica)
    await world.until(record, lambda r: r.step(NUMBER).done)
    world.store.away = True
    await compared(replica)
    world.store.away = False
    assert (await told(replica))[0].asked == 0
    assert caplog.text == ""


async def test_closing_leaves_no_comparison_running(world: World, shadow: FakeCrm) -> None:
    shadow.hold()
    replica = world.replica()
    record = await world.starts(replica)
    await world.until(record, lambda r: r.step(NUMBER).done)
    began = world.clock.monotonic()
    await replica.shadows.aclose()
    assert not replica.shadows._running
    assert shadow.cancelled == 1
    assert world.clock.monotonic() - began < 0.1, "not by its own time limit"


async def test_closing_does_not_wait_for_one_that_ignores_it(world: World) -> None:
    world.shadows.append(Crm("new", StubbornCrm(30.0), timeout_s=1.0))
    replica = world.replica()
    record = await world.starts(replica)
    await world.until(record, lambda r: r.step(NUMBER).done)
    began = world.clock.monotonic()
    await replica.shadows.aclose()
    assert world.clock.monotonic() - began < 1.1
    await compared(replica)


async def test_nothing_a_difference_keeps_tells_who_it_was(
    world: World, shadow: FakeCrm, premium: Customer, standard: Customer
) -> None:
    world.crm.add(premium, CALLER)
    shadow.add(standard, CALLER)
    _, record = await called(world)
    fields: dict[Any, Any] = await world.store.client.hgetall(world.store.key("call", record.id))
    kept = [value.decode() for name, value in fields.items() if name.startswith(b"shadow:")]
    assert len(kept) == 1
    personal = [standard.email, premium.email, standard.track_id, CALLER]
    assert not [value for value in personal if value and value in kept[0]]

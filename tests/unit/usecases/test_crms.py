"""All CRMs are asked at once, and none of them can end, delay or mislead a call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from broker.domain.customer import MATCHES_READ, Customer, LookupState
from broker.domain.record import NUMBER
from broker.ports import CrmAdapter
from broker.testing.fake_crm import FakeCrm
from broker.usecases.identify import CallStarted
from broker.usecases.lookup import Crm

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.domain.call import Phone, Reference
    from broker.domain.record import Record
    from tests.unit.usecases.conftest import World

CALLER = "+493023125001"
DEADLINE_S, LATE_S = 0.05, 0.4


class OddCrm(CrmAdapter):
    """Answers with whatever `answer` gives or raises."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        self._answer = answer

    async def find_by_phone(self, phone: Phone) -> Any:  # noqa: ARG002 - whoever calls
        return self._answer()

    async def find_by_reference(self, reference: Reference) -> Any:  # noqa: ARG002 - same
        return self._answer()


class StubbornCrm(OddCrm):
    """Swallows every cancellation until it has slept `sleeps_s`."""

    def __init__(self, sleeps_s: float) -> None:
        super().__init__(tuple)
        self.ends = asyncio.get_running_loop().time() + sleeps_s

    async def find_by_phone(self, phone: Phone) -> Any:
        while (left := self.ends - asyncio.get_running_loop().time()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                continue
        return await super().find_by_phone(phone)


def raising(error: BaseException) -> Any:
    raise error


async def decided(world: World) -> Record:
    """A call from CALLER whose number lookup has its first outcome in the session."""
    record = await world.starts(world.replica())
    return await world.until(record, lambda r: r.step(NUMBER).written)


def age(record: Record) -> float:
    step = record.step(NUMBER)
    assert step.decided_at is not None
    return step.decided_at - step.received_at


async def test_all_are_asked_at_once_and_the_slowest_is_waited_for(
    world: World, premium: Customer
) -> None:
    delays = (0.01, 0.03, 0.04)
    world.crms[:] = [Crm(f"crm{d}", FakeCrm(world.clock, delay_s=d), timeout_s=1.0) for d in delays]
    world.crms[0].adapter.add(premium, CALLER)  # type: ignore[attr-defined]
    record = await decided(world)
    assert record.customer == premium
    assert age(record) == pytest.approx(0.04, abs=0.002)


async def test_whoever_is_too_slow_is_not_waited_for(world: World, premium: Customer) -> None:
    world.crm.add(premium, CALLER)
    world.crms.append(Crm("slow", FakeCrm(world.clock, delay_s=10.0), timeout_s=20.0))
    record = await decided(world)
    assert (record.step(NUMBER).lookup, record.customer) == ("found", premium)
    assert age(record) == pytest.approx(DEADLINE_S, abs=0.002)
    assert record.step(NUMBER).done


async def test_only_a_no_from_every_crm_is_not_found(world: World) -> None:
    world.crms.append(Crm("slow", FakeCrm(world.clock, delay_s=0.2), timeout_s=1.0))
    record = await decided(world)
    assert record.step(NUMBER).lookup is LookupState.TIMEOUT


async def test_a_late_hit_is_written_as_soon_as_it_comes(world: World, premium: Customer) -> None:
    world.crm.delay_s = 0.2
    world.crm.add(premium, CALLER)
    record = await decided(world)
    assert record.step(NUMBER).lookup is LookupState.TIMEOUT
    record = await world.until(record, lambda r: r.step(NUMBER).done)
    assert (record.step(NUMBER).lookup, record.customer) == ("found", premium)
    assert age(record) == pytest.approx(0.2, abs=0.002)
    assert world.session(record)["ivr.email"] == premium.email


async def test_a_late_hit_does_not_wait_for_who_is_later(world: World, premium: Customer) -> None:
    world.crm.delay_s = 0.2
    world.crm.add(premium, CALLER)
    world.crms.append(Crm("later", FakeCrm(world.clock, delay_s=0.3), timeout_s=1.0))
    world.crms.append(Crm("earlier", FakeCrm(world.clock, delay_s=0.1), timeout_s=1.0))
    record = await decided(world)
    record = await world.until(record, lambda r: r.step(NUMBER).done)
    assert age(record) == pytest.approx(0.2, abs=0.002)


async def test_a_late_hit_of_a_reference_is_dropped_once_the_number_found_somebody(
    world: World, premium: Customer, standard: Customer
) -> None:
    world.crm.add(premium, CALLER)
    world.crm.add(standard, references=["2001001"])
    world.crm.delay_s = 0.2
    record = await decided(world)
    _, name = await world.replicas[0].identify.on_reference(CallStarted(record.id), "2001001")
    done = await world.until(record, lambda r: all(step.done for step in r.steps))
    assert done.customer == premium
    assert done.step(name).lookup is LookupState.TIMEOUT
    assert not done.contradicted
    assert len(world.platform.writes) == 3, "two timeouts and the first hit"


async def test_a_hit_after_the_listening_ended_is_dropped(world: World, premium: Customer) -> None:
    world.crm.delay_s = LATE_S + 0.05
    world.crm.add(premium, CALLER)
    record = await decided(world)
    await asyncio.sleep(1.0)
    record = await world.until(record, lambda r: r.step(NUMBER).done)
    assert (record.step(NUMBER).lookup, record.customer) == ("timeout", None)
    assert len(world.platform.writes) == 1


async def test_a_crm_with_less_time_than_the_deadline_is_given_up_earlier(world: World) -> None:
    world.crms[:] = [Crm("shop", FakeCrm(world.clock, delay_s=10.0), timeout_s=0.02)]
    record = await decided(world)
    assert record.step(NUMBER).lookup is LookupState.TIMEOUT
    assert age(record) == pytest.approx(0.02, abs=0.002)
    assert record.step(NUMBER).done


@pytest.mark.parametrize(
    "answer",
    [
        lambda: None,
        lambda: 7,
        lambda: "nobody",
        lambda: [None],
        lambda: [{"id": "1"}],
        lambda: {"id": "1"},
        lambda: [Customer("")],
        lambda: raising(RecursionError()),
        lambda: raising(asyncio.CancelledError()),
    ],
)
async def test_rubbish_is_an_error_and_never_a_customer(
    world: World, answer: Callable[[], Any]
) -> None:
    world.crms[:] = [Crm("odd", OddCrm(answer))]
    record = await decided(world)
    assert (record.step(NUMBER).lookup, record.step(NUMBER).route) == ("error", "standard")
    assert record.customer is None


async def test_a_timeout_of_the_adapters_own_is_a_timeout(world: World) -> None:
    world.crms[:] = [Crm("odd", OddCrm(lambda: raising(TimeoutError())))]
    assert (await decided(world)).step(NUMBER).lookup is LookupState.TIMEOUT


async def test_ten_thousand_matches_are_not_chosen_from(world: World) -> None:
    many = [Customer(str(i)) for i in range(10_000)]
    assert len(many) > MATCHES_READ
    world.crms[:] = [Crm("odd", OddCrm(lambda: many))]
    record = await decided(world)
    assert (record.step(NUMBER).lookup, record.customer) == ("error", None)


async def test_a_record_of_another_number_is_nobody(world: World) -> None:
    world.crms[:] = [Crm("odd", OddCrm(lambda: [Customer("1", phones=("+496990009002",))]))]
    assert (await decided(world)).step(NUMBER).lookup is LookupState.NOT_FOUND


async def test_two_customers_with_one_number_are_ambiguous(
    world: World, premium: Customer, standard: Customer
) -> None:
    world.crm.add(premium, CALLER)
    world.crm.add(standard, CALLER)
    record = await decided(world)
    assert (record.step(NUMBER).lookup, record.step(NUMBER).route) == ("ambiguous", "reference")
    assert world.session(record) == {"ivr.lookup": "ambiguous", "ivr.route": "reference"}


async def test_an_adapter_that_ignores_cancellation_delays_nobody(world: World) -> None:
    world.crms.append(Crm("stubborn", StubbornCrm(5.0), timeout_s=0.03))
    record = await decided(world)
    assert record.step(NUMBER).lookup is LookupState.TIMEOUT
    assert age(record) == pytest.approx(DEADLINE_S, abs=0.002)
    done = await world.until(record, lambda r: r.step(NUMBER).done)
    assert done.customer is None
    await asyncio.sleep(1.1)
    assert world.replicas[0].worker._running() == [], "it is left behind, not waited for"
    await asyncio.sleep(5.0)


async def test_a_crm_that_is_down_does_not_hide_a_customer_of_another(
    world: World, premium: Customer
) -> None:
    world.crm.add(premium, CALLER)
    world.crms.append(Crm("odd", OddCrm(lambda: raising(OSError("refused")))))
    assert (await decided(world)).customer == premium


@pytest.mark.parametrize(
    ("caller", "lookup"),
    [(None, "withheld"), ("anonymous", "withheld"), ("12", "not_found"), ("+4930", "not_found")],
)
async def test_without_a_number_nobody_is_asked(
    world: World, caller: str | None, lookup: str
) -> None:
    record = await world.starts(world.replica(), from_=caller)
    record = await world.until(record, lambda r: r.step(NUMBER).done)
    assert world.session(record) == {"ivr.lookup": lookup, "ivr.route": "reference"}
    assert world.crm.asked == []


def limited(world: World, adapter: CrmAdapter, most: int, timeout_s: float = 1.0) -> None:
    world.crms[:] = [Crm("shop", adapter, timeout_s=timeout_s, turns=asyncio.Semaphore(most))]


async def test_a_crm_is_asked_by_no_more_lookups_at_a_time_than_it_can_take(
    world: World, premium: Customer
) -> None:
    world.crm.delay_s = 0.01
    world.crm.add(premium, CALLER)
    limited(world, world.crm, 2)
    replica = world.replica()
    records = [await world.starts(replica) for _ in range(6)]
    await asyncio.sleep(0)
    done = [await world.until(record, lambda r: r.step(NUMBER).written) for record in records]
    assert [record.step(NUMBER).lookup for record in done] == ["found"] * 6
    assert world.crm.most_at_once == 2


async def test_waiting_for_a_turn_is_part_of_the_crms_time(world: World) -> None:
    world.crm.hold()
    limited(world, world.crm, 1, timeout_s=0.03)
    replica = world.replica()
    first = await world.starts(replica)
    second = await world.starts(replica, caller="+493023125002")
    for record in (first, second):
        done = await world.until(record, lambda r: r.step(NUMBER).done)
        assert done.step(NUMBER).lookup is LookupState.TIMEOUT
        assert age(done) == pytest.approx(0.03, abs=0.002)
    assert world.crm.asked == [CALLER]
    reasons = [
        [note["reason"] for note in await replica.book.ledger.trace(call.id) if "crm" in note]
        for call in (first, second)
    ]
    assert reasons == [["crm_timeout"], ["crm_busy"]]

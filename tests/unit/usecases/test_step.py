"""One step from lease to finish: deadlines, late hits, hang-ups, takeovers, a lost store."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from broker.domain.customer import LookupState
from broker.domain.errors import CallEndedError, FencedError, PermanentError, TemporaryError
from broker.domain.progress import ask_repair
from broker.domain.record import NUMBER, Outcome, Record, Step, Written
from broker.ports import CrmAdapter
from broker.testing.fake_crm import FakeCrm
from broker.usecases.identify import CallStarted
from broker.usecases.lookup import Crm
from tests.unit.usecases.conftest import LEASE_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.domain.call import Phone, Reference
    from broker.domain.customer import Customer
    from broker.ports import Lease
    from tests.unit.usecases.conftest import Replica, ShakyStore, World

CALLER = "+493023125001"


class RaisingCrm(CrmAdapter):
    """A plug-in with a fault of its own."""

    def __init__(self, fault: BaseException) -> None:
        self.fault = fault

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:  # noqa: ARG002 - always fails
        raise self.fault

    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:  # noqa: ARG002
        raise self.fault


async def test_customer_is_written_and_the_step_is_done(world: World, premium: Customer) -> None:
    world.crm.add(premium, CALLER)
    record = await world.starts(world.replica())
    done = await world.until(record, lambda r: r.step(NUMBER).done)
    assert done.step(NUMBER).written is Written.OK
    assert world.session(record)["ivr.premium"] is True
    assert world.crm.asked == [CALLER]


async def test_time_from_the_event_to_the_write_is_measured_and_compared_with_the_limit(
    world: World, premium: Customer
) -> None:
    world.crm = FakeCrm(world.clock, delay_s=0.04)
    world.crm.add(premium, CALLER)
    world.crms[:] = [Crm("shop", world.crm, timeout_s=1.0)]
    replica = world.replica()
    record = await world.starts(replica)
    await world.until(record, lambda r: r.step(NUMBER).done)
    metrics = replica.metrics
    assert metrics.call_to_write._sum.get() == pytest.approx(0.04, abs=0.005)
    assert metrics.write_in_time("true")._value.get() == 1
    world.platform.delay_s = world.deadlines.write_s
    await world.starts(replica)
    await asyncio.sleep(1.0)
    assert metrics.write_in_time("false")._value.get() == 1


async def test_deadline_writes_timeout_and_a_late_hit_is_written_like_a_timely_one(
    world: World, premium: Customer
) -> None:
    world.crm.add(premium, CALLER)
    world.crm.hold()
    replica = world.replica()
    record = await world.starts(replica)
    timed_out = await world.until(record, lambda r: r.step(NUMBER).written)
    assert not timed_out.step(NUMBER).done
    assert world.session(record) == {"ivr.lookup": "timeout", "ivr.route": "reference"}
    world.crm.release()
    await world.until(record, lambda r: r.step(NUMBER).done)
    assert world.session(record)["ivr.lookup"] == "found"
    assert len(world.platform.writes) == 2


async def test_every_crms_answer_is_noted_once_whoever_is_late(
    world: World, premium: Customer
) -> None:
    world.crm.add(premium, CALLER)
    world.crm.hold()
    world.crms.append(Crm("quick", FakeCrm(world.clock), timeout_s=1.0))
    replica = world.replica()
    record = await world.starts(replica)
    await world.until(record, lambda r: r.step(NUMBER).written)
    assert await _answered(replica, record) == ["quick"]
    world.crm.release()
    await world.until(record, lambda r: r.step(NUMBER).done)
    assert await _answered(replica, record) == ["quick", "shop"]


async def _answered(replica: Replica, record: Record) -> list[str]:
    trace = await replica.book.ledger.trace(record.id)
    return [note["crm"] for note in trace if note["event"] == "crm_answered"]


async def test_hit_that_comes_while_timeout_is_being_written_is_written_next(
    world: World, premium: Customer
) -> None:
    world.crm.add(premium, CALLER)
    world.crm.hold()
    world.platform.hold()
    record = await world.starts(world.replica())
    while not world.platform.writes:
        await asyncio.sleep(0.001)
    world.crm.release()
    await asyncio.sleep(0.01)
    world.platform.release()
    await world.until(record, lambda r: r.step(NUMBER).done)
    assert world.session(record)["ivr.lookup"] == "found"


async def test_crm_that_never_answers_is_cancelled_when_nobody_listens_any_more(
    world: World,
) -> None:
    world.crm.hold()
    record = await world.starts(world.replica())
    done = await world.until(record, lambda r: r.step(NUMBER).done)
    assert done.step(NUMBER).lookup is LookupState.TIMEOUT
    assert world.crm.cancelled == 1


@pytest.mark.parametrize(
    "fault", [ValueError("x"), SystemExit(3), TemporaryError("away"), PermanentError("no")]
)
async def test_crm_with_a_fault_is_an_error_and_the_others_still_count(
    world: World, premium: Customer, fault: BaseException
) -> None:
    world.crms.append(Crm("odd", RaisingCrm(fault)))
    alone = await world.starts(world.replica(), "+493023125777")
    assert (await world.until(alone, lambda r: r.step(NUMBER).done)).step(NUMBER).lookup == "error"
    world.crm.add(premium, CALLER)
    record = await world.starts(world.replicas[0])
    assert (await world.until(record, lambda r: r.step(NUMBER).done)).customer is not None


async def test_two_crms_are_asked_at_the_same_time(world: World, premium: Customer) -> None:
    other = FakeCrm(world.clock)
    world.crms.append(Crm("club", other))
    world.crm.hold()
    other.hold()
    world.crm.add(premium, CALLER)
    record = await world.starts(world.replica())
    while not (world.crm.asked and other.asked):
        await asyncio.sleep(0)
    world.crm.release()
    other.release()
    await world.until(record, lambda r: r.step(NUMBER).done)


async def test_hang_up_during_the_lookup_writes_nothing_and_stops_the_crms(world: World) -> None:
    world.crm.hold()
    replica = world.replica()
    record = await world.starts(replica)
    while not world.crm.asked:
        await asyncio.sleep(0)
    ended = await replica.finish.on_end(record.id)
    assert ended is not None
    assert ended.outcome is Outcome.CALL_GONE
    await asyncio.sleep(0.1)
    assert world.platform.writes == []
    assert world.crm.cancelled == 1


async def test_hang_up_during_the_write_waits_for_the_write_and_sends_nothing(
    world: World, standard: Customer
) -> None:
    world.tracking()
    world.crm.add(standard, CALLER)
    world.platform.hold()
    replica = world.replica()
    record = await world.starts(replica)
    while not world.platform.writes:
        await asyncio.sleep(0)
    ended = await replica.finish.on_end(record.id)
    assert ended is not None
    assert ended.outcome is None
    world.platform.release()
    over = await world.until(record, lambda r: r.outcome)
    assert over.outcome is Outcome.INFORMED
    assert world.channel.attempts == []


async def test_session_that_is_gone_ends_the_call(world: World, premium: Customer) -> None:
    world.crm.add(premium, CALLER)
    world.platform.fail(CallEndedError("gone"))
    record = await world.starts(world.replica())
    over = await world.until(record, lambda r: r.outcome)
    assert over.outcome is Outcome.CALL_GONE


async def test_driver_with_a_fault_fails_the_write_and_not_the_broker(
    world: World, premium: Customer
) -> None:
    class Faulty(type(world.platform)):  # type: ignore[misc]
        async def write(self, *_args: object, **_more: object) -> None:
            raise ValueError("a fault of the driver")

    world.crm.add(premium, CALLER)
    world.platform = Faulty(world.clock)
    record = await world.starts(world.replica())
    done = await world.until(record, lambda r: r.step(NUMBER).done)
    assert done.step(NUMBER).written is Written.FAILED
    assert world.crm.asked == [CALLER]


async def test_step_of_a_dead_replica_is_taken_over_and_says_timeout_at_once(
    world: World, premium: Customer
) -> None:
    world.crm.add(premium, CALLER)
    world.crm.hold()
    dying, heir = world.replica(), world.replica()
    record = await world.starts(dying)
    await _dies(dying)
    world.crm.hold()
    heir.worker.open()
    await world.until(record, lambda r: r.step(NUMBER).written)
    assert world.session(record)["ivr.lookup"] == "timeout"
    world.crm.release()
    await world.until(record, lambda r: r.step(NUMBER).done)
    assert world.session(record)["ivr.lookup"] == "found"


async def test_takeover_has_time_for_its_write_even_past_the_deadline(
    world: World, premium: Customer
) -> None:
    world.crm.add(premium, CALLER)
    world.crm.hold()
    dying, heir = world.replica(), world.replica()
    record = await world.starts(dying)
    await _dies(dying)
    world.crm.hold()
    world.platform.delay_s = 0.2
    await asyncio.sleep(world.deadlines.write_s)
    heir.worker.open()
    written = await world.until(record, lambda r: r.step(NUMBER).written)
    assert written.step(NUMBER).written is Written.OK


async def test_customer_found_but_never_written_in_time_is_expired(
    world: World, premium: Customer
) -> None:
    world.crm.add(premium, CALLER)
    world.platform.hold()
    dying, heir = world.replica(), world.replica()
    record = await world.starts(dying)
    while not world.platform.writes:
        await asyncio.sleep(0)
    await _dies(dying)
    await asyncio.sleep(world.deadlines.useful_s * 1.1)
    heir.worker.open()
    await world.until(record, lambda r: r.step(NUMBER).done)
    over = await heir.finish.on_end(record.id)
    assert over is not None
    assert over.outcome is Outcome.EXPIRED
    assert world.session(record) == {}


async def test_nothing_is_written_under_a_lease_that_ran_out(
    world: World, premium: Customer
) -> None:
    world.crm.add(premium, CALLER)
    replica = world.replica()
    kept = await replica.book.ledger.accept(
        Record("call", world.clock.time(), 2e9, steps=(Step(NUMBER, world.clock.time(), CALLER),))
    )
    (lease,) = kept.leases
    lease.expires = world.clock.monotonic()
    with pytest.raises(FencedError):
        await replica.worker._runners["step"](lease)
    assert world.platform.writes == []


async def test_takeover_listens_no_longer_than_a_hit_would_be_useful(
    world: World, premium: Customer
) -> None:
    world.crm.add(premium, CALLER)
    world.crm.hold()
    dying, heir = world.replica(), world.replica()
    record = await world.starts(dying)
    await world.until(record, lambda r: r.step(NUMBER).written)
    await _dies(dying)
    await asyncio.sleep(world.deadlines.useful_s - 0.2)
    heir.worker.open()
    await asyncio.sleep(0.3)
    world.crm.release()
    done = await world.until(record, lambda r: r.step(NUMBER).done)
    assert (done.step(NUMBER).lookup, done.customer) == ("timeout", None)


async def test_lookup_overtaken_by_a_reference_is_not_listened_to(
    world: World, premium: Customer
) -> None:
    """Also if its own timeout was being written at that moment."""
    world.crm.add(premium, references=["2001001"])
    world.crm.hold()
    first, second = world.replica(), world.replica()
    record = await world.starts(first)
    world.platform.hold()
    while not world.platform.writes:
        await asyncio.sleep(0.001)
    world.crm._gate = None
    await second.identify.on_reference(CallStarted(record.id), "2001001")
    await world.until(record, lambda r: r.customer)
    world.platform.release()
    await world.until(record, lambda r: r.customer and all(s.done for s in r.steps), seconds=0.1)
    assert world.session(record)["ivr.lookup"] == "found"


async def test_write_that_came_before_the_session_was_gone_is_remembered(
    world: World, premium: Customer
) -> None:
    """The first write arrives, but a reference was decided meanwhile, so it is repeated."""
    world.crm.add(premium, CALLER)
    world.platform.hold()
    world.platform.fail(None, TemporaryError("500"), CallEndedError("gone"))
    first, second = world.replica(), world.replica()
    record = await world.starts(first)
    while not world.platform.writes:
        await asyncio.sleep(0)
    _, name = await second.identify.on_reference(CallStarted(record.id), "0000001")
    await world.until(record, lambda r: r.step(name).lookup)
    world.platform.release()
    over = await world.until(record, lambda r: r.outcome)
    assert over.over == "gone"
    assert over.outcome is not Outcome.CALL_GONE


async def test_while_the_store_is_away_only_timeout_is_said_and_the_hit_follows(
    world: World, premium: Customer
) -> None:
    world.crm.add(premium, CALLER)
    world.crm.hold()
    replica = world.replica()
    record = await world.starts(replica)
    world.store.away = True
    world.crm.release()
    while not world.platform.writes:
        await asyncio.sleep(0.01)
    assert world.session(record) == {"ivr.lookup": "timeout", "ivr.route": "reference"}
    world.store.away = False
    await world.until(record, lambda r: r.step(NUMBER).done)
    assert world.session(record)["ivr.lookup"] == "found"
    assert await _answered(replica, record) == ["shop"]


async def test_timeout_said_without_the_ledger_is_taken_back_if_another_replica_knew_better(
    world: World, premium: Customer
) -> None:
    world.crm.add(premium, CALLER)
    road = world.own_road()
    heir, cut_off = world.replica(), world.replica(road)
    world.crm.hold()
    record = await world.starts(cut_off)
    road.away = True
    world.crm.release()
    heir.worker.open()
    await world.until(record, lambda r: r.step(NUMBER).done)
    road.away = False
    await asyncio.sleep(0.5)
    last = world.platform.writes[-1].variables
    assert {"ivr.lookup": "found", "ivr.route": "premium"}.items() <= last.items()
    assert world.session(record)["ivr.lookup"] == "found"
    assert len(world.platform.writes) == 3, "timeout, the heir's result, and that once more"


async def test_timeout_said_without_the_ledger_is_taken_back_if_a_reference_knew_better(
    world: World, premium: Customer
) -> None:
    world.crm.add(premium, references=["2001001"])
    road = world.own_road()
    cut_off, other = world.replica(road), world.replica()
    world.crm.hold()
    record = await world.starts(cut_off)
    road.away = True
    await asyncio.sleep(0.01)
    world.crm._gate = None
    _, name = await other.identify.on_reference(CallStarted(record.id), "2001001")
    await world.until(record, lambda r: r.step(name).done)
    await asyncio.sleep(0.3)
    road.away = False
    await asyncio.sleep(0.5)
    assert {write.variables["ivr.lookup"] for write in world.platform.writes} == {
        "timeout",
        "found",
    }
    assert world.session(record)["ivr.lookup"] == "found"


async def test_replica_that_stood_still_past_its_lease_says_no_timeout_over_what_the_heir_found(
    world: World, premium: Customer
) -> None:
    record = await _stands_still_at_its_decision(world, premium, road := world.own_road())
    world.replica().worker.open()
    await world.until(record, lambda r: r.step(NUMBER).done)
    written = len(world.platform.writes)
    _goes_on(road)
    await asyncio.sleep(0.5)
    assert world.session(record)["ivr.lookup"] == "found"
    assert len(world.platform.writes) == written


async def test_replica_that_stood_still_says_timeout_if_the_store_is_away_then(
    world: World, premium: Customer
) -> None:
    record = await _stands_still_at_its_decision(world, premium, road := world.own_road())
    await asyncio.sleep(LEASE_S)
    road.away = True
    _goes_on(road)
    await asyncio.sleep(0.01)
    assert world.session(record) == {"ivr.lookup": "timeout", "ivr.route": "reference"}


async def test_replica_that_stood_still_goes_on_if_nobody_took_over(
    world: World, premium: Customer
) -> None:
    record = await _stands_still_at_its_decision(world, premium, road := world.own_road())
    await asyncio.sleep(LEASE_S)
    _goes_on(road)
    world.replicas[0].worker.open()
    await world.until(record, lambda r: r.step(NUMBER).done)
    assert [write.variables["ivr.lookup"] for write in world.platform.writes] == ["found"]


async def test_write_that_lands_after_the_heirs_is_repaired(
    world: World, premium: Customer
) -> None:
    """A replica loses its lease in the middle of a write, and that arrives last."""
    world.crm.add(premium, CALLER)
    world.deadlines = replace(world.deadlines, write_s=2.0)
    slow, heir, platform = world.replica(), world.replica(), world.platform
    platform.hold()
    world.crm.hold()
    record = await world.starts(slow)
    while not platform.writes:
        await asyncio.sleep(0.01)
    assert platform.writes[0].variables["ivr.lookup"] == "timeout"
    stuck, platform._gate = platform._gate, None
    heir.worker.open()
    world.crm.release()
    await world.until(record, lambda r: r.step(NUMBER).done)
    assert stuck is not None
    stuck.set()
    while world.session(record)["ivr.lookup"] == "found":
        await asyncio.sleep(0)
    assert world.session(record)["ivr.lookup"] == "timeout", "it came last"
    await asyncio.sleep(0.1)
    assert world.session(record)["ivr.lookup"] == "found"
    events = [line["event"] for line in await heir.book.ledger.trace(record.id)]
    assert events[-1] == "session_repaired"


async def test_repair_that_fails_is_tried_again_by_whoever_comes(
    world: World, premium: Customer
) -> None:
    world.crm.add(premium, CALLER)
    replica = world.replica()
    record = await world.starts(replica)
    await world.until(record, lambda r: r.step(NUMBER).done)
    world.platform.sessions[f"s{record.id}"]["ivr.lookup"] = "timeout"
    world.platform.fail(TemporaryError("500"), TemporaryError("500"))
    await replica.book.save(record.id, partial(ask_repair, name=NUMBER))
    replica.worker.open()
    await world.until(record, lambda r: not r.step(NUMBER).repair)
    assert world.session(record)["ivr.lookup"] == "found"
    assert len(world.platform.writes) == 4


async def test_repair_shows_what_was_decided_while_it_wrote(
    world: World, premium: Customer
) -> None:
    world.crm.add(premium, references=["2001001"])
    replica, other = world.replica(), world.replica()
    record = await world.starts(replica)
    await world.until(record, lambda r: r.step(NUMBER).done)
    world.platform.hold()
    await replica.book.save(record.id, partial(ask_repair, name=NUMBER))
    while len(world.platform.writes) < 2:
        await asyncio.sleep(0)
    stuck, world.platform._gate = world.platform._gate, None
    _, name = await other.identify.on_reference(CallStarted(record.id), "2001001")
    await world.until(record, lambda r: r.step(name).done)
    assert stuck is not None
    stuck.set()
    await world.until(record, lambda r: not r.step(NUMBER).repair)
    assert world.session(record)["ivr.lookup"] == "found"


async def test_nothing_is_repaired_once_the_call_is_over(world: World) -> None:
    replica = world.replica()
    record = await world.starts(replica)
    await world.until(record, lambda r: r.step(NUMBER).done)
    await replica.finish.on_end(record.id)
    await replica.book.save(record.id, partial(ask_repair, name=NUMBER))
    await asyncio.sleep(0.1)
    assert len(world.platform.writes) == 1


async def test_step_that_nobody_finishes_is_given_up(world: World) -> None:
    world.faulty = True
    replica = world.replica()
    begun: list[str] = []

    async def breaks(lease: Lease) -> None:
        begun.append(lease.work)
        raise RuntimeError("broken")

    replica.worker.run_with({**replica.worker._runners, "step": breaks})
    record = await world.starts(replica)
    replica.worker.open()
    given_up = await world.until(record, lambda r: r.step(NUMBER).done, seconds=9)
    assert given_up.step(NUMBER).reason == "poison"
    assert begun == ["step:number"] * 6
    over = await replica.finish.on_end(record.id)
    assert over is not None
    assert (over.outcome, over.reason) == (Outcome.FAILED, "poison")
    assert (await replica.book.ledger.due())["calls"].dead == 1


async def _stands_still_at_its_decision(
    world: World, customer: Customer, road: ShakyStore
) -> Record:
    """A call whose customer was found by a replica that does not come to saving it."""
    world.crm.add(customer, CALLER)
    world.crm.hold()
    record = await world.starts(world.replica(road))
    road.standstill = asyncio.Event()
    world.crm.release()
    return record


def _goes_on(road: ShakyStore) -> None:
    stood, road.standstill = road.standstill, None
    assert stood is not None
    stood.set()


async def _dies(replica: object) -> None:
    """Kill -9, as far as a task can be killed: what it held stays leased."""
    worker = replica.worker  # type: ignore[attr-defined]
    running = [task for _, task in worker._running()]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)

"""A CRM behind its cache: asked less, heard in time, and never quoted against better knowledge."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from broker.domain.caching import CacheRules
from broker.domain.call import Numbering, Phone, Reference
from broker.domain.customer import Answer, Customer, Folding, LookupState, Told
from broker.domain.errors import BadInputError, PermanentError
from broker.domain.record import NUMBER
from broker.metrics import Metrics
from broker.stores.customers import RedisCustomerCache
from broker.stores.tiers import RedisTierWords
from broker.usecases.cache import ANSWER_BY, CachedCrm
from broker.usecases.erase import Erase
from broker.usecases.invalidate import Invalidate
from broker.usecases.lookup import Crm, Lookup
from broker.usecases.tiers import UnmappedTiers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.unit.usecases.conftest import World

CALLER = Phone.from_e164("+493023125001")
OTHER = Phone.from_e164("+496990009002")
DAY = 86_400.0
DEADLINE_S = 0.5
RULES = CacheRules(60.0, 10.0, {"premium": DAY, "email": DAY})


@dataclass
class Desk:
    """One replica's lookup of one CRM, behind its cache."""

    world: World
    lookup: Lookup
    metrics: Metrics

    async def asks(self, phone: Phone = CALLER, within: float = DEADLINE_S) -> Answer:
        """What a caller is told."""
        asking = self.lookup.ask(phone, within)
        try:
            await asking.until(5.0)
            [answer] = asking.answers
            return answer
        finally:
            await asking.stop()

    def counted(self) -> dict[str, float]:
        """Results of the cache that occurred, and how often."""
        [family] = self.metrics.cache.collect()
        samples = [s for s in family.samples if s.name == "broker_cache_total"]
        return {sample.labels["result"]: sample.value for sample in samples if sample.value}


def made(world: World, rules: CacheRules = RULES) -> Desk:
    metrics = Metrics()
    kept = RedisCustomerCache(world.store, world.clock, home_region="DE")
    cache = CachedCrm("shop", rules, kept, world.clock, metrics)
    crms = [Crm("shop", world.crm, timeout_s=1.0, cache=cache)]
    tiers = UnmappedTiers(RedisTierWords(world.store), metrics)
    return Desk(world, Lookup(crms, Folding(), world.clock, metrics, tiers=tiers), metrics)


@pytest.fixture
async def desk(world: World) -> AsyncIterator[Desk]:
    desk = made(world)
    yield desk
    for crm in desk.lookup.crms:
        assert crm.cache is not None
        await crm.cache.aclose()


def known(answer: Answer) -> dict[str, Any]:
    """What the answer tells of its only customer."""
    [customer] = answer.customers
    facts = {"premium": customer.premium, "email": customer.email, "track_id": customer.track_id}
    return {name: value for name, value in facts.items() if value is not None}


async def test_a_caller_who_was_found_is_not_asked_for_again(
    desk: Desk, standard: Customer
) -> None:
    desk.world.crm.add(standard, CALLER.e164)
    desk.world.crm.delay_s = 0.2
    first = await desk.asks()
    await asyncio.sleep(30.0)
    second = await desk.asks()
    assert (first.age_s, first.ms) == (None, 200)
    assert (second.state, second.customers, second.ms) == (LookupState.FOUND, (standard,), 0)
    assert second.age_s == pytest.approx(30.2, abs=0.01)
    assert desk.world.crm.asked == [CALLER.e164]
    assert desk.counted() == {"miss": 1, "hit": 1}


async def test_replicas_share_what_they_were_told(world: World, standard: Customer) -> None:
    world.crm.add(standard, CALLER.e164)
    assert (await made(world).asks()).age_s is None
    assert (await made(world).asks()).customers == (standard,)
    assert world.crm.asked == [CALLER.e164]


async def test_once_he_is_too_old_he_is_asked_for_again(desk: Desk, standard: Customer) -> None:
    desk.world.crm.add(standard, CALLER.e164)
    await desk.asks()
    await asyncio.sleep(60.0)
    assert (await desk.asks()).age_s is None
    assert desk.world.crm.asked == [CALLER.e164] * 2


@pytest.mark.parametrize("people", [0, 2])
async def test_nobody_and_several_are_told_again_for_a_shorter_time(
    desk: Desk, premium: Customer, standard: Customer, people: int
) -> None:
    for customer in (premium, standard)[:people]:
        desk.world.crm.add(customer, CALLER.e164)
    states = [(await desk.asks()).state]
    await asyncio.sleep(9.0)
    states.append((await desk.asks()).state)
    assert len(desk.world.crm.asked) == 1
    await asyncio.sleep(1.0)
    states.append((await desk.asks()).state)
    assert len(desk.world.crm.asked) == 2
    assert set(states) == {LookupState.AMBIGUOUS if people else LookupState.NOT_FOUND}


async def test_errors_and_timeouts_are_never_told_again(desk: Desk, standard: Customer) -> None:
    desk.world.crm.add(standard, CALLER.e164)
    desk.world.crm.fail(PermanentError("broken"))
    assert (await desk.asks()).state is LookupState.ERROR
    desk.world.crm.delay_s = 2.0
    assert (await desk.asks()).state is LookupState.TIMEOUT
    desk.world.crm.delay_s = 0.0
    assert (await desk.asks()).state is LookupState.FOUND
    assert len(desk.world.crm.asked) == 3


async def test_references_are_always_asked_for(desk: Desk, standard: Customer) -> None:
    desk.world.crm.add(standard, references=["2001001"])
    for _ in range(2):
        asking = desk.lookup.ask(Reference("2001001"), DEADLINE_S)
        await asking.until(1.0)
        await asking.stop()
    assert desk.world.crm.asked == ["2001001"] * 2
    assert desk.counted() == {}


async def test_he_is_told_at_once_and_asked_for_behind_if_nothing_of_him_is_too_old(
    desk: Desk, premium: Customer
) -> None:
    old = replace(premium, track_id=None)
    desk.world.crm.add(old, CALLER.e164)
    await desk.asks()
    await asyncio.sleep(3600.0)
    desk.world.crm.delay_s = 0.3
    desk.world.crm._by_phone[CALLER.e164] = [replace(old, premium=False)]
    answer = await desk.asks()
    assert (answer.ms, answer.customers) == (0, (old,))
    assert answer.age_s == pytest.approx(3600.0, abs=0.01)
    await asyncio.sleep(1.0)
    assert known(await desk.asks()) == {"premium": False, "email": old.email}
    assert len(desk.world.crm.asked) == 2
    assert desk.counted() == {"miss": 1, "stale": 1, "hit": 1}


async def test_what_is_too_old_is_asked_for_while_there_is_time(
    desk: Desk, standard: Customer
) -> None:
    desk.world.crm.add(standard, CALLER.e164)
    await desk.asks()
    await asyncio.sleep(3600.0)
    desk.world.crm.delay_s = 0.2
    desk.world.crm._by_phone[CALLER.e164] = [replace(standard, track_id="T-9")]
    answer = await desk.asks()
    assert (answer.ms, answer.age_s) == (200, None)
    assert known(answer)["track_id"] == "T-9"
    assert desk.counted() == {"miss": 2}


async def test_a_late_crm_is_replaced_by_what_is_young_enough_and_heard_behind(
    desk: Desk, standard: Customer
) -> None:
    desk.world.crm.add(standard, CALLER.e164)
    await desk.asks()
    await asyncio.sleep(3600.0)
    desk.world.crm.delay_s = 0.8
    desk.world.crm._by_phone[CALLER.e164] = [replace(standard, track_id="T-9")]
    answer = await desk.asks()
    assert answer.ms == pytest.approx(DEADLINE_S * ANSWER_BY * 1000, abs=1)
    assert known(answer) == {"premium": False, "email": standard.email}
    assert (answer.state, answer.reason) == (LookupState.FOUND, "crm_late")
    assert answer.age_s == pytest.approx(3600.0, abs=0.01)
    await asyncio.sleep(1.0)
    assert known(await desk.asks())["track_id"] == "T-9"
    assert len(desk.world.crm.asked) == 2
    assert desk.counted() == {"miss": 1, "late": 1, "hit": 1}


async def test_a_crm_that_fails_is_replaced_at_once(desk: Desk, standard: Customer) -> None:
    desk.world.crm.add(standard, CALLER.e164)
    await desk.asks()
    await asyncio.sleep(3600.0)
    desk.world.crm.fail(PermanentError("broken"))
    answer = await desk.asks()
    assert (answer.ms, answer.state, answer.reason) == (0, LookupState.FOUND, "PermanentError")
    assert known(answer) == {"premium": False, "email": standard.email}


async def test_past_the_deadline_what_is_young_enough_is_told_at_once(
    desk: Desk, standard: Customer
) -> None:
    desk.world.crm.add(standard, CALLER.e164)
    await desk.asks()
    await asyncio.sleep(3600.0)
    desk.world.crm.delay_s = 0.8
    assert (await desk.asks(within=0.0)).ms == 0


async def test_without_premium_and_address_the_crm_is_waited_for(world: World) -> None:
    desk = made(world, CacheRules(60.0, 10.0, {"name": DAY}))
    world.crm.add(Customer("c3", email="cy@example.com", name="Cy"), CALLER.e164)
    await desk.asks()
    await asyncio.sleep(3600.0)
    world.crm.delay_s = 0.8
    answer = await desk.asks()
    assert (answer.ms, answer.state, answer.age_s) == (800, LookupState.FOUND, None)
    world.crm.fail(PermanentError("broken"))
    await asyncio.sleep(60.0)
    assert (await desk.asks()).state is LookupState.ERROR


async def test_callers_of_one_number_share_one_question(desk: Desk, standard: Customer) -> None:
    desk.world.crm.add(standard, CALLER.e164)
    desk.world.crm.delay_s = 0.2
    answers = await asyncio.gather(*(desk.asks() for _ in range(9)), desk.asks(OTHER))
    assert [answer.state for answer in answers] == [LookupState.FOUND] * 9 + [LookupState.NOT_FOUND]
    assert sorted(desk.world.crm.asked) == sorted([CALLER.e164, OTHER.e164])
    assert desk.counted() == {"miss": 2, "shared": 8}


async def test_a_caller_who_hangs_up_takes_the_question_from_nobody(
    desk: Desk, standard: Customer
) -> None:
    desk.world.crm.add(standard, CALLER.e164)
    desk.world.crm.delay_s = 0.2
    first = desk.lookup.ask(CALLER, DEADLINE_S)
    await asyncio.sleep(0.05)
    second = asyncio.create_task(desk.asks())
    await asyncio.sleep(0.05)
    await first.stop()
    assert (await second).customers == (standard,)
    assert desk.world.crm.cancelled == 0


async def test_a_question_goes_on_if_nobody_waits_any_more(desk: Desk, standard: Customer) -> None:
    desk.world.crm.add(standard, CALLER.e164)
    desk.world.crm.delay_s = 0.2
    alone = desk.lookup.ask(CALLER, DEADLINE_S)
    await asyncio.sleep(0.05)
    await alone.stop()
    await asyncio.sleep(1.0)
    assert (await desk.asks()).age_s is not None
    assert len(desk.world.crm.asked) == 1


async def test_closing_gives_up_what_is_asked_and_keeps_what_is_answered(
    world: World, standard: Customer
) -> None:
    world.crm.add(standard, CALLER.e164)
    desk = made(world)
    [crm] = desk.lookup.crms
    assert crm.cache is not None

    async def ask() -> Told:
        return Told.of((standard,))

    await crm.cache.answer(CALLER, ask, DEADLINE_S)
    await crm.cache.aclose()
    assert (await made(world).asks()).age_s is not None
    world.crm.hold()
    asking = desk.lookup.ask(OTHER, DEADLINE_S)
    await asyncio.sleep(0.05)
    await crm.cache.aclose()
    assert world.crm.cancelled == 1
    began = world.clock.monotonic()
    await asking.until(5.0)
    assert world.clock.monotonic() - began < 0.1, "nobody waits for an answer that never comes"


async def test_without_the_store_the_crm_is_asked_as_if_there_were_no_cache(
    desk: Desk, standard: Customer
) -> None:
    desk.world.crm.add(standard, CALLER.e164)
    await desk.asks()
    desk.world.store.away = True
    assert (await desk.asks()).customers == (standard,)
    assert (await desk.asks()).customers == (standard,)
    assert len(desk.world.crm.asked) == 3
    assert desk.counted() == {"miss": 1, "unavailable": 2}


async def test_an_answer_that_cannot_be_kept_is_told_all_the_same(
    desk: Desk, standard: Customer
) -> None:
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    desk.world.crm.add(standard, CALLER.e164)
    desk.world.crm.hold()
    waiting = asyncio.create_task(desk.asks())
    await asyncio.sleep(0.1)
    desk.world.store.away = True
    desk.world.crm.release()
    assert (await waiting).customers == (standard,)
    await asyncio.sleep(0.1)
    del waiting
    gc.collect()
    assert unhandled == []


@pytest.mark.parametrize("how", ["number", "customer_id"])
async def test_an_answer_from_before_a_change_is_told_to_who_waits_and_to_nobody_else(
    desk: Desk, standard: Customer, how: str
) -> None:
    desk.world.crm.add(standard, CALLER.e164)
    desk.world.crm.delay_s = 0.2
    cache = RedisCustomerCache(desk.world.store, desk.world.clock)
    invalidate = Invalidate(cache, ["shop"], Numbering("DE"))
    waiting = asyncio.create_task(desk.asks())
    await asyncio.sleep(0.1)
    who = {"number": "030 23125001", "customer_id": standard.id}
    changed = {name: value if name == how else None for name, value in who.items()}
    assert await invalidate.on_request("shop", **changed) == 0
    assert (await waiting).customers == (standard,)
    assert (await desk.asks()).age_s is None
    assert len(desk.world.crm.asked) == 2
    assert await invalidate.on_request("shop", **changed) == 1
    assert (await desk.asks()).age_s is None


async def test_an_answer_from_before_an_erasure_does_not_bring_the_person_back(
    desk: Desk, standard: Customer
) -> None:
    desk.world.crm.add(standard, CALLER.e164)
    desk.world.crm.delay_s = 0.2
    replica = desk.world.replica()
    erase = Erase(replica.book.ledger, replica.customers, Numbering("DE"))
    waiting = asyncio.create_task(desk.asks())
    await asyncio.sleep(0.1)
    assert (await erase.on_request(None, standard.email)).cached == 0
    await waiting
    await asyncio.sleep(0.1)
    recalled = await replica.customers.recall("shop", CALLER)
    assert recalled.kept is None
    await desk.asks()
    assert (await erase.on_request(CALLER.e164, None)).cached == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ((None, CALLER.e164, None), "missing_field"),
        (("shop", None, None), "missing_field"),
        (("nobody", CALLER.e164, None), "invalid_body"),
        (("shop", CALLER.e164, "c1"), "invalid_body"),
        (("shop", "nobody", None), "invalid_body"),
    ],
)
async def test_which_customer_changed_has_to_be_clear(
    world: World, body: tuple[str | None, str | None, str | None], code: str
) -> None:
    cache = RedisCustomerCache(world.store, world.clock)
    with pytest.raises(BadInputError) as refused:
        await Invalidate(cache, ["shop"], Numbering("DE")).on_request(*body)
    assert refused.value.code == code


async def test_an_id_is_found_however_the_crm_spells_it(desk: Desk, standard: Customer) -> None:
    desk.world.crm.add(replace(standard, id="c\u200b 7"), CALLER.e164)
    await desk.asks()
    cache = RedisCustomerCache(desk.world.store, desk.world.clock)
    invalidate = Invalidate(cache, ["shop"], Numbering("DE"))
    assert await invalidate.on_request("shop", None, " c\u200b 7 ") == 1


async def test_an_unmapped_tier_counts_when_it_is_named_not_when_it_is_told_again(
    desk: Desk, standard: Customer
) -> None:
    desk.world.crm.add(replace(standard, unmapped_tier="bronze"), CALLER.e164)
    for _ in range(3):
        await desk.asks()
    value = desk.metrics.registry.get_sample_value("broker_unmapped_tiers_total", {"crm": "shop"})
    assert value == 1


async def test_the_time_of_the_crm_is_measured_only_when_it_is_asked(
    desk: Desk, standard: Customer
) -> None:
    desk.world.crm.add(standard, CALLER.e164)
    for _ in range(3):
        await desk.asks()
    labels = {"adapter": "shop", "outcome": "found"}
    count = desk.metrics.registry.get_sample_value("broker_lookup_seconds_count", labels)
    assert count == 1


async def test_the_trace_of_a_call_says_how_old_an_answer_was(
    desk: Desk, standard: Customer
) -> None:
    world = desk.world
    world.crm.add(standard, CALLER.e164)
    world.crms[:] = desk.lookup.crms
    replica = world.replica()
    noted, logged = [], []
    for _ in range(2):
        with capture_logs() as lines:
            record = await world.starts(replica, CALLER.e164)
            done = await world.until(record, lambda r: r.step(NUMBER).done)
        logged += [line["crms"]["shop"] for line in lines if line["event"] == "step"]
        assert done.customer == standard
        trace = await replica.book.ledger.trace(record.id)
        noted += [note.get("cached_s") for note in trace if note["event"] == "crm_answered"]
        await asyncio.sleep(20.0)
    assert logged == ["found 0ms", "found 0ms cached"]
    assert noted[0] is None
    assert noted[1] == pytest.approx(20.0, abs=0.2)


async def test_a_call_is_told_what_is_young_enough_before_its_deadline(
    desk: Desk, standard: Customer
) -> None:
    world = desk.world
    world.crm.add(standard, CALLER.e164)
    world.crms[:] = desk.lookup.crms
    await desk.asks()
    await asyncio.sleep(3600.0)
    world.crm.delay_s = 0.3
    record = await world.starts(world.replica(), CALLER.e164)
    done = await world.until(record, lambda r: r.step(NUMBER).done)
    assert done.step(NUMBER).lookup is LookupState.FOUND
    assert world.session(done) == {
        "ivr.email": standard.email,
        "ivr.premium": False,
        "ivr.lookup": "found",
        "ivr.route": "standard",
    }

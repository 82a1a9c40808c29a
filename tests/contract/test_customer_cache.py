"""What is kept of CRMs' answers, and never after it was forgotten: in the process and on Redis."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from broker.domain.call import Phone
from broker.domain.customer import Customer
from broker.domain.people import hashed
from broker.stores.customers import FORGET_CHUNK, FORGOTTEN_S, RedisCustomerCache
from broker.testing.fake_clock import SetClock

if TYPE_CHECKING:
    from broker.stores.connection import Store

ADA_CALLS, BOB_CALLS = Phone.from_e164("+493023125001"), Phone.from_e164("+496990009002")
ADA = Customer(
    "c1",
    email="Ada@Example.com",
    premium=False,
    track_id="T-1",
    phones=("030 23125001", "+49 30 23125003"),
    name="Ada",
    language="de",
    preferred_channel="sms",
    push_tokens=("p",),
    tags=("vip",),
    record_url="https://crm.example/1",
    extra={"city": "Köln"},
)
BOB = Customer("c2", email="bob@example.com")


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


class Cache(RedisCustomerCache):
    """With the shortest ways to keep something and to look."""

    async def ask(self, crm: str = "shop", phone: Phone = ADA_CALLS, *customers: Customer) -> bool:
        """Keep `customers`, asked for now."""
        return await self.answered((await self.recall(crm, phone)).at, crm, phone, *customers)

    async def answered(
        self, asked_at: float, crm: str = "shop", phone: Phone = ADA_CALLS, *customers: Customer
    ) -> bool:
        return await self.keep(crm, phone, customers, asked_at=asked_at, ttl_s=60.0)

    async def known(self, crm: str = "shop", phone: Phone = ADA_CALLS) -> list[str] | None:
        kept = (await self.recall(crm, phone)).kept
        return None if kept is None else [customer.id for customer in kept.customers]


class Interrupted(Cache):
    """Another CRM is asked for `renewed` anew after the first step of forgetting."""

    renewed: Phone | None = None

    async def _run(
        self, script: str, keys: list[str], params: dict[str, Any], *documents: bytes
    ) -> Any:
        answer = await super()._run(script, keys, params, *documents)
        if script == "forget" and self.renewed is not None:
            number, self.renewed = self.renewed, None
            await self._clock.sleep(0.01)
            await self.ask("erp", number, ADA)
        return answer


@pytest.fixture
def cache(store: Store, clock: SetClock) -> Cache:
    return Cache(store, clock, home_region="DE")


async def keys_of(store: Store) -> set[str]:
    keys = [key async for key in store.client.scan_iter(match=f"{store.prefix}*")]
    return {key.decode().removeprefix(store.prefix).partition(":")[0] for key in keys}


async def test_what_is_kept_comes_back_whole_and_as_old_as_its_question(
    cache: Cache, clock: SetClock
) -> None:
    before = await cache.recall("shop", ADA_CALLS)
    assert before.kept is None
    await clock.sleep(2.0)
    assert await cache.answered(before.at, "shop", ADA_CALLS, ADA)
    await clock.sleep(10.0)
    recalled = await cache.recall("shop", ADA_CALLS)
    assert recalled.kept is not None
    assert recalled.kept.customers == (ADA,)
    assert recalled.kept.age_s == pytest.approx(12.0)
    assert recalled.at == pytest.approx(before.at + 12.0)


async def test_nobody_and_several_are_kept_alike(cache: Cache) -> None:
    await cache.ask("shop", ADA_CALLS)
    assert await cache.known() == []
    await cache.ask("shop", ADA_CALLS, ADA, BOB)
    assert await cache.known() == ["c1", "c2"]


async def test_crms_and_numbers_are_kept_apart(cache: Cache) -> None:
    await cache.ask("shop", ADA_CALLS, ADA)
    await cache.ask("erp", ADA_CALLS, BOB)
    assert await cache.known("shop") == ["c1"]
    assert await cache.known("erp") == ["c2"]
    assert await cache.known("shop", BOB_CALLS) is None


async def test_an_older_answer_does_not_replace_a_newer_one(cache: Cache, clock: SetClock) -> None:
    asked_at = (await cache.recall("shop", ADA_CALLS)).at
    await clock.sleep(1.0)
    await cache.ask("shop", ADA_CALLS, ADA)
    assert not await cache.answered(asked_at, "shop", ADA_CALLS, BOB)
    assert await cache.known() == ["c1"]


async def test_what_another_version_wrote_is_not_known(cache: Cache, store: Store) -> None:
    await cache.ask("shop", ADA_CALLS, ADA)
    [key] = [k async for k in store.client.scan_iter(match=f"{store.prefix}cache:*")]
    await store.client.hset(key, "doc", '[{"name": 7}]')
    assert await cache.known() is None
    assert await cache.ask("shop", ADA_CALLS, ADA)
    assert await cache.known() == ["c1"]


async def test_keys_hold_no_number_name_or_id_and_end_by_themselves(
    cache: Cache, store: Store
) -> None:
    await cache.ask("shop", ADA_CALLS, ADA)
    await cache.drop_customer("shop", "c9")
    keys = [key async for key in store.client.scan_iter(match=f"{store.prefix}*")]
    text = b" ".join(keys).decode().casefold()
    assert not [p for p in ("3023125001", "ada", "c1", "c9", "t-1") if p in text.split(":")]
    assert not [p for p in ("23125001", "example", "ada@") if p in text]
    assert [key for key in keys if not 0 < await store.client.pttl(key) <= 300_000] == []
    assert await keys_of(store) == {"cache", "cached", "forgotten"}


@pytest.mark.parametrize("number", ["+493023125001", "+493023125003"])
async def test_a_number_is_dropped_in_one_crm_also_by_another_number_of_the_customer(
    cache: Cache, number: str
) -> None:
    await cache.ask("shop", ADA_CALLS, ADA)
    await cache.ask("erp", ADA_CALLS, ADA)
    assert await cache.drop_number("shop", number) == 1
    assert await cache.known("shop") is None
    assert await cache.known("erp") == ["c1"]
    assert await cache.drop_number("shop", number) == 0


async def test_nobody_is_dropped_by_the_number_that_was_asked_for(cache: Cache) -> None:
    await cache.ask("shop", ADA_CALLS)
    assert await cache.drop_number("shop", ADA_CALLS.e164) == 1
    assert await cache.known() is None


async def test_a_customer_is_dropped_by_whatever_number_he_called(cache: Cache) -> None:
    await cache.ask("shop", ADA_CALLS, ADA)
    await cache.ask("shop", BOB_CALLS, BOB, ADA)
    await cache.ask("erp", ADA_CALLS, ADA)
    assert await cache.drop_customer("shop", "c1") == 2
    assert await cache.known("shop") is None
    assert await cache.known("shop", BOB_CALLS) is None
    assert await cache.known("erp") == ["c1"]


@pytest.mark.parametrize("who", ["+493023125001", "+493023125003", "ada@example.com"])
async def test_a_person_is_erased_in_all_crms_without_a_trace(
    cache: Cache, store: Store, who: str
) -> None:
    await cache.ask("shop", ADA_CALLS, ADA)
    await cache.ask("erp", BOB_CALLS, ADA)
    assert await cache.erase(who) == 2
    assert await cache.known("shop") is None
    assert await cache.known("erp", BOB_CALLS) is None
    assert await keys_of(store) == {"forgotten"}


@pytest.mark.parametrize("how", ["number", "customer", "erased", "erased by email"])
async def test_what_was_asked_before_is_not_kept_after(
    cache: Cache, clock: SetClock, how: str
) -> None:
    asked_at = (await cache.recall("shop", ADA_CALLS)).at
    await clock.sleep(1.0)
    if how == "number":
        await cache.drop_number("shop", "+493023125003")
    elif how == "customer":
        await cache.drop_customer("shop", "c1")
    else:
        await cache.erase("ada@example.com" if how == "erased by email" else ADA_CALLS.e164)
    await clock.sleep(1.0)
    assert not await cache.answered(asked_at, "shop", ADA_CALLS, ADA)
    assert await cache.known() is None
    assert await cache.ask("shop", ADA_CALLS, ADA), "what is asked after it is kept"


async def test_what_was_asked_in_the_same_millisecond_is_not_kept_either(cache: Cache) -> None:
    asked_at = (await cache.recall("shop", ADA_CALLS)).at
    await cache.drop_number("shop", ADA_CALLS.e164)
    assert not await cache.answered(asked_at, "shop", ADA_CALLS, ADA)


async def test_the_index_of_a_number_that_many_share_does_not_grow_for_ever(
    cache: Cache, clock: SetClock, store: Store
) -> None:
    index = store.key("cached", hashed("ada@example.com"))
    for n in range(3):
        await cache.ask("shop", Phone.from_e164(f"+4930231250{n:02d}"), ADA)
    assert await store.client.zcard(index) == 3
    await clock.sleep(60.0)
    await cache.ask("shop", ADA_CALLS, ADA)
    assert await store.client.zcard(index) == 1


async def test_a_change_in_one_crm_leaves_answers_of_another_alone(
    cache: Cache, clock: SetClock
) -> None:
    asked_at = (await cache.recall("erp", ADA_CALLS)).at
    await clock.sleep(1.0)
    await cache.drop_number("shop", ADA_CALLS.e164)
    await cache.drop_customer("shop", "c1")
    assert await cache.answered(asked_at, "erp", ADA_CALLS, ADA)


async def test_an_answer_that_took_longer_than_changes_are_remembered_is_not_kept(
    cache: Cache, clock: SetClock
) -> None:
    asked_at = (await cache.recall("shop", ADA_CALLS)).at
    await clock.sleep(FORGOTTEN_S)
    assert not await cache.answered(asked_at, "shop", ADA_CALLS, ADA)


async def test_a_customer_who_gave_up_a_number_is_no_longer_found_by_it(
    cache: Cache, clock: SetClock, store: Store
) -> None:
    await cache.ask("shop", ADA_CALLS, ADA)
    await clock.sleep(1.0)
    await cache.ask("shop", ADA_CALLS, BOB)
    assert await cache.drop_customer("shop", "c1") == 0
    assert await cache.known() == ["c2"]
    await cache.erase("bob@example.com")
    assert await keys_of(store) == {"forgotten"}


async def test_thousands_of_entries_are_dropped_in_several_steps(cache: Cache) -> None:
    numbers = [Phone.from_e164(f"+49302312{n:04d}") for n in range(5000, 5000 + FORGET_CHUNK)]
    await asyncio.gather(*(cache.ask("shop", number, ADA) for number in numbers))
    await asyncio.gather(*(cache.ask("erp", number, ADA) for number in numbers))
    await cache.ask("shop", BOB_CALLS, ADA)
    assert await cache.drop_number("shop", "+493023125003") == FORGET_CHUNK + 1
    assert await cache.known("erp", numbers[0]) == ["c1"]
    assert await cache.erase("ada@example.com") == FORGET_CHUNK


@pytest.mark.parametrize("first", [True, False])
async def test_an_entry_is_dropped_also_if_others_are_renewed_meanwhile(
    store: Store, clock: SetClock, *, first: bool
) -> None:
    """More of them than one step takes, all of another CRM."""
    cache = Interrupted(store, clock, home_region="DE")
    others = [Phone.from_e164(f"+49302312{n:04d}") for n in range(5010, 5010 + FORGET_CHUNK)]
    if first:
        await cache.ask("shop", ADA_CALLS, ADA)
    for number in others:
        await clock.sleep(0.01)
        await cache.ask("erp", number, ADA)
    if not first:
        await clock.sleep(0.01)
        await cache.ask("shop", ADA_CALLS, ADA)
    cache.renewed = others[0]
    assert await cache.drop_number("shop", "+493023125003") == 1
    assert await cache.known() is None

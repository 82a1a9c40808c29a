"""What a number leads to is kept by one script, in the process and on a real Redis."""

from __future__ import annotations

import asyncio
import re
from uuid import uuid4

import pytest

from broker.domain.customer import Customer
from broker.domain.errors import StoreUnavailableError
from broker.domain.learned import Learned
from broker.domain.people import hashed
from broker.domain.record import NUMBER, Record, Step
from broker.stores.connection import Store, open_store
from broker.stores.learned import RedisLearnedNumbers
from broker.stores.ledger import RedisLedger
from broker.testing.fake_clock import SetClock
from tests.patient_store import PATIENCE_S

CALLER, EMAIL = "+494066969001", "ada@example.com"
PERSON = hashed(CALLER)
ADA, BOB = Learned.of("shop", "2001001", "c1"), Learned.of("shop", "3001001", "c2")
KEPT_S = 3600.0


class Desk:
    """Calls that are in the store, and what they teach."""

    def __init__(self, store: Store) -> None:
        clock = SetClock()
        self.store = store
        self.ledger = RedisLedger(store, clock, lease_s=1.0, retention_s=60)
        self.numbers = RedisLearnedNumbers(store, clock)
        self.now = clock.time()

    async def call(self) -> str:
        steps = (Step(NUMBER, self.now, CALLER),)
        customer = Customer("c1", email=EMAIL)
        made = Record(uuid4().hex, self.now, self.now + 60, steps=steps, customer=customer)
        await self.ledger.accept(made)
        return made.id

    async def learn(self, learned: Learned | None) -> bool:
        return await self.numbers.learn(PERSON, learned, await self.call(), KEPT_S)

    async def recall(self) -> Learned | None:
        return await self.numbers.recall(PERSON)

    async def pointers(self) -> int:
        """How many people's index leads to something."""
        index = f"{self.store.prefix}person:*"
        return len([key async for key in self.store.client.scan_iter(index)])

    async def points(self) -> bool:
        """Whether the index of the customer leads to what was learned."""
        index = self.store.key("person", hashed(EMAIL))
        return await self.store.client.zscore(index, f"learned:{PERSON}") is not None

    @property
    def key(self) -> str:
        return self.store.key("learned", PERSON)


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store)


async def test_what_was_learned_is_known_until_it_ends(desk: Desk) -> None:
    assert await desk.recall() is None
    assert await desk.learn(ADA)
    assert await desk.recall() == ADA
    assert 0 < await desk.store.client.pttl(desk.key) <= KEPT_S * 1000
    assert await desk.numbers.recall(hashed("+494066969002")) is None


async def test_the_same_customer_by_another_reference_is_learned_anew(desk: Desk) -> None:
    await desk.learn(ADA)
    newer = Learned.of("shop", "2009999", "c1")
    await desk.store.client.pexpire(desk.key, 5000)
    assert await desk.learn(newer)
    assert await desk.recall() == newer
    assert await desk.store.client.pttl(desk.key) > 5000


@pytest.mark.parametrize("other", [BOB, None, Learned.of("erp", "2001001", "c1")])
async def test_another_customer_ends_it_and_keeps_it_from_being_learned_again(
    desk: Desk, other: Learned | None
) -> None:
    await desk.learn(ADA)
    assert not await desk.learn(other)
    assert await desk.recall() is None
    assert not await desk.points()
    assert await desk.store.client.hget(desk.key, "doc") == b""
    for learned in (ADA, BOB):
        assert not await desk.learn(learned)
    assert await desk.recall() is None


async def test_it_may_be_learned_again_when_that_time_is_over(desk: Desk) -> None:
    await desk.learn(None)
    assert 0 < await desk.store.client.pttl(desk.key) <= KEPT_S * 1000
    await desk.store.client.pexpire(desk.key, 5000)
    assert not await desk.learn(ADA)
    assert await desk.store.client.pttl(desk.key) <= 5000, "a lesson does not make it longer"
    await desk.learn(None)
    assert await desk.store.client.pttl(desk.key) > 5000, "one more contradiction does"
    await desk.store.client.delete(desk.key)
    assert await desk.learn(ADA)


async def test_two_customers_at_once_lead_nowhere(desk: Desk) -> None:
    kept = await asyncio.gather(*(desk.learn(one) for one in (ADA, BOB, ADA, BOB)))
    assert sum(kept) >= 1
    assert await desk.recall() is None


async def test_forgetting_leaves_what_is_known_since(desk: Desk) -> None:
    await desk.learn(ADA)
    await desk.numbers.forget(PERSON, BOB)
    assert await desk.recall() == ADA
    assert await desk.points()
    await desk.numbers.forget(PERSON, ADA)
    assert await desk.recall() is None
    assert not await desk.points()
    await desk.learn(None)
    await desk.numbers.forget(PERSON, ADA)
    assert not await desk.learn(ADA), "what keeps it from being learned is not forgotten"


@pytest.mark.parametrize("identity", [CALLER, EMAIL])
async def test_erasing_the_caller_or_the_customer_forgets_it(desk: Desk, identity: str) -> None:
    await desk.learn(ADA)
    await desk.ledger.erase(identity)
    assert not await desk.store.client.exists(desk.key)
    assert await desk.pointers() == 0


async def test_erasing_the_number_also_forgets_that_it_is_not_to_be_learned(desk: Desk) -> None:
    await desk.learn(None)
    await desk.ledger.erase(CALLER)
    assert not await desk.store.client.exists(desk.key)


async def test_erasure_finds_it_when_the_call_is_long_forgotten(desk: Desk) -> None:
    call_id = await desk.call()
    await desk.numbers.learn(PERSON, ADA, call_id, KEPT_S)
    await desk.store.client.delete(desk.store.key("call", call_id))
    index = desk.store.key("person", hashed(EMAIL))
    assert await desk.store.client.pttl(index) > 60_000
    await desk.ledger.erase(EMAIL)
    assert not await desk.store.client.exists(desk.key)


@pytest.mark.parametrize("learned", [ADA, None])
async def test_nothing_is_learned_from_a_call_that_was_erased(
    desk: Desk, learned: Learned | None
) -> None:
    call_id = await desk.call()
    await desk.ledger.erase(CALLER)
    assert not await desk.numbers.learn(PERSON, learned, call_id, KEPT_S)
    assert not await desk.store.client.exists(desk.key)


async def test_neither_number_nor_customer_stands_in_it(desk: Desk) -> None:
    await desk.learn(ADA)
    kept = f"{desk.key} {await desk.store.client.hgetall(desk.key)!r}"
    words = re.split(r"[^A-Za-z0-9@.]+", kept)
    assert {"shop", "2001001", hashed("shop c1")} <= set(words), "it is these words that are kept"
    assert {CALLER[1:], EMAIL, "c1"}.isdisjoint(words)


async def test_what_another_version_has_written_is_not_known(desk: Desk) -> None:
    await desk.store.client.hset(desk.key, "doc", b"?")
    assert await desk.recall() is None


async def test_store_that_is_away_says_so(desk: Desk) -> None:
    await desk.store.client.aclose()
    lost = Store(
        open_store("redis://127.0.0.1:1", command_timeout_s=0.05), "test", timeout_s=PATIENCE_S
    )
    away = RedisLearnedNumbers(lost, SetClock())
    for asked in (
        away.recall(PERSON),
        away.forget(PERSON, ADA),
        away.learn(PERSON, ADA, "c", KEPT_S),
    ):
        with pytest.raises(StoreUnavailableError):
            await asked
    await lost.aclose()

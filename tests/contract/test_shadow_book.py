"""What is kept of comparisons with shadows, asked alike of the in-process store and of Redis."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from broker.domain.progress import end
from broker.domain.record import Over
from broker.domain.shadow import Comparison, Difference, Result, Tally
from broker.stores.clock import StoreClock
from broker.stores.ledger import RedisLedger
from broker.stores.shadow import KEPT, TIMES, RedisShadowBook
from broker.testing.fake_clock import SetClock
from broker.testing.ledger_kit import LEASE_S, call, call_from, own_number

if TYPE_CHECKING:
    from broker.stores.connection import Store

SAME = Comparison(Result.SAME, 12)
OTHER = Comparison(Result.DIFFERS, 30, {"email": ("a***@***", "b***@***"), "name": (None, "A***")})
RETENTION_S = 60


class TestShadowBook:
    @pytest.fixture(autouse=True)
    def _clock(self) -> None:
        self.clock = SetClock()

    @pytest.fixture
    def ledger(self, store: Store) -> RedisLedger:
        return RedisLedger(store, self.clock, lease_s=LEASE_S, retention_s=RETENTION_S)

    @pytest.fixture
    def book(self, store: Store) -> RedisShadowBook:
        return RedisShadowBook(store, self.clock, retention_s=RETENTION_S)

    async def test_all_replicas_count_together(self, store: Store, book: RedisShadowBook) -> None:
        rival = RedisShadowBook(store, StoreClock(), retention_s=RETENTION_S)
        began = round(self.clock.time(), 3)
        await book.note("new", "c1", "number", SAME)
        await rival.note("new", "c2", "number", OTHER)
        await rival.note("new", "c2", "reference-1", Comparison(Result.ERROR, 5))
        assert await rival.tally("new") == Tally(
            began,
            {"same": 1, "differs": 1, "error": 1},
            {"email": 1, "name": 1},
            (30, 12),
        )

    async def test_two_shadows_do_not_mix(self, ledger: RedisLedger, book: RedisShadowBook) -> None:
        record = (await ledger.accept(call(self.clock.time()))).record
        await book.note("new", record.id, "number", OTHER)
        assert await book.tally("newer") == Tally()
        assert await book.differences("newer") == []

    async def test_differences_come_back_newest_first(
        self, ledger: RedisLedger, book: RedisShadowBook
    ) -> None:
        record = (await ledger.accept(call(self.clock.time()))).record
        missed = Comparison(Result.ONLY_CRMS, 8)
        await book.note("new", record.id, "number", missed)
        await book.note("new", record.id, "number", SAME)
        await self.clock.sleep(1.0)
        await book.note("new", record.id, "reference-1", OTHER)
        newer, older = await book.differences("new")
        assert newer.at - older.at == pytest.approx(1.0, abs=0.01)
        assert newer == Difference(newer.at, record.id, "reference-1", OTHER)
        assert older == Difference(older.at, record.id, "number", missed)

    async def test_a_difference_goes_with_its_erased_call(
        self, store: Store, ledger: RedisLedger, book: RedisShadowBook
    ) -> None:
        caller = own_number()
        record = (await ledger.accept(call_from(caller, self.clock.time()))).record
        await book.note("new", record.id, "number", OTHER)
        assert await book.differences("new")
        await ledger.erase(caller)
        assert await book.differences("new") == []
        await book.note("new", record.id, "number", OTHER)
        assert await store.client.exists(store.key("call", record.id)) == 0, "nothing comes back"
        assert (await book.tally("new")).asked == 2

    async def test_a_difference_does_not_keep_its_call_nor_disturb_it(
        self, store: Store, ledger: RedisLedger, book: RedisShadowBook
    ) -> None:
        saved = await ledger.accept(call(self.clock.time()))
        key = store.key("call", saved.record.id)
        left = await store.client.pttl(key)
        await book.note("new", saved.record.id, "number", OTHER)
        assert 0 < await store.client.pttl(key) <= left
        ended = partial(end, why=Over.ENDED, now=self.clock.time())
        after = (await ledger.update(saved.record.id, ended, saved.leases[0])).record
        assert await ledger.find(saved.record.id) == after
        assert len(await book.differences("new")) == 1

    async def test_only_the_latest_are_kept(
        self, store: Store, ledger: RedisLedger, book: RedisShadowBook
    ) -> None:
        record = (await ledger.accept(call(self.clock.time()))).record
        await book.note("new", record.id, "number", OTHER)
        many = {f"old{i}|number": i for i in range(KEPT)}
        await store.client.zadd(store.key("shadow_calls", "new"), dict(many.items()))
        await store.client.lpush(store.key("shadow_times", "new"), *range(TIMES))
        await book.note("new", record.id, "reference-1", OTHER)
        assert await store.client.zcard(store.key("shadow_calls", "new")) == KEPT
        assert [one.step for one in await book.differences("new")] == ["reference-1", "number"]
        assert len((await book.tally("new")).ms) == TIMES

    async def test_counting_can_begin_anew(
        self, ledger: RedisLedger, book: RedisShadowBook
    ) -> None:
        record = (await ledger.accept(call(self.clock.time()))).record
        await book.note("new", record.id, "number", OTHER)
        await book.forget("new")
        assert (await book.tally("new"), list(await book.differences("new"))) == (Tally(), [])

    async def test_every_key_ends_by_itself(
        self, store: Store, ledger: RedisLedger, book: RedisShadowBook
    ) -> None:
        record = (await ledger.accept(call(self.clock.time()))).record
        await book.note("new", record.id, "number", OTHER)
        keys = [key async for key in store.client.scan_iter(match=f"{store.prefix}shadow*")]
        assert len(keys) == 3
        assert [key for key in keys if await store.client.pttl(key) <= 0] == []

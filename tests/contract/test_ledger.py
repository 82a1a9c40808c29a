"""The ledger's promises, asked alike of the in-process store and of a real Redis."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from broker.stores.clock import StoreClock
from broker.stores.connection import Store, open_store
from broker.stores.ledger import RedisLedger
from broker.testing.ledger_kit import LEASE_S, LedgerKit, call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def _ledger(store: Store) -> RedisLedger:
    return RedisLedger(store, StoreClock(), lease_s=LEASE_S, retention_s=60)


class _OnStore(LedgerKit):
    @pytest.fixture
    def ledger(self, store: Store) -> RedisLedger:
        return _ledger(store)

    @pytest.fixture
    def rival(self, store: Store) -> RedisLedger:
        return _ledger(store)

    @pytest.fixture
    def now(self) -> float:
        return time.time()

    async def test_every_key_ends_by_itself_but_the_indexes(
        self, store: Store, ledger: RedisLedger, now: float
    ) -> None:
        record = (await ledger.accept(call(now), [{"at": now, "event": "accepted"}])).record
        keys = [key async for key in store.client.scan_iter(match=f"{store.prefix}*")]
        endless = {key.decode().removeprefix(store.prefix) for key in keys} - {
            key.decode().removeprefix(store.prefix)
            for key in keys
            if await store.client.pttl(key) > 0
        }
        assert endless == {"due:calls", "active"}
        assert any(record.id in key.decode() for key in keys)


class TestInProcess(_OnStore):
    @pytest.fixture
    async def store(self) -> AsyncIterator[Store]:
        store = Store(open_store("memory://", command_timeout_s=0.75), "test", timeout_s=0.75)
        yield store
        await store.aclose()


class TestRedis(_OnStore):
    @pytest.fixture
    async def store(self, redis_url: str, prefix: str) -> AsyncIterator[Store]:
        store = Store(open_store(redis_url, command_timeout_s=0.75), prefix, timeout_s=0.75)
        yield store
        await store.aclose()

"""What a rate limiter promises: in one process, on the in-process store and on Redis alike."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import pytest

from broker.http_client import LocalRate
from broker.stores.rate import RedisRate
from broker.testing.fake_clock import SetClock

if TYPE_CHECKING:
    from broker.ports import RateLimiter
    from broker.stores.connection import Store

PER_S = 5.0


class RateKit(ABC):
    """The clock stands still unless a test moves it."""

    @pytest.fixture(autouse=True)
    def _clock(self) -> None:
        self.clock = SetClock()

    @abstractmethod
    def of(self, per_s: float) -> RateLimiter: ...

    async def test_turns_of_a_second_are_free_at_once_and_then_come_evenly(self) -> None:
        rate = self.of(PER_S)
        waits = [await rate.take(10.0) for _ in range(8)]
        assert waits == pytest.approx([0, 0, 0, 0, 0, 0.2, 0.4, 0.6], abs=1e-5)

    async def test_less_than_one_in_a_second_begins_with_one(self) -> None:
        rate = self.of(0.5)
        assert [await rate.take(10.0) for _ in range(3)] == pytest.approx([0, 2, 4], abs=1e-5)

    async def test_whoever_cannot_wait_takes_no_turn_and_hears_how_long_it_would_be(self) -> None:
        rate = self.of(1.0)
        await rate.take(0.0)
        assert await rate.take(0.9) == pytest.approx(1.0, abs=1e-5)
        assert await rate.take(1.0) == pytest.approx(1.0, abs=1e-5)

    async def test_time_brings_turns_back_but_no_more_than_a_second_of_them(self) -> None:
        rate = self.of(PER_S)
        for _ in range(6):
            await rate.take(10.0)
        await self.clock.sleep(60.0)
        waits = [await rate.take(10.0) for _ in range(6)]
        assert waits == pytest.approx([0, 0, 0, 0, 0, 0.2], abs=1e-5)

    async def test_after_a_pause_turns_come_evenly(self) -> None:
        rate = self.of(PER_S)
        await rate.pause(30.0)
        assert await rate.take(29.0) == pytest.approx(30.0, abs=1e-5)
        waits = [await rate.take(60.0) for _ in range(3)]
        assert waits == pytest.approx([30.0, 30.2, 30.4], abs=1e-5)

    async def test_a_shorter_pause_takes_nothing_back(self) -> None:
        rate = self.of(PER_S)
        await rate.pause(30.0)
        await rate.pause(1.0)
        assert await rate.take(60.0) == pytest.approx(30.0, abs=1e-5)


class TestLocalRate(RateKit):
    def of(self, per_s: float) -> RateLimiter:
        return LocalRate(per_s, self.clock.monotonic)


class TestSharedRate(RateKit):
    @pytest.fixture(autouse=True)
    def _store(self, store: Store) -> None:
        self.shared = store

    def of(self, per_s: float) -> RateLimiter:
        return RedisRate(self.shared, self.clock, "crm.shop", per_s)

    async def test_replicas_share_the_turns_of_one_name(self) -> None:
        one, other = self.of(2.0), self.of(2.0)
        elsewhere = RedisRate(self.shared, self.clock, "crm.other", 2.0)
        assert [await one.take(0.0), await other.take(0.0)] == [0, 0]
        assert await one.take(0.0) == pytest.approx(0.5, abs=1e-5)
        assert await elsewhere.take(0.0) == 0

    async def test_turns_asked_for_at_once_are_given_once(self) -> None:
        rate = self.of(PER_S)
        waits = await asyncio.gather(*(rate.take(60.0) for _ in range(50)))
        assert sorted(waits) == pytest.approx([max(0, n - 4) / 5 for n in range(50)], abs=1e-3)

    async def test_the_key_ends_by_itself(self) -> None:
        await self.of(PER_S).take(0.0)
        ttl = await self.shared.client.pttl(self.shared.key("rate", "crm.shop"))
        assert 0 < ttl < 120_000

"""A request waits for its turn, or is not sent; without the store each process keeps the rate."""

from __future__ import annotations

import pytest

from broker.domain.errors import StoreUnavailableError
from broker.http_client import Dependency, LocalRate, NotAskedError, SharedRate
from broker.http_client.rate import STORE_AWAY_S
from broker.ports import RateLimiter, set_deadline


class FakeRate(RateLimiter):
    """Turns as told; raises while `away`."""

    def __init__(self, *waits: float) -> None:
        self.waits = list(waits)
        self.asked: list[float] = []
        self.pauses: list[float] = []
        self.away = False

    async def take(self, within: float) -> float:
        self.asked.append(within)
        if self.away:
            raise StoreUnavailableError("away")
        return self.waits.pop(0)

    async def pause(self, seconds: float) -> None:
        if self.away:
            raise StoreUnavailableError("away")
        self.pauses.append(seconds)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def crm(rate: RateLimiter | None) -> Dependency:
    return Dependency("crm.shop", monotonic=Clock(), rate=rate)


async def test_a_request_whose_turn_comes_too_late_is_not_sent() -> None:
    set_deadline(0.2)
    rate = FakeRate(0.25)
    with pytest.raises(NotAskedError, match=r"rest: not asked, as no turn was left") as caught:
        await crm(rate).turn("rest")
    assert caught.value.retry_after == 0.25
    assert rate.asked[0] <= 0.2


async def test_what_would_not_be_sent_anyway_takes_no_turn() -> None:
    rate = FakeRate()
    paused, broken = crm(rate), crm(rate)
    paused.attempt("rest").declined(30.0)
    for _ in range(5):
        broken.attempt("rest").failed("HTTP 500")
    for dependency in (paused, broken):
        with pytest.raises(NotAskedError):
            await dependency.turn("rest")
    assert rate.asked == []


async def test_without_a_rate_nobody_waits() -> None:
    await crm(None).turn("rest")
    await crm(None).share_pause(30.0)


async def test_a_retry_after_is_shared_but_not_for_ever() -> None:
    rate = FakeRate()
    await crm(rate).share_pause(86_400.0)
    await crm(rate).share_pause(None)
    assert rate.pauses == [60.0]


async def test_while_the_store_is_away_the_process_keeps_to_the_rate_itself() -> None:
    shared = FakeRate(0.0)
    shared.away = True
    clock = Clock()
    rate = SharedRate(shared, LocalRate(2.0, clock), clock)
    assert [await rate.take(9.0) for _ in range(3)] == [0.0, 0.0, pytest.approx(0.5)]
    assert len(shared.asked) == 1, "it is not asked again and again"
    await rate.pause(30.0)
    shared.away = False
    clock.now += STORE_AWAY_S
    assert await rate.take(9.0) == 0.0
    assert len(shared.asked) == 2

"""What a request gives the store is the store's own: nobody else who is waited for uses it up."""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from broker.domain.call import Phone
from broker.domain.errors import StoreUnavailableError
from broker.domain.recipients import LineRules
from broker.metrics import Metrics
from broker.ports import store_answers_within, store_patience
from broker.stores.connection import Store, open_store
from broker.stores.lines import RedisLineBook
from broker.stores.shared import RedisCounters
from broker.testing.fake_clock import FakeClock
from broker.testing.fake_number_lookup import FakeNumberLookup
from broker.testing.fake_platform import FakePlatform
from broker.usecases.figures import LATE, LiveFigures
from broker.usecases.number_check import NumberCheck

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

AMERICAN = Phone.from_e164("+12025550143")
GIVEN_S, TAKES_S = 5.0, 0.3


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    made = Store(open_store("memory://", command_timeout_s=0.5), "test", timeout_s=0.5)
    yield made
    await made.aclose()


def left_s() -> float:
    return store_patience(2 * GIVEN_S)


async def test_a_number_lookup_takes_none_of_the_stores_time(store: Store) -> None:
    lookup = FakeNumberLookup(delay_s=TAKES_S)
    lines, counters = RedisLineBook(store), RedisCounters(store)
    check = NumberCheck(lookup, lines, counters, Metrics(), LineRules())
    store_answers_within(GIVEN_S)
    began = time.monotonic()
    await check.refusal(AMERICAN)
    left = left_s()
    took = time.monotonic() - began
    assert lookup.asked == [AMERICAN.e164]
    assert left >= GIVEN_S - took + 0.9 * TAKES_S


async def test_figures_that_come_late_take_none_of_the_stores_time() -> None:
    platform = FakePlatform(FakeClock(), tells_figures=True, delay_s=60.0)
    figures = LiveFigures(platform, platform.clock, wait_s=TAKES_S)
    store_answers_within(GIVEN_S)
    began = time.monotonic()
    assert await figures.now() == LATE
    left = left_s()
    took = time.monotonic() - began
    assert left >= GIVEN_S - took + 0.9 * TAKES_S
    await figures.aclose()


async def test_nobody_else_has_such_a_limit(store: Store) -> None:
    store_answers_within(None)
    lookup = FakeNumberLookup(delay_s=0.0)
    lines, counters = RedisLineBook(store), RedisCounters(store)
    await NumberCheck(lookup, lines, counters, Metrics(), LineRules()).refusal(AMERICAN)
    assert left_s() == 2 * GIVEN_S


@pytest.mark.parametrize("in_process", [True, False])
async def test_a_store_in_this_process_is_never_given_up(in_process: bool) -> None:
    """A loop that is late is no store that is away."""
    client = open_store("memory://", command_timeout_s=0.5)
    store = Store(client, "test", timeout_s=None if in_process else 0.5)
    asyncio.get_running_loop().call_soon(time.sleep, 0.05)
    store_answers_within(0.01)
    with nullcontext() if in_process else pytest.raises(StoreUnavailableError):
        await store.run("reserve", [store.key("n")], [5, 1])
    await store.aclose()

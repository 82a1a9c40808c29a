"""A Redis that is dead, hung, full, slow, read-only or empty: refused in time, and back soon."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
import redis.asyncio as aioredis

from broker.domain.call import Phone
from broker.domain.errors import ConfigError, StoreUnavailableError
from broker.stores.clock import StoreClock
from broker.stores.customers import RedisCustomerCache
from tests.integration.stores.conftest import (
    BACK_WITHIN_S,
    Delay,
    accept,
    accepted,
    answer_of,
    in_time,
    ledger_on,
    patiently,
    refusal,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import RedisServer
    from tests.integration.stores.conftest import Connect


async def test_dead_redis_is_told_in_time_and_what_was_accepted_is_there_after_its_restart(
    private_redis: RedisServer, connect: Connect
) -> None:
    ledger = ledger_on(connect(private_redis.url))
    kept = await accepted(ledger)
    private_redis.kill()
    refusals = [await accept(ledger) for _ in range(3)]
    assert in_time(refusals)
    await asyncio.to_thread(private_redis.start)
    await accepted(ledger)
    assert await patiently(lambda: ledger.find(kept.id)) == kept


async def test_hung_redis_is_told_in_time_and_holds_few_connections(
    private_redis: RedisServer, connect: Connect
) -> None:
    store = connect(private_redis.url)
    ledger = ledger_on(store)
    await accepted(ledger)
    with private_redis.hung():
        waves = []
        for _ in range(30):  # a second and a half of traffic that goes nowhere
            waves.append(asyncio.gather(*(accept(ledger) for _ in range(10))))
            await asyncio.sleep(0.05)
        refusals = [refusal for wave in waves for refusal in await wave]
    assert in_time(refusals)
    await accepted(ledger)
    clients = await store.client.info("clients")
    assert clients["connected_clients"] <= 10


async def test_a_look_into_the_cache_takes_no_more_than_a_tenth_of_a_second(
    private_redis: RedisServer, connect: Connect
) -> None:
    cache = RedisCustomerCache(connect(private_redis.url), StoreClock())
    caller = Phone.from_e164("+493023125001")
    took = []
    with private_redis.hung():
        for _ in range(5):
            began = time.perf_counter()
            with pytest.raises(StoreUnavailableError):
                await cache.recall("shop", caller)
            took.append(time.perf_counter() - began)
    assert min(took) < 0.2


async def test_calls_nobody_waits_for_any_more_are_not_sent_after_the_pause(
    private_redis: RedisServer, connect: Connect
) -> None:
    store = connect(private_redis.url)
    ledger = ledger_on(store)
    await accepted(ledger)
    with private_redis.hung():
        waves = []
        for _ in range(50):
            waves.append(asyncio.gather(*(accept(ledger) for _ in range(10))))
            await asyncio.sleep(0.02)
        await asyncio.gather(*waves)
    await accepted(ledger)
    assert await store.client.zcard(store.key("active")) < 300


async def test_slow_redis_is_refused_in_time(private_redis: RedisServer, connect: Connect) -> None:
    store = connect(private_redis.url)
    ledger = ledger_on(store)
    await accepted(ledger)
    await store.client.client_pause(60_000, all=False)  # all that may write
    assert in_time([await accept(ledger) for _ in range(3)])
    await store.client.client_unpause()
    await accepted(ledger)


async def test_redis_that_takes_200_ms_for_everything_is_refused_in_time_and_loses_nothing(
    private_redis: RedisServer, connect: Connect
) -> None:
    """Too slow for a caller who waits, but not for what was accepted before."""
    async with Delay(private_redis.port).running() as delay:
        ledger = ledger_on(connect(delay.url))
        kept = await accepted(ledger)
        assert await ledger.find(kept.id) == kept  # now the server knows this script, too
        delay.seconds = 0.2
        assert in_time([await accept(ledger) for _ in range(5)])
        assert await patiently(lambda: ledger.find(kept.id)) == kept
        slow = partial(replace, disposition="slow")
        saved = await patiently(lambda: ledger.update(kept.id, slow))
        assert saved.record.disposition == "slow"
        delay.seconds = 0.0
        await accepted(ledger)


async def test_full_redis_refuses_and_is_not_ready(
    start_redis: Callable[..., RedisServer], connect: Connect
) -> None:
    store = connect(start_redis("--maxmemory", "500kb").url)
    ledger = ledger_on(store)
    assert await answer_of(ledger) == "store: OutOfMemoryError"
    assert await refusal(ledger.ping) == "store: OutOfMemoryError"
    claim = partial(ledger.claim, 10)  # it would answer: nothing is due
    assert await refusal(claim) == "store: OutOfMemoryError"
    await store.client.config_set("maxmemory", "100mb")
    await accepted(ledger)
    await patiently(ledger.ping)
    assert await patiently(claim) == []


async def test_redis_whose_disk_is_full_refuses_until_it_can_save_again(
    start_redis: Callable[..., RedisServer], connect: Connect
) -> None:
    server = start_redis("--save", "3600 1")
    ledger = ledger_on(connect(server.url))
    await accepted(ledger)
    in_the_way = server.folder / "dump.rdb"  # no snapshot can be put where a folder is
    in_the_way.mkdir()
    await _snapshot(server)
    assert await answer_of(ledger) == "store: MISCONF"
    for ask in (ledger.ping, partial(ledger.claim, 10)):
        assert await refusal(ask) == "store: MISCONF"
    in_the_way.rmdir()
    await _snapshot(server)
    await accepted(ledger)
    await patiently(ledger.ping)


async def _snapshot(server: RedisServer) -> None:
    """Have it saved, or tried to."""
    async with aioredis.Redis.from_url(server.url) as client:
        await client.bgsave()
        async with asyncio.timeout(BACK_WITHIN_S):
            while (await client.info("persistence"))["rdb_bgsave_in_progress"]:
                await asyncio.sleep(0.02)


async def test_redis_without_enough_replicas_refuses_by_its_own_code(
    start_redis: Callable[..., RedisServer], connect: Connect
) -> None:
    store = connect(start_redis("--min-replicas-to-write", "1").url)
    assert await refusal(ledger_on(store).ping) == "store: NOREPLICAS"


async def test_demoted_redis_is_left_for_whoever_answers_now(
    private_redis: RedisServer, connect: Connect
) -> None:
    store = connect(private_redis.url)
    ledger = ledger_on(store)
    await accepted(ledger)
    await store.client.replicaof("127.0.0.1", 1)
    assert await answer_of(ledger) == "store: ReadOnlyError"
    with pytest.raises(StoreUnavailableError):
        await ledger.ping()


async def test_emptied_redis_takes_calls_at_once(
    private_redis: RedisServer, connect: Connect
) -> None:
    store = connect(private_redis.url)
    ledger = ledger_on(store)
    lost = await accepted(ledger)
    await store.client.flushall()
    await store.client.script_flush()
    assert await patiently(lambda: ledger.claim(10)) == []
    assert await patiently(lambda: ledger.find(lost.id)) is None
    await accepted(ledger)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_redis_that_throws_keys_away_is_refused(
    policy: str, start_redis: Callable[..., RedisServer], connect: Connect
) -> None:
    store = connect(start_redis("--maxmemory-policy", policy).url)
    with pytest.raises(ConfigError, match=f"maxmemory-policy is {policy}"):
        await patiently(store.check)
    assert "maxmemory-policy" in await refusal(ledger_on(store).ping)


async def test_redis_that_does_not_tell_its_settings_is_taken_with_a_warning(
    start_redis: Callable[..., RedisServer], connect: Connect
) -> None:
    silent = ("--rename-command", "CONFIG", "", "--rename-command", "INFO", "")
    store = connect(start_redis(*silent).url)
    warnings = await patiently(store.check)
    assert [warning.partition(" ")[0] for warning in warnings] == ["maxmemory-policy", "appendonly"]


async def test_where_config_is_forbidden_info_tells_as_much(
    start_redis: Callable[..., RedisServer], connect: Connect
) -> None:
    forbidden = ("--rename-command", "CONFIG", "")
    store = connect(start_redis(*forbidden, "--maxmemory-policy", "allkeys-lfu").url)
    with pytest.raises(ConfigError, match="allkeys-lfu"):
        await patiently(store.check)
    assert await patiently(connect(start_redis(*forbidden).url).check) == []


@pytest.mark.parametrize(
    ("appendonly", "said"),
    [
        ("no", ["appendonly is no: when Redis restarts, accepted calls are lost"]),
        ("yes", []),
    ],
)
async def test_missing_append_only_file_is_told(
    appendonly: str,
    said: list[str],
    start_redis: Callable[..., RedisServer],
    connect: Connect,
) -> None:
    assert await patiently(connect(start_redis("--appendonly", appendonly).url).check) == said

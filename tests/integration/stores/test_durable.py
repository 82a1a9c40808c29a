"""`durable`: nothing is accepted before a disk or a replica has it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from broker.domain.errors import ConfigError, StoreUnavailableError
from broker.testing.ledger_kit import call
from tests.integration.stores.conftest import (
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

ALWAYS = ("--appendfsync", "always")


@pytest.fixture
async def pair(start_redis: Callable[..., RedisServer]) -> tuple[RedisServer, RedisServer]:
    """A master and its replica, in touch."""
    at_once = ("--repl-diskless-sync-delay", "0")
    master = start_redis(*at_once)
    replica = start_redis("--replicaof", "127.0.0.1", str(master.port), *at_once)
    await asyncio.to_thread(replica.wait_for_master)
    return master, replica


async def test_disk_that_is_synced_always_is_enough(
    start_redis: Callable[..., RedisServer], connect: Connect
) -> None:
    store = connect(start_redis(*ALWAYS).url, "durable")
    assert await patiently(store.check) == []
    await accepted(ledger_on(store))


async def test_disk_that_is_no_longer_synced_always_is_noticed_by_the_next_accept(
    start_redis: Callable[..., RedisServer], connect: Connect
) -> None:
    store = connect(start_redis(*ALWAYS).url, "durable")
    ledger = ledger_on(store)
    await accepted(ledger)
    await store.client.config_set("appendfsync", "everysec")
    said = await answer_of(ledger)
    assert said == "store: the server no longer has appendonly yes and appendfsync always"


async def test_neither_such_a_disk_nor_a_replica_stops_the_start(
    private_redis: RedisServer, connect: Connect
) -> None:
    store = connect(private_redis.url, "durable")
    with pytest.raises(ConfigError, match="appendfsync always, or a replica"):
        await patiently(store.check)


async def test_replica_that_is_slow_for_a_moment_does_not_stop_the_start(
    pair: tuple[RedisServer, RedisServer], connect: Connect
) -> None:
    master, replica = pair
    store = connect(master.url, "durable")
    with replica.hung():
        starting = asyncio.create_task(store.check())
        await asyncio.sleep(0.3)
    assert await starting == []


async def test_accept_waits_for_a_replica(
    pair: tuple[RedisServer, RedisServer], connect: Connect
) -> None:
    master, replica = pair
    store = connect(master.url, "durable")
    await patiently(store.check)
    ledger = ledger_on(store)
    kept = await accepted(ledger)
    copy = connect(replica.url)
    assert await copy.client.exists(copy.key("call", kept.id)) == 1


async def test_without_its_replica_the_master_accepts_nothing_and_is_not_ready(
    pair: tuple[RedisServer, RedisServer], connect: Connect
) -> None:
    master, replica = pair
    ledger = ledger_on(connect(master.url, "durable"))
    await accepted(ledger)
    with replica.hung():
        assert in_time([await accept(ledger) for _ in range(5)])
        assert "no replica" in await refusal(ledger.ping)
    await asyncio.sleep(0.05)
    await accepted(ledger)


async def test_repeat_of_a_call_that_no_replica_has_is_refused_as_well(
    pair: tuple[RedisServer, RedisServer], connect: Connect
) -> None:
    master, replica = pair
    first, second = (ledger_on(connect(master.url, "durable")) for _ in range(2))
    await accepted(first)
    await accepted(second)
    unsafe = call(time.time())
    with replica.hung():
        for ledger in (first, second):
            with pytest.raises(StoreUnavailableError):
                await ledger.accept(unsafe)
        update = second.update
        assert "no replica" in await refusal(lambda: update(unsafe.id, lambda record: record))


async def test_without_its_replica_no_lease_is_renewed(
    pair: tuple[RedisServer, RedisServer], connect: Connect
) -> None:
    """It may be a master that was replaced: another replica may hold that work by now."""
    master, replica = pair
    ledger = ledger_on(connect(master.url, "durable"))
    await accepted(ledger)
    saved = await patiently(lambda: ledger.accept(call(time.time())))
    with replica.hung():
        assert "no replica confirmed" in await refusal(lambda: ledger.renew(saved.leases))


async def test_without_its_replica_no_call_is_unknown_and_no_work_is_taken_over(
    pair: tuple[RedisServer, RedisServer], connect: Connect
) -> None:
    """It may be a master that was replaced: others know of calls and leases that it does not."""
    master, replica = pair
    ledger = ledger_on(connect(master.url, "durable"))
    await accepted(ledger)
    with replica.hung():
        assert "no replica" in await refusal(lambda: ledger.find("unknown"))
        assert "no replica" in await refusal(lambda: ledger.claim(10))

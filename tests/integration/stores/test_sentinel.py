"""Redis Sentinel: the client finds the master, and the next one after a failover."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import RedisError

from broker.domain.errors import StoreUnavailableError
from tests.integration.stores.conftest import (
    accept,
    accepted,
    in_time,
    ledger_on,
    patiently,
    refusal,
)
from tests.sentinel import SERVICE, SentinelGroup, until
from tests.servers import needs_redis_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from broker.stores.connection import Store
    from tests.integration.stores.conftest import Connect

FAILED_OVER_WITHIN_S = 20.0
LEFT_WITHIN_S = 6.0
"""After some 10 s the old master is told, and hangs up by itself."""


@pytest.fixture
def group(tmp_path: Path) -> Iterator[SentinelGroup]:
    needs_redis_server()
    group = SentinelGroup(tmp_path, "--appendfsync", "always")
    try:
        group.start()
        yield group
    finally:
        group.stop()


async def replicated(store: Store) -> None:
    """Returns once a replica has what was written until now; `fast` does not wait for that."""
    async with asyncio.timeout(FAILED_OVER_WITHIN_S):
        confirmed = 0
        while not confirmed:
            pipeline = store.client.pipeline(transaction=False)
            pipeline.ping()
            pipeline.wait(1, 100)
            _, confirmed = await pipeline.execute()


async def failed_over(connect: Connect, group: SentinelGroup, profile: str) -> float:
    """Seconds until calls are accepted again; before, every one was refused in time."""
    store = connect(group.url, profile)
    ledger = ledger_on(store)
    kept = await accepted(ledger)
    await replicated(store)
    master = group.master
    master.hang()
    began, refusals = time.perf_counter(), []
    try:
        while (answer := await accept(ledger))[0] != "accepted":
            refusals.append(answer)
            assert time.perf_counter() - began < FAILED_OVER_WITHIN_S, answer
            await asyncio.sleep(0.05)
        took = time.perf_counter() - began
        assert in_time(refusals)
        assert await patiently(lambda: ledger.find(kept.id)) == kept
    finally:
        master.wake()
    return took


async def test_master_is_found_by_its_service(group: SentinelGroup, connect: Connect) -> None:
    store = connect(group.url)
    assert await patiently(store.check) == []
    await accepted(ledger_on(store))
    info = await store.client.info("server")
    assert info["tcp_port"] == group.master.port


async def test_replica_takes_over_from_a_master_that_hangs(
    group: SentinelGroup, connect: Connect
) -> None:
    await failed_over(connect, group, "fast")


async def test_durable_call_is_there_after_the_failover_and_none_is_taken_without_a_replica(
    group: SentinelGroup, connect: Connect
) -> None:
    ledger = ledger_on(connect(group.url, "durable"))
    kept = await accepted(ledger)
    group.master.kill()
    reader = ledger_on(connect(group.url))
    await accepted(reader, FAILED_OVER_WITHIN_S)
    assert await patiently(lambda: reader.find(kept.id)) == kept
    assert "no replica" in await refusal(ledger.ping)


async def test_master_that_was_replaced_while_it_runs_is_left(
    group: SentinelGroup, connect: Connect
) -> None:
    store = connect(group.url)
    await accepted(ledger_on(store))
    old = group.master
    group.fail_over()
    await asyncio.to_thread(until, lambda: group.master is not old)
    async with asyncio.timeout(LEFT_WITHIN_S):
        while await _port(store) != group.master.port:
            await asyncio.sleep(0.05)


async def _port(store: Store) -> int | None:
    """Of the server that is asked; None if it hangs up."""
    with suppress(RedisError):
        return int((await store.client.info("server"))["tcp_port"])
    return None


async def test_sentinel_that_hangs_delays_nobody(group: SentinelGroup, connect: Connect) -> None:
    ears: list[asyncio.StreamWriter] = []
    deaf = await asyncio.start_server(lambda _, writer: ears.append(writer), "127.0.0.1", 0)
    port = deaf.sockets[0].getsockname()[1]
    url = group.url.replace("@", f"@127.0.0.1:{port},127.0.0.1:1,")
    try:
        assert any([await ready_at_once(connect, url) for _ in range(5)])
    finally:
        deaf.close()
        for ear in ears:
            ear.close()


async def ready_at_once(connect: Connect, url: str) -> bool:
    try:
        async with asyncio.timeout(0.5):
            await connect(url).ready()
    except (TimeoutError, StoreUnavailableError):
        return False
    return True


async def test_service_that_no_sentinel_knows_is_not_reached(
    group: SentinelGroup, connect: Connect
) -> None:
    ledger = ledger_on(connect(group.url.replace(f"/{SERVICE}/", "/other/")))
    assert "MasterNotFound" in await refusal(ledger.ping)

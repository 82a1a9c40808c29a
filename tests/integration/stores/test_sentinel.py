"""Redis Sentinel: the client finds the master, and the next one after a failover."""

from __future__ import annotations

import asyncio
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
import redis

from broker.domain.errors import StoreUnavailableError
from broker.testing.ledger_kit import call
from tests.conftest import START_S, free_port
from tests.integration.stores.conftest import accept, ledger_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import RedisServer
    from tests.integration.stores.conftest import Connect

DOWN_AFTER_MS = 500
FAILED_OVER_WITHIN_S = 8.0
PASSWORD = "of-the-data-nodes"
LOGIN = ("--requirepass", PASSWORD, "--masterauth", PASSWORD)


class Group:
    """A master, its replica and a sentinel that watches both."""

    def __init__(self, master: RedisServer, replica: RedisServer, sentinel_port: int) -> None:
        self.master = master
        self.replica = replica
        self.port = sentinel_port

    @property
    def url(self) -> str:
        return f"redis+sentinel://:{PASSWORD}@127.0.0.1:{self.port}/shop/0?{SENTINEL_LOGIN}"


SENTINEL_LOGIN = "sentinel_password=of-the-sentinel"


@pytest.fixture
def group(start_redis: Callable[..., RedisServer], tmp_path: Path) -> Iterator[Group]:
    at_once = ("--repl-diskless-sync-delay", "0", "--appendfsync", "always", *LOGIN)
    master = start_redis(*at_once, password=PASSWORD)
    replicaof = ("--replicaof", "127.0.0.1", str(master.port))
    replica = start_redis(*at_once, *replicaof, password=PASSWORD)
    replica.wait_for_master()
    port, configuration = free_port(), tmp_path / "sentinel.conf"
    configuration.write_text(
        f"port {port}\nbind 127.0.0.1\nrequirepass of-the-sentinel\n"
        f"sentinel monitor shop 127.0.0.1 {master.port} 1\n"
        f"sentinel auth-pass shop {PASSWORD}\n"
        f"sentinel down-after-milliseconds shop {DOWN_AFTER_MS}\n"
        "sentinel failover-timeout shop 3000\n"
    )
    log = tmp_path / "sentinel.log"
    sentinel = subprocess.Popen(
        ["redis-server", configuration, "--sentinel", "--logfile", log], cwd=tmp_path
    )
    try:
        _wait_for_replica(port)
        yield Group(master, replica, port)
    finally:
        sentinel.kill()
        sentinel.wait()


def _wait_for_replica(port: int) -> None:
    """Blocks until the sentinel knows somebody who can take over."""
    until = time.monotonic() + START_S
    with redis.Redis(port=port, password="of-the-sentinel") as client:
        while True:
            try:
                if client.sentinel_slaves("shop"):
                    return
            except redis.RedisError:
                pass
            assert time.monotonic() < until
            time.sleep(0.05)


async def failed_over(connect: Connect, group: Group, profile: str) -> float:
    """Seconds until calls are accepted again; before, every one was refused in time."""
    ledger, kept = ledger_on(connect(group.url, profile)), call(time.time())
    await ledger.accept(kept)
    group.master.hang()
    began = time.perf_counter()
    try:
        while True:
            said, seconds = await accept(ledger)
            assert seconds < 0.25
            took = time.perf_counter() - began
            if said == "accepted":
                break
            assert took < FAILED_OVER_WITHIN_S, said
            await asyncio.sleep(0.05)
        assert await ledger.find(kept.id) == kept
    finally:
        group.master.wake()
    return took


async def test_master_is_found_by_its_service(group: Group, connect: Connect) -> None:
    store = connect(group.url)
    assert await store.check() == []
    assert (await accept(ledger_on(store)))[0] == "accepted"
    info = await store.client.info("server")
    assert info["tcp_port"] == group.master.port


async def test_replica_takes_over_from_a_master_that_hangs(group: Group, connect: Connect) -> None:
    await failed_over(connect, group, "fast")


async def test_durable_call_is_there_after_the_failover_and_none_is_taken_without_a_replica(
    group: Group, connect: Connect
) -> None:
    ledger, kept = ledger_on(connect(group.url, "durable")), call(time.time())
    await ledger.accept(kept)
    group.master.kill()
    reader = ledger_on(connect(group.url))
    until = time.monotonic() + FAILED_OVER_WITHIN_S
    while (await accept(reader))[0] != "accepted":
        assert time.monotonic() < until
        await asyncio.sleep(0.05)
    assert await reader.find(kept.id) == kept
    with pytest.raises(StoreUnavailableError, match="no replica"):
        await ledger.ping()


async def test_sentinel_that_hangs_delays_nobody(group: Group, connect: Connect) -> None:
    ears: list[asyncio.StreamWriter] = []
    deaf = await asyncio.start_server(lambda _, writer: ears.append(writer), "127.0.0.1", 0)
    port = deaf.sockets[0].getsockname()[1]
    url = group.url.replace("@", f"@127.0.0.1:{port},127.0.0.1:1,")
    try:
        async with asyncio.timeout(0.5):
            await connect(url).ready()
    finally:
        deaf.close()
        for ear in ears:
            ear.close()


async def test_service_that_no_sentinel_knows_is_not_reached(
    group: Group, connect: Connect
) -> None:
    with pytest.raises(StoreUnavailableError, match="MasterNotFound"):
        await ledger_on(connect(group.url.replace("/shop/", "/other/"))).ping()

"""Two replicas in front of one CRM: together they keep to its rate and to its Retry-After."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from broker.http_client import (
    Dependency,
    JsonClient,
    LocalRate,
    NotAskedError,
    SharedRate,
    open_session,
)
from broker.stores.clock import StoreClock
from broker.stores.connection import Store, open_store
from broker.stores.rate import RedisRate
from broker.testing.loopback import LOOPBACK
from broker.testing.scripted_server import ScriptedServer, raw
from tests.patient_store import PATIENCE_S, PatientStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import RedisServer

PER_S = 20.0


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


@asynccontextmanager
async def replica(
    server: ScriptedServer,
    redis_url: str,
    prefix: str,
    per_s: float = PER_S,
    *,
    patient: bool = True,
) -> AsyncIterator[JsonClient]:
    """A client as one process has it; where `patient`, a late loop takes no store for away."""
    kind, seconds = (PatientStore, PATIENCE_S) if patient else (Store, 0.5)
    store = kind(open_store(redis_url, command_timeout_s=seconds), prefix, timeout_s=seconds)
    shared = RedisRate(store, StoreClock(), "crm.shop", per_s)
    rate = SharedRate(shared, LocalRate(per_s))
    try:
        async with open_session(LOOPBACK, Dependency("crm.shop", rate=rate)) as http:
            yield JsonClient(http, server.url, name="rest")
    finally:
        await store.aclose()


async def test_two_replicas_ask_no_more_often_than_one_may(
    server: ScriptedServer, redis_url: str, prefix: str
) -> None:
    async with (
        replica(server, redis_url, prefix) as one,
        replica(server, redis_url, prefix) as other,
    ):
        began = time.monotonic()
        asking = [client.request("GET", "/x", within=20.0) for client in (one, other) * 15]
        await asyncio.gather(*asking)
        took = time.monotonic() - began
    assert len(server.asked) == 30
    assert took >= (30 - PER_S - 1) / PER_S, "a second's worth at once, the others one by one"


async def test_a_retry_after_told_to_one_replica_holds_for_the_other(
    server: ScriptedServer, redis_url: str, prefix: str
) -> None:
    server.script.append(raw(status=429, headers={"Retry-After": "30"}))
    async with (
        replica(server, redis_url, prefix) as one,
        replica(server, redis_url, prefix) as other,
    ):
        with pytest.raises(Exception, match="429"):
            await one.request("GET", "/x", within=20.0)
        with pytest.raises(NotAskedError) as refused:
            await other.request("GET", "/x", within=20.0)
    assert refused.value.retry_after is not None
    assert 20 < refused.value.retry_after <= 30
    assert len(server.asked) == 1


async def test_a_store_that_hangs_holds_a_request_up_but_once(
    server: ScriptedServer, private_redis: RedisServer
) -> None:
    async with replica(server, private_redis.url, "t", 1000.0, patient=False) as client:
        await client.request("GET", "/x", within=20.0)
        with private_redis.hung():
            began = time.monotonic()
            for _ in range(80):  # 8 s, if it held each of them up
                await client.request("GET", "/x", within=20.0)
            assert time.monotonic() - began < 5.0
    assert len(server.asked) == 81

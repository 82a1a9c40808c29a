"""A dependency that goes away is left alone, asked now and then, and used again once it is back."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from broker.domain.errors import BrokerError, TemporaryError
from broker.http_client import (
    BreakerLimits,
    Dependency,
    JsonClient,
    NotAskedError,
    once_more,
    open_session,
)
from broker.http_client.breaker import BreakerState
from broker.http_client.session import CONNECTIONS
from broker.testing.loopback import LOOPBACK
from broker.testing.scripted_server import (
    ScriptedServer,
    cut,
    drip,
    hang,
    hang_mid_body,
    raw,
    reply,
    reset,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from broker.testing.scripted_server import Answer

PROBE_S = 0.2
FAIR_S = 0.6


@pytest.fixture
def crm() -> Dependency:
    return Dependency("crm.shop", BreakerLimits(failures=5, window_s=10.0, probe_s=PROBE_S))


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
async def client(crm: Dependency, server: ScriptedServer) -> AsyncIterator[JsonClient]:
    async with open_session(LOOPBACK, crm) as http:
        yield JsonClient(http, server.url, name="rest")


async def asked(client: JsonClient, times: int, within: float = 20.0) -> list[Any]:
    """What became of so many requests, all at the same time."""
    requests = (client.request("POST", "/x", within=within) for _ in range(times))
    return await asyncio.gather(*requests, return_exceptions=True)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(raw(status=500), id="5xx"),
        pytest.param(raw(status=503), id="shed"),
        pytest.param(reset(), id="reset"),
        pytest.param(cut({"a": 1}), id="cut"),
        pytest.param(hang(), id="hang"),
        pytest.param(hang_mid_body({"a": 1}), id="hang mid-body"),
        pytest.param(drip({"a": "b" * 40}, 0.1), id="drip"),
    ],
)
async def test_five_faults_open_the_breaker_and_the_next_request_fails_at_once_unsent(
    client: JsonClient, crm: Dependency, server: ScriptedServer, fault: Answer
) -> None:
    server.otherwise = fault
    assert all(isinstance(error, TemporaryError) for error in await asked(client, 5, FAIR_S))
    assert crm.state is BreakerState.OPEN
    began = time.monotonic()
    with pytest.raises(NotAskedError):
        await client.request("POST", "/x", within=20.0)
    assert time.monotonic() - began < 5.0
    assert len(server.asked) == 5


async def test_a_dependency_that_nobody_can_connect_to_is_left_alone(crm: Dependency) -> None:
    async with open_session(LOOPBACK, crm) as http:
        client = JsonClient(http, "http://127.0.0.1:1", name="rest")
        await asked(client, 5)
        with pytest.raises(NotAskedError):
            await client.request("GET", "/x", within=2.0)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 425, 429, 302])
async def test_an_answer_of_the_other_side_is_no_outage(
    client: JsonClient, crm: Dependency, server: ScriptedServer, status: int
) -> None:
    server.otherwise = raw(status=status)
    await asked(client, 6)
    assert len(server.asked) == 6
    assert crm.state is BreakerState.CLOSED


async def test_a_deadline_too_short_for_any_answer_is_no_outage(server: ScriptedServer) -> None:
    server.otherwise = hang()
    crm = Dependency("crm.shop", monotonic=lambda: 0.0)  # no machine is so late that it was fair
    async with open_session(LOOPBACK, crm) as http:
        await asked(JsonClient(http, server.url, name="rest"), 6, within=0.05)
    assert crm.state is BreakerState.CLOSED


async def test_one_probe_finds_out_that_it_is_back(
    client: JsonClient, crm: Dependency, server: ScriptedServer
) -> None:
    server.otherwise = raw(status=500)
    await asked(client, 5)
    server.otherwise = reply({})
    await asyncio.sleep(PROBE_S)
    results = await asked(client, 5)
    assert [isinstance(result, NotAskedError) for result in results].count(True) == 4
    assert crm.state is BreakerState.CLOSED
    assert not any(isinstance(result, Exception) for result in await asked(client, 5))


async def test_a_dead_dependency_sees_hardly_more_attempts_than_requests(
    client: JsonClient, server: ScriptedServer
) -> None:
    server.otherwise = raw(status=500)

    async def write() -> None:
        async def attempt(left: float) -> object:
            return await client.request("PUT", "/x", within=left)

        with pytest.raises(BrokerError):
            await once_more(attempt, 0.3, may_repeat=client.may_repeat)

    await asyncio.gather(*(write() for _ in range(200)))
    assert len(server.asked) <= 220


async def test_what_must_be_written_waits_for_the_probe_if_its_deadline_allows(
    client: JsonClient, server: ScriptedServer
) -> None:
    server.otherwise = raw(status=500)
    await asked(client, 5)
    server.otherwise = reply({"written": True})

    async def attempt(left: float) -> object:
        return (await client.request("PUT", "/x", within=left)).body

    assert await once_more(attempt, 20.0, may_repeat=lambda: False) == {"written": True}


async def test_all_that_must_be_written_waits_for_the_probe_of_one(
    client: JsonClient, server: ScriptedServer
) -> None:
    server.otherwise = raw(status=500)
    await asked(client, 5)
    server.otherwise = drip({"written": True}, 0.01)

    async def attempt(left: float) -> object:
        return (await client.request("PUT", "/x", within=left)).body

    writes = (once_more(attempt, 20.0, may_repeat=client.may_repeat) for _ in range(50))
    assert await asyncio.gather(*writes) == [{"written": True}] * 50


async def test_a_retry_after_is_kept_to_by_everybody(
    client: JsonClient, crm: Dependency, server: ScriptedServer
) -> None:
    server.script.append(raw(status=429, headers={"Retry-After": "30"}))
    await asked(client, 1)
    (refused,) = await asked(client, 1)
    assert isinstance(refused, NotAskedError)
    assert refused.retry_after is not None
    assert 20 < refused.retry_after <= 30
    assert len(server.asked) == 1
    assert crm.state is BreakerState.CLOSED


async def test_a_dependency_that_hangs_gets_no_more_than_its_share_of_connections(
    client: JsonClient, server: ScriptedServer
) -> None:
    server.otherwise = hang()
    held = asyncio.create_task(asked(client, CONNECTIONS))
    while len(server.asked) < CONNECTIONS:
        await asyncio.sleep(0.01)
    await asked(client, 5, within=0.1)
    assert len(server.asked) == CONNECTIONS
    held.cancel()
    await asyncio.gather(held, return_exceptions=True)


async def test_all_clients_of_a_session_share_what_they_know(
    client: JsonClient, crm: Dependency, server: ScriptedServer
) -> None:
    server.otherwise = raw(status=500)
    await asked(client, 5)
    async with open_session(LOOPBACK, crm) as http:
        with pytest.raises(NotAskedError):
            await JsonClient(http, server.url, name="token").request("GET", "/", within=1.0)

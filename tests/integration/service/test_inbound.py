"""Connections that take their time, crowd or talk nonsense; requests that are too many."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import pytest

from broker.web.load import ACCEPTS
from tests.integration.stores.conftest import Delay
from tests.timely import sometimes

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.service.conftest import Service

SLOW = 1000
RECEIVE_S = 1.0
HALF_A_HEADER = b"POST /v1/calls HTTP/1.1\r\nHost: x\r\nContent-"
HALF_A_BODY = (
    b"POST /v1/calls HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b'Content-Length: 500\r\n\r\n{"call_id": "'
)
Writer = asyncio.StreamWriter


def port_of(service: Service) -> int:
    return int(service.url.rpartition(":")[2])


async def connect(service: Service) -> tuple[asyncio.StreamReader, Writer]:
    return await asyncio.open_connection("127.0.0.1", port_of(service))


async def open_for(
    service: Service, begin: bytes, *, drip: bytes = b"", after: float = 0.0
) -> float:
    """How long the broker bears a client that sends `begin` and then `drip` again and again."""
    await asyncio.sleep(after)
    reader, writer = await connect(service)
    began = time.monotonic()
    try:
        writer.write(begin)
        while not reader.at_eof():
            if drip:
                writer.write(drip)
            try:
                async with asyncio.timeout(0.2 if drip else 20):
                    await reader.read(1000)
            except TimeoutError:
                continue
    except ConnectionError:
        pass
    finally:
        writer.close()
    return time.monotonic() - began


def closed(service: Service, reason: str) -> float:
    metrics = service.broker.parts.metrics
    value = metrics.registry.get_sample_value("broker_connections_closed_total", {"reason": reason})
    return value or 0.0


@pytest.mark.timeout(180)
async def test_thousand_slow_clients_harm_no_healthy_one(serve: Callable[..., Any]) -> None:
    kinds = [(b"", b""), (HALF_A_HEADER, b""), (HALF_A_BODY, b""), (HALF_A_HEADER, b"x")]
    async with serve(server={"receive_timeout_s": RECEIVE_S}) as service:
        slow = [
            # Spread: clients, broker and sandbox share one event loop here.
            asyncio.create_task(open_for(service, begin, drip=drip, after=i / SLOW))
            for i in range(SLOW)
            for begin, drip in [kinds[i % len(kinds)]]
        ]
        refused = []
        for _ in range(40):
            body = {"call_id": uuid4().hex, "from": "+493023125001"}
            async with (
                aiohttp.ClientSession() as http,  # a connection of its own
                http.post(f"{service.url}/v1/calls", json=body) as answer,
            ):
                if answer.status != 202:
                    refused.append(await answer.text())
            await asyncio.sleep(0.05)
        borne = await asyncio.gather(*slow)
        assert refused == []
        assert max(borne) < RECEIVE_S + 20.0
        assert closed(service, "receive_timeout") > 0.9 * SLOW


async def test_full_house_closes_what_rests_and_lets_the_newcomer_in(
    serve: Callable[..., Any],
) -> None:
    async with serve(server={"max_connections": 3}) as service:
        resting = [await connect(service) for _ in range(3)]
        for reader, writer in resting:
            writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        status, _ = await service.get("/livez")
        assert status == 200
        assert closed(service, "crowded") == 1
        for _, writer in resting:
            writer.close()


async def test_full_house_of_those_that_are_being_served_refuses_the_newcomer(
    serve: Callable[..., Any],
) -> None:
    async with serve(server={"max_connections": 1}, lookup={"late_ms": 5000}) as service:
        call = await service.rings("slow")
        body = {name: call[name] for name in ("call_id", "session_id", "from", "to")}
        waits = asyncio.create_task(service.post("/v1/calls?wait_ms=5000", body))
        async with asyncio.timeout(20):
            while not service.broker.worker.in_flight:
                await asyncio.sleep(0.01)
        reader, writer = await connect(service)
        refusal = await reader.read()
        assert refusal.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1\r\n" in refusal
        assert b'"overloaded"' in refusal
        assert (await waits)[0] == 200
        writer.close()


async def test_nonsense_is_refused_in_our_shape_and_counted_not_logged(
    service: Service, caplog: Any
) -> None:
    for _ in range(20):
        reader, writer = await connect(service)
        writer.write(b"\x16\x03\x01\x02\x00 no http at all\r\n\r\n")
        answer = await reader.read()
        assert b" 400 " in answer.partition(b"\r\n")[0]
        assert b"application/problem+json" in answer
        writer.close()
    assert closed(service, "malformed") == 20
    assert not caplog.records


async def test_broken_chunk_is_the_senders_fault(service: Service) -> None:
    reader, writer = await connect(service)
    writer.write(
        b"POST /v1/calls HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n"
    )
    assert b" 400 " in await reader.readline()
    writer.close()


async def test_large_body_is_refused_before_it_arrives(service: Service) -> None:
    reader, writer = await connect(service)
    writer.write(b"POST /v1/calls HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
    async with asyncio.timeout(10):  # the body never comes
        assert b" 413 " in await reader.readline()
    writer.close()


async def test_body_that_is_long_on_its_way_is_no_fault_of_the_store(
    serve: Callable[..., Any], redis_url: str, prefix: str
) -> None:
    """The store's 150 ms begin when there is something to ask it."""
    port = urlsplit(redis_url).port
    assert port is not None
    async with (
        Delay(port, seconds=0.02).running() as delay,
        serve(store={"url": delay.url, "prefix": prefix}) as service,
    ):
        assert await sometimes(lambda: slowly_accepted(service))


async def slowly_accepted(service: Service) -> bool:
    """Whether a call-start is accepted whose body takes half a second."""
    reader, writer = await connect(service)
    body = b'{"call_id": "%s"}' % uuid4().hex.encode()
    head = b"POST /v1/calls HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    writer.write(head + body[:5])
    await asyncio.sleep(0.5)
    writer.write(body[5:])
    status = (await reader.readline()).split()[1]
    writer.close()
    assert status in {b"202", b"503"}
    return status == b"202"


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (b"Authorization: Basic \xc3\xbc", b"401"),
        (b"Authorization: Basic \xff", b"401"),
        (b"Authorization: Bearer \xff", b"401"),
        (b"X-Api-Key: key-of-sixteen-xy\r\nIdempotency-Key: \xff", b"202"),
    ],
)
async def test_header_that_is_no_text_is_no_fault_of_the_broker(
    serve: Callable[..., Any], header: bytes, status: bytes
) -> None:
    async with serve(server={"clients": {"ivr": {"key": "key-of-sixteen-xy"}}}) as service:
        reader, writer = await connect(service)
        body = b'{"call_id": "%s"}' % uuid4().hex.encode()
        length = b"Content-Length: %d" % len(body)
        lines = (b"POST /v1/calls HTTP/1.1", b"Host: x", header, length, b"", body)
        writer.write(b"\r\n".join(lines))
        assert (await reader.readline()).split()[1] == status
        writer.close()


def overload(service: Service) -> ExitStack:
    """As many calls being accepted as there may be, until it is closed."""
    crowd = ExitStack()
    for _ in range(ACCEPTS):
        crowd.enter_context(service.broker.load.accepting())
    service.broker.load.close()  # how long they take is not measured
    return crowd


async def test_overloaded_replica_refuses_new_calls_at_once_and_serves_accepted_ones(
    service: Service,
) -> None:
    call, _ = await service.starts("premium")
    crowd = overload(service)
    body = {"call_id": uuid4().hex, "from": "+493023125001"}
    async with service.http.post(f"{service.url}/v1/calls", json=body) as refused:
        assert (refused.status, (await refused.json(content_type=None))["code"]) == (
            503,
            "overloaded",
        )
        assert refused.headers["Retry-After"] == "1"
    form = b"x" * 10
    async with service.http.post(f"{service.url}/v1/calls", data=chunks(form)) as unusual:
        assert unusual.status == 503
    assert (await service.post(f"/v1/calls/{call['call_id']}/end", {}))[0] == 200
    crowd.close()
    assert (await service.post("/v1/calls", body))[0] == 202


async def chunks(data: bytes) -> Any:
    yield data


async def test_refusals_are_counted_and_keep_the_connection(service: Service) -> None:
    crowd = overload(service)
    reader, writer = await connect(service)
    for _ in range(3):
        writer.write(b"POST /v1/calls HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        assert (await reader.readline()).startswith(b"HTTP/1.1 503")
        while (await reader.readline()) != b"\r\n":
            pass
        await reader.readuntil(b"}")
    metrics = service.broker.parts.metrics
    assert metrics.registry.get_sample_value("broker_shed_total") == 3
    crowd.close()
    writer.close()


async def test_calls_beyond_the_limit_are_refused(serve: Callable[..., Any]) -> None:
    async with serve(server={"max_calls_in_flight": 2}) as service:
        for _ in range(2):
            call = await service.rings("slow")
            body = {name: call[name] for name in ("call_id", "session_id", "from", "to")}
            assert (await service.post("/v1/calls", body))[0] == 202
        await asyncio.sleep(0.1)
        status, answer = await service.post("/v1/calls", {"call_id": uuid4().hex})
        assert (status, answer["code"]) == (503, "overloaded")

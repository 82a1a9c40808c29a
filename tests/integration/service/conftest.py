"""A whole broker on loopback in front of a sandbox, in this process, asked over real HTTP."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web

from broker.app import Broker, running_broker
from broker.sandbox.configuration import broker_tables
from broker.sandbox.server import Sandbox, running_sandbox
from broker.settings import from_mapping
from broker.web.inbound import BACKLOG

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


@dataclass
class Service:
    """One running broker and what stands around it."""

    url: str
    broker: Broker
    sandbox: Sandbox
    http: aiohttp.ClientSession

    async def post(self, path: str, body: Any = None, **more: Any) -> tuple[int, dict[str, Any]]:
        """Status and JSON of a POST; `body` goes as JSON unless `data` is given."""
        if "data" not in more:
            more["json"] = body
        async with self.http.post(self.url + path, **more) as response:
            return response.status, await response.json(content_type=None)

    async def get(self, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
        """Status and JSON of a GET, see `patient`."""

        async def once() -> tuple[int, dict[str, Any]]:
            async with self.http.get(self.url + path, **more) as response:
                return response.status, await response.json(content_type=None)

        return await patient(once)

    async def tells(self, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        """Status and JSON of a POST, see `patient`."""
        return await patient(lambda: self.post(path, body))

    async def rings(self, persona: str, **more: Any) -> dict[str, Any]:
        """A call in the sandbox, not yet told to the broker."""
        order = {"persona": persona, **more}
        async with self.http.post(f"{self.sandbox.base_url}/_sandbox/calls", json=order) as placed:
            call: dict[str, Any] = await placed.json()
            return call

    async def starts(self, persona: str, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """A call whose call-start has been answered after its session write, and that answer."""
        call = await self.rings(persona)
        body = {name: call[name] for name in ("call_id", "session_id", "from", "to")}
        _, answer = await self.tells("/v1/calls?wait_ms=5000", {**body, **more})
        return call, answer

    async def session(self, call: dict[str, Any]) -> dict[str, Any]:
        """The variables in the call's session, as the platform has them."""
        path = f"{self.sandbox.base_url}/_sandbox/calls/{call['call_id']}"
        async with self.http.get(path) as shown:
            seen: dict[str, Any] = await shown.json()
            return seen


async def patient(
    ask: Callable[[], Awaitable[tuple[int, dict[str, Any]]]],
) -> tuple[int, dict[str, Any]]:
    """The answer, asked for again while it is that the store says nothing in time.

    On a busy machine a real one may miss its 150 ms, and an IVR asks again, too.
    """
    async with asyncio.timeout(20):
        while (answer := await ask())[1].get("code") == "store_unavailable":
            await asyncio.sleep(0.1)
    return answer


def tables(sandbox: Sandbox, **changes: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a broker in front of `sandbox`, with whole sections changed."""
    configured = broker_tables(f"{sandbox.host}:{sandbox.port}", sandbox.smtp_port, 8080)
    configured["store"] = {"url": "memory://", "prefix": f"test-{uuid4().hex[:8]}"}
    for section, values in changes.items():
        configured[section] = {**configured.get(section, {}), **values}
    return configured


@asynccontextmanager
async def served(sandbox: Sandbox, **changes: dict[str, Any]) -> AsyncIterator[Service]:
    """A broker with these changes to its configuration, until the block is left.

    It takes any port, unless the changes name one.
    """
    port = changes.get("server", {}).get("port", 0)
    settings = from_mapping(tables(sandbox, **changes), {})
    async with running_broker(settings) as broker, aiohttp.ClientSession() as http:
        runner = broker.runner(shutdown_timeout=0.2)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port, backlog=BACKLOG).start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield Service(url, broker, sandbox, http)
        finally:
            await runner.cleanup()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def configuration(sandbox: Sandbox) -> dict[str, Any]:
    """The configuration of a broker in front of the sandbox, to be changed."""
    return tables(sandbox)


@pytest.fixture
async def service(sandbox: Sandbox) -> AsyncIterator[Service]:
    async with served(sandbox) as service:
        yield service


@pytest.fixture
def serve(sandbox: Sandbox) -> Callable[..., Any]:
    """A broker configured otherwise: use what it returns with `async with`."""

    def configured(**changes: dict[str, Any]) -> Any:
        return served(sandbox, **changes)

    return configured

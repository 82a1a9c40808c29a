"""A running sandbox of the test's own, and clients of its parts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession

from broker.sandbox import credentials
from broker.sandbox.personas import PERSONAS, Fixture
from broker.sandbox.server import Sandbox, running_sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SLOW_S = 0.08


class Client:
    """Speaks to one sandbox as the broker, the CRM adapter and QA would."""

    def __init__(self, http: ClientSession, sandbox: Sandbox) -> None:
        self.http = http
        self.sandbox = sandbox

    async def platform(
        self, method: str, path: str, body: object = None, **options: Any
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {credentials.PLATFORM_TOKEN}"}
        return await self.send(method, "/api/v2" + path, body, headers=headers, **options)

    async def crm(self, **query: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {credentials.CRM_TOKEN}"}
        return await self.send("GET", "/crm/customers", headers=headers, params=query)

    async def control(
        self, method: str, path: str, body: object = None, **options: Any
    ) -> tuple[int, Any]:
        return await self.send(method, "/_sandbox" + path, body, **options)

    async def call(self, **order: object) -> dict[str, Any]:
        """A new call; everything that the sandbox says about it."""
        status, call = await self.control("POST", "/calls", order)
        assert status == 201
        assert isinstance(call, dict)
        return call

    async def faults(self, **plan: object) -> None:
        status, _ = await self.control("PUT", "/faults", plan)
        assert status == 200

    async def send(
        self, method: str, path: str, body: object = None, **options: Any
    ) -> tuple[int, Any]:
        """Status and JSON body."""
        url = self.sandbox.base_url + path
        async with self.http.request(method, url, json=body, **options) as answer:
            return answer.status, await answer.json(content_type=None)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """As shipped, but its slow customers take only `SLOW_S`."""
    personas = (replace(p, answers_after_s=p.answers_after_s and SLOW_S) for p in PERSONAS)
    async with running_sandbox(fixture=Fixture(tuple(personas))) as sandbox:
        yield sandbox


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[Client]:
    async with ClientSession() as http:
        yield Client(http, sandbox)

"""A real HTTP server on loopback that misbehaves as told, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import orjson
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
FOREVER_S = 3600.0
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that arrived in full."""

    method: str
    path: str
    """As on the wire, still escaped."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


class ScriptedServer:
    """Answers with the next of `script`, and with `otherwise` once that is used up.

    Use it as an async context manager; `url` is valid inside.
    """

    def __init__(self, *script: Answer, otherwise: Answer | None = None) -> None:
        self.script = deque(script)
        self.otherwise = otherwise or reply({})
        self.asked: list[Asked] = []
        self.url = ""
        server = web.Server(self._handle, handler_cancellation=True)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    @property
    def lines(self) -> list[str]:
        """`PUT /api/v2/sessions/1` and so on, in the order of arrival."""
        return [asked.line for asked in self.asked]

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.asked.append(
            Asked(
                request.method,
                request.rel_url.raw_path,
                dict(request.query),
                request.headers.copy(),
                body,
            )
        )
        answer = self.script.popleft() if self.script else self.otherwise
        return await answer(request)


def reply(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """`body` as JSON."""
    return raw(orjson.dumps(body), status, {**JSON, **(headers or {})})


def raw(body: bytes = b"", status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """These very bytes."""

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=body, status=status, headers=headers)

    return answer


def hang() -> Answer:
    """Never answers."""

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(FOREVER_S)
        return web.Response()

    return answer


def drip(body: object, seconds: float) -> Answer:
    """Headers at once, then one byte of `body` every `seconds`."""
    return _streamed(orjson.dumps(body), seconds)


def hang_mid_body(body: object) -> Answer:
    """Headers and the first byte of `body`, then silence."""
    return _streamed(orjson.dumps(body), FOREVER_S)


def _streamed(content: bytes, seconds: float) -> Answer:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={**JSON, "Content-Length": str(len(content))})
        await response.prepare(request)
        for byte in content:
            await response.write(bytes([byte]))
            await asyncio.sleep(seconds)
        return response

    return answer


def endless(chunk: bytes = b" " * 65_536, pause_s: float = 0.0) -> Answer:
    """`chunk` again and again, for as long as the other side reads."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers=JSON)
        await response.prepare(request)
        while True:
            await response.write(chunk)
            await asyncio.sleep(pause_s)

    return answer


def reset() -> Answer:
    """Takes the request, then breaks the connection without a byte of an answer."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    return answer


def cut(body: object) -> Answer:
    """Breaks the connection in the middle of `body`."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        content = orjson.dumps(body)
        response = web.StreamResponse(headers={**JSON, "Content-Length": str(len(content))})
        await response.prepare(request)
        await response.write(content[:1])
        if request.transport is not None:
            request.transport.close()
        return response

    return answer

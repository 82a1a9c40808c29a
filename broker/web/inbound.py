"""Connections as they come in: none may take its time, crowd others out or flood the log.

aiohttp itself waits for ever for a request and takes any number of connections.
"""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.web.problems import RETRY_SOON, problem

if TYPE_CHECKING:
    from broker.metrics import Metrics
    from broker.web.load import Load

BACKLOG = 1024
"""Connections of one burst that may wait to be taken; the kernel forgets the others."""
KEEP_ALIVE_S = 75.0
"""How long a connection may rest between two requests."""
_SHARE_OF_FILES = 0.8
"""Of the open files the process may have; the others are for Redis, CRMs and the platform."""
_OTHER_FILES = 64
"""So many are left for them at least: the event loop alone takes twenty."""
_SWEEP_S = 0.5
_PATIENCE_S = 1.0
"""How long a request may be on its way before it has to make room for others."""
_NEW_CALL = (b"POST /v1/calls HTTP/1.1\r\n", b"POST /v1/calls?")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,7})[ \t]*(?=\r|\Z)", re.IGNORECASE)
_UNUSUAL = re.compile(
    rb"\r\n(transfer-encoding|expect|upgrade|connection)[ \t]*:(?![ \t]*keep-alive[ \t]*(\r|\Z))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What connections may take: `[server] max_connections` and `receive_timeout_s`."""

    most: int
    receive_s: float

    @property
    def room(self) -> int:
        """How many connections there may be, with the open files that this process may have."""
        files = _open_files()
        return max(1, min(self.most, int(_SHARE_OF_FILES * files), files - _OTHER_FILES))


def _open_files() -> int:
    if sys.platform == "win32":
        return 512
    import resource  # noqa: PLC0415 - only where it exists

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


class InboundRunner(web.AppRunner):
    """Runs `service` behind these limits; whatever else `AppRunner` does stays as it is."""

    __slots__ = ("_limits", "_load", "_metrics")

    def __init__(
        self,
        service: web.Application,
        limits: ConnectionLimits,
        load: Load,
        metrics: Metrics,
        *,
        shutdown_timeout: float,
    ) -> None:
        super().__init__(service, shutdown_timeout=shutdown_timeout)
        self._limits = limits
        self._load = load
        self._metrics = metrics

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        inbound = Inbound(plain, self._limits, self._load, self._metrics)
        inbound.open()
        return inbound


class Inbound(web.Server):
    """The connections of this process."""

    def __init__(
        self, plain: web.Server, limits: ConnectionLimits, load: Load, metrics: Metrics
    ) -> None:
        super().__init__(plain.request_handler, request_factory=plain.request_factory)
        self.limits = limits
        self.load = load
        self._metrics = metrics
        self._room = limits.room
        self._sweeping: asyncio.TimerHandle | None = None
        refusal = problem("overloaded", headers=RETRY_SOON)
        self._refusal = _raw(refusal)

    def __call__(self) -> Connection:
        return Connection(self)

    def open(self) -> None:
        """Begin to measure the load and to close what takes too long."""
        self.load.open()
        self._sweep()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in self._open_ones():
            if connection.due is not None and connection.due <= now:
                self.drop(connection, "receive_timeout")
        every = min(_SWEEP_S, self.limits.receive_s / 4)
        self._sweeping = loop.call_later(every, self._sweep)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if isinstance(handler, Connection) and len(self._connections) > self._room:
            self._make_room(handler)

    def _make_room(self, newcomer: Connection) -> None:
        """Close what rests, else what has been sending for longest, else the newcomer."""
        others = [c for c in self._open_ones() if c is not newcomer]
        if len(others) < self._room:
            return  # some are only on their way out
        resting = next((c for c in others if c.rests), None)
        if resting is not None:
            self.drop(resting, "crowded")
            return
        latest = asyncio.get_running_loop().time() + self.limits.receive_s - _PATIENCE_S
        slow = [(c.due, i) for i, c in enumerate(others) if c.due is not None and c.due <= latest]
        if slow:
            self.drop(others[min(slow)[1]], "crowded")
            return
        self.refuse(newcomer)
        # Not before aiohttp has begun to wait for its request, which needs a connection.
        asyncio.get_running_loop().call_soon(self.drop, newcomer, "crowded")

    def _open_ones(self) -> list[Connection]:
        return [c for c in self.connections if isinstance(c, Connection) and c.transport]

    def drop(self, connection: Connection, reason: str) -> None:
        self.count(reason)
        connection.force_close()

    def refuse(self, connection: Connection) -> None:
        """Answer 503 without looking at the request."""
        self._metrics.shed.inc()
        if connection.transport is not None:
            connection.transport.write(self._refusal)

    def count(self, reason: str) -> None:
        self._metrics.connections_closed.labels(reason).inc()

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - aiohttp's
        if self._sweeping is not None:
            self._sweeping.cancel()
        self.load.close()
        await super().shutdown(timeout)


class Connection(web.RequestHandler):
    """One connection. A request has to be here, body included, `receive_s` after its first byte.

    The first request's time begins with the connection.
    """

    __slots__ = ("_body", "_inbound", "due")

    def __init__(self, inbound: Inbound) -> None:
        super().__init__(
            inbound,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type] # aiohttp's own way to switch it off
            keepalive_timeout=KEEP_ALIVE_S,
            lingering_time=inbound.limits.receive_s,
            # Encoded bodies are refused, so nobody may make us unpack them, or fail at it, before.
            auto_decompress=False,
        )
        self._inbound = inbound
        self._body: Any = None
        self.due: float | None = None
        """When the request that is on its way has to be here, in the loop's time."""

    @property
    def rests(self) -> bool:
        """Whether it waits for the next request, of which nothing has come."""
        return self.due is None and self._waiter is not None and not self._waiter.done()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.due = self._loop.time() + self._inbound.limits.receive_s
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if not data:  # aiohttp asks itself for what it has not parsed yet
            super().data_received(data)
            return
        if self._inbound.load.full and self._refused(data):
            return
        if self.due is None:
            self.due = self._loop.time() + self._inbound.limits.receive_s
            self._body = None
        before = self._request_count
        super().data_received(data)
        if self._request_count != before:
            self._body = self._messages[-1][1]
        if self._body is not None and self._body.is_eof():
            self.due = None
            self._body = None

    def _refused(self, data: bytes) -> bool:
        """Whether `data` was a whole ordinary call-start, which has been refused.

        This costs a twentieth of what a handler costs. Whatever looks unusual takes the long way.
        """
        if not data.startswith(_NEW_CALL) or self._waiter is None or self._waiter.done():
            return False
        head, _, body = data.partition(b"\r\n\r\n")
        lengths = _LENGTH.findall(head)
        if len(lengths) != 1 or int(lengths[0]) != len(body) or _UNUSUAL.search(head):
            return False
        if not head.partition(b"\r\n")[0].endswith(b" HTTP/1.1"):
            return False
        self._inbound.refuse(self)
        self.due = None
        self._next_keepalive_close_time = self._loop.time() + KEEP_ALIVE_S
        return True

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP is refused and counted; aiohttp would write a traceback for each."""
        if isinstance(exc, ConnectionError):
            raise exc  # the client is gone, or was too slow: aiohttp ends the connection in silence
        if status != 400:  # noqa: PLR2004 - what the parser could not read
            return super().handle_error(request, status, exc, message)
        self._inbound.count("malformed")
        response = problem("invalid_body", "this is no valid HTTP request")
        response.force_close()
        return response


def _raw(response: web.Response) -> bytes:
    """`response` as it goes over the wire."""
    body = response.body
    assert isinstance(body, bytes)  # noqa: S101 - ours
    headers = {**response.headers, "Content-Length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {response.status} {response.reason}\r\n{lines}\r\n".encode() + body

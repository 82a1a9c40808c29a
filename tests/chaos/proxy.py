"""A proxy that stands in one dependency's way and stops at every boundary of the conversation.

At each boundary it asks its `rule` what to do: `before` a request is passed on, and `after` the
reply to it has come. The rule may take its time (and kill somebody meanwhile).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator

    from tests.chaos.wire import Wire

_DRIP_S = 0.05
_HANG_S = 30.0
CONNECT = "connect"


class Fault(Enum):
    """What may happen at a boundary."""

    PASS = "pass"
    RESET = "reset"
    """The connection is cut: before = nothing was done; after = done, and the reply is lost."""
    ERROR = "error"
    """Before only: the proxy refuses in the server's stead."""
    HANG = "hang"
    """After only: half of the reply, then silence."""
    DRIP = "drip"
    """After only: the reply byte by byte."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """One side of one request of one replica to one dependency."""

    replica: str
    dependency: str
    request: str
    side: Literal["before", "after"]

    def __str__(self) -> str:
        return f"{self.side} {self.dependency} {self.request}"


Rule = Callable[[Boundary], Awaitable[Fault]]


async def all_well(_: Boundary) -> Fault:
    """The rule without faults."""
    return Fault.PASS


@dataclass(eq=False)
class Proxy:
    """Between one replica and one dependency. `port` is known once it runs."""

    replica: str
    dependency: str
    upstream: int
    """The dependency's port on loopback."""
    wire: Callable[[], Wire]
    rule: Rule = all_well
    port: int = 0
    _open: set[StreamWriter] = field(default_factory=set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=2**20)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            self.cut()

    def cut(self) -> None:
        """Reset every open connection."""
        for writer in list(self._open):
            writer.transport.abort()

    async def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._open.add(writer)
        upstream: StreamWriter | None = None
        try:
            if await self._at(CONNECT, "before") is Fault.PASS:
                from_server, upstream = await asyncio.open_connection(
                    "127.0.0.1", self.upstream, limit=2**20
                )
                await self._converse(reader, writer, from_server, upstream)
        except (EOFError, OSError, ConnectionError):
            pass  # one of the two hung up, so the other is hung up on
        finally:
            self._open.discard(writer)
            writer.transport.abort()
            if upstream is not None:
                upstream.transport.abort()

    async def _converse(
        self,
        client: StreamReader,
        to_client: StreamWriter,
        server: StreamReader,
        to_server: StreamWriter,
    ) -> None:
        wire = self.wire()
        if wire.greets:
            to_client.write(await wire.reply(server))
        while True:
            name, request = await wire.request(client)
            match await self._at(name, "before"):
                case Fault.ERROR:
                    to_client.write(wire.refusal())
                    continue
                case Fault.PASS:
                    to_server.write(request)
                case _:
                    return
            reply = await wire.reply(server)
            if not await self._answer(await self._at(name, "after"), reply, client, to_client):
                return

    async def _answer(
        self, fault: Fault, reply: bytes, client: StreamReader, to_client: StreamWriter
    ) -> bool:
        """Whether the conversation goes on."""
        match fault:
            case Fault.PASS:
                to_client.write(reply)
            case Fault.DRIP:
                for byte in reply:
                    to_client.write(bytes([byte]))
                    await to_client.drain()
                    await asyncio.sleep(_DRIP_S)
            case Fault.HANG:
                to_client.write(reply[: len(reply) // 2])
                with suppress(TimeoutError):
                    await asyncio.wait_for(client.read(1), _HANG_S)  # until the client gives up
                return False
            case _:
                return False
        await to_client.drain()
        return True

    async def _at(self, request: str, side: Literal["before", "after"]) -> Fault:
        return await self.rule(Boundary(self.replica, self.dependency, request, side))

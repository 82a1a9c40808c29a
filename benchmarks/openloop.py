"""Call-starts at a given rate, whatever becomes of them: a slow answer slows nothing down."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONNECTIONS = 128
"""Per replica. A call that finds none free waits for one, and its time runs."""
ANSWERED_WITHIN_S = 10.0
LOST = 0
"""The status of a call whose answer never came."""
ACCEPTED = (200, 202)
REFUSED = 503


@dataclass(slots=True)
class Call:
    """One call-start: seconds on one clock, and the status of its answer."""

    due: float
    session_id: str
    number: int
    done: float = 0.0
    status: int = LOST

    @property
    def ms(self) -> float:
        """Milliseconds from when it was due to its answer."""
        return (self.done - self.due) * 1000


@dataclass(slots=True)
class Replica:
    """Where calls go: a port, the headers it wants to see, and our connections to it."""

    port: int
    headers: Mapping[str, str]
    idle: deque[_Connection] = field(default_factory=deque)
    waiting: deque[Call] = field(default_factory=deque)

    def send(self, call: Call) -> None:
        """On a free connection now, or on the next one that is."""
        if self.idle:
            self.idle.popleft().send(call)
        else:
            self.waiting.append(call)

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self.port)

    def request(self, call: Call) -> bytes:
        body = (
            f'{{"call_id":"{uuid4().hex}","session_id":"{call.session_id}",'
            f'"from":"+49151{call.number:08d}","to":"+4930123456"}}'
        )
        told = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        return (
            f"POST /v1/calls HTTP/1.1\r\nHost: 127.0.0.1\r\n{told}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


class _Connection(asyncio.Protocol):
    """A kept-alive connection; far cheaper than an HTTP client, so that the load stays small."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._received = b""
        self._call: Call | None = None
        self._transport: asyncio.Transport | None = None
        self._reconnecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self._next()

    def send(self, call: Call) -> None:
        self._call = call
        if self._transport is not None:
            self._transport.write(self._replica.request(call))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, ended, body = self._received.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if not ended or len(body) < int(length or 0) or self._call is None:
            return
        self._call.done, self._call.status = time.monotonic(), int(head[9:12])
        self._call, self._received = None, b""
        self._next()

    def _next(self) -> None:
        if self._replica.waiting:
            self.send(self._replica.waiting.popleft())
        else:
            self._replica.idle.append(self)

    def connection_lost(self, _: Exception | None) -> None:
        """The replica closed it: what it had not answered is lost, and another one takes over."""
        if self in self._replica.idle:
            self._replica.idle.remove(self)
        self._reconnecting = asyncio.ensure_future(self._again())

    async def _again(self) -> None:
        try:
            await self._replica.connect()
        except OSError:  # it is gone, as some measurements want it
            return


async def offer(
    replicas: Sequence[Replica],
    rate: float,
    seconds: float,
    answered_within_s: float = ANSWERED_WITHIN_S,
) -> list[Call]:
    """Poisson arrivals at `rate` calls/s, dealt to `replicas` in turn: all, answered or not."""
    for replica in replicas:
        await asyncio.gather(*(replica.connect() for _ in range(CONNECTIONS)))
    arrivals = random.Random(11)  # noqa: S311 - the same arrivals in every run
    calls: list[Call] = []
    due = time.monotonic()
    end = due + seconds
    while (due := due + arrivals.expovariate(rate)) < end:
        if (early := due - time.monotonic()) > 0:
            await asyncio.sleep(early)
        call = Call(due, uuid4().hex, arrivals.randrange(10**8))
        replicas[len(calls) % len(replicas)].send(call)
        calls.append(call)
    patience = time.monotonic() + answered_within_s
    while time.monotonic() < patience:
        if all(call.status != LOST for call in calls):
            break
        await asyncio.sleep(0.05)
    return calls

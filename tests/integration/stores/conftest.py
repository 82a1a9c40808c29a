"""Stores on servers of the test's own."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pytest

from broker.domain.errors import StoreUnavailableError
from broker.stores.address import is_sentinel
from broker.stores.clock import StoreClock
from broker.stores.connection import Store, open_store
from broker.stores.ledger import RedisLedger
from broker.testing.ledger_kit import call

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from broker.domain.record import Record

T = TypeVar("T")

LEASE_S = 1.5
BACK_WITHIN_S = 10.0
"""2 s, and what a busy machine adds."""
REFUSED_WITHIN_S = 0.2


class Connect(Protocol):
    def __call__(self, url: str, profile: Any = "fast") -> Store: ...


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """A store at this URL, with this profile; closed at the end."""
    async with AsyncExitStack() as stack:

        def connected(url: str, profile: Any = "fast") -> Store:
            client, half_a_lease = open_store(url, command_timeout_s=LEASE_S / 2), LEASE_S / 2
            store = Store(
                client, "t", timeout_s=half_a_lease, profile=profile, fails_over=is_sentinel(url)
            )
            stack.push_async_callback(store.aclose)
            return store

        yield connected


@dataclass(slots=True)
class Delay:
    """Stands before a Redis and holds every command back for `seconds`."""

    port: int
    seconds: float = 0.0
    url: str = ""
    _ends: list[StreamWriter] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Delay]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        try:
            yield self
        finally:
            server.close()
            for end in self._ends:
                end.transport.abort()
            await asyncio.sleep(0.01)  # so that every conversation sees it

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        there, redis = await asyncio.open_connection("127.0.0.1", self.port)
        self._ends += [writer, redis]
        await asyncio.gather(
            self._pass(reader, redis, held=True), self._pass(there, writer, held=False)
        )

    async def _pass(self, reader: StreamReader, writer: StreamWriter, *, held: bool) -> None:
        with suppress(OSError):
            while chunk := await reader.read(65_536):
                if held:
                    await asyncio.sleep(self.seconds)
                writer.write(chunk)
                await writer.drain()
        writer.close()


def ledger_on(store: Store) -> RedisLedger:
    return RedisLedger(store, StoreClock(), lease_s=LEASE_S, retention_s=60)


async def accept(ledger: RedisLedger) -> tuple[str, float]:
    """What became of a new call (`accepted`, or why not), and after how many seconds."""
    began = time.perf_counter()
    try:
        await ledger.accept(call(time.time()))
    except StoreUnavailableError as error:
        return str(error), time.perf_counter() - began
    return "accepted", time.perf_counter() - began


async def accepted(ledger: RedisLedger, within_s: float = BACK_WITHIN_S) -> Record:
    """A new call that the store has taken, asked again as callers do.

    The first one on a new connection, or on a busy machine, may need more than its 150 ms.
    """
    return (await patiently(lambda: ledger.accept(call(time.time())), within_s)).record


async def patiently(ask: Callable[[], Awaitable[T]], within_s: float = BACK_WITHIN_S) -> T:
    """The store's answer, asked for again if it does not come in time."""
    until = time.perf_counter() + within_s
    while True:
        try:
            return await ask()
        except StoreUnavailableError as error:
            if time.perf_counter() > until:
                raise AssertionError(str(error)) from None
        await asyncio.sleep(0.05)


async def refusal(ask: Callable[[], Awaitable[object]]) -> str:
    """Why the store refuses this, asked again while it says nothing in time."""
    until = time.perf_counter() + BACK_WITHIN_S
    while True:
        with pytest.raises(StoreUnavailableError) as refused:
            await ask()
        if (said := str(refused.value)) != "store: TimeoutError":
            return said
        assert time.perf_counter() < until


async def answer_of(ledger: RedisLedger) -> str:
    """What the store says to a new call, asked again while it says nothing in time."""
    until = time.perf_counter() + BACK_WITHIN_S
    while (said := (await accept(ledger))[0]) == "store: TimeoutError":
        assert time.perf_counter() < until
    return said


def in_time(refusals: Sequence[tuple[str, float]]) -> bool:
    """None was accepted, and refusals come in time: all, but for those of a busy machine."""
    assert not [said for said, _ in refusals if said == "accepted"]
    return min(seconds for _, seconds in refusals) < REFUSED_WITHIN_S

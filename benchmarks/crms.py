"""Several CRMs at once, one of them dead, and a cache before them: what that costs a lookup.

`python -m benchmarks.crms [--rounds N] [--seconds S] [--output FILE]`
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import os
import random
import sys
import time
from collections import defaultdict
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import uvloop

from benchmarks import machine
from benchmarks.machine import LOAD_CPU, SERVER_CPU, Pinned, free_port
from broker import plugins
from broker.domain.caching import CacheRules
from broker.domain.customer import Answer, Folding, LookupState
from broker.http_client import Addresses, Dependency, open_session
from broker.metrics import Metrics
from broker.presence import Presence
from broker.sdk import CrmAdapter, Options, Phone
from broker.stores.clock import StoreClock
from broker.stores.connection import Store, open_store
from broker.stores.customers import RedisCustomerCache
from broker.usecases.cache import CachedCrm
from broker.usecases.lookup import Crm, Lookup

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from broker.sdk import Customer, Reference

FIVE_MS = (20, 40, 60, 80, 100)
"""How long each of five CRMs thinks."""
FOUR_MS = (20, 20, 20, 20)
RATE = 40.0
"""Lookups per second beside the dead CRM."""
DEADLINE_S = 1.5
_ANSWER = b'{"customers":[{"id":"40012","email":"erika@example.com","premium":true}]}'
_PAGE = """\
# CRMs at once, dead ones, and the cache
Made by `python -m benchmarks.crms --rounds {rounds} --seconds {seconds}` on {today}. What is
measured: [benchmarks/README.md](../README.md).

{facts}

{tables}
"""


@dataclass(frozen=True, slots=True)
class Timed(Lookup):
    """Notes how long each CRM kept its caller waiting, in ms."""

    took: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    async def answer_of(self, crm: Crm, query: Phone | Reference, within: float) -> Answer:
        began = time.perf_counter()
        answer = await Lookup.answer_of(self, crm, query, within)
        self.took[crm.name].append((time.perf_counter() - began) * 1000)
        return answer


class Hanging(CrmAdapter):
    """Never answers, and has no breaker: as a database may hang."""

    options_type = Options

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:  # noqa: ARG002
        await asyncio.Event().wait()
        return ()

    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:  # noqa: ARG002
        return ()


class _Stand(asyncio.Protocol):
    """A CRM over HTTP: `GET /20/...` is answered after 20 ms, `/hang/...` never."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        thinks = data.split(b"/", 2)[1]
        if thinks != b"hang":
            asyncio.get_running_loop().call_later(int(thinks) / 1000, self._answer)

    def _answer(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(head % len(_ANSWER) + _ANSWER)


async def _stand(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Stand, "127.0.0.1", port)
    await server.serve_forever()


def caller() -> Phone:
    return Phone.from_e164(f"+4930{random.randrange(23_000_000, 24_000_000)}")  # noqa: S311


async def over_http(stack: AsyncExitStack, name: str, port: int, thinks: str) -> Crm:
    """A CRM as an operator sets it up, with its breaker."""
    http = await stack.enter_async_context(
        open_session(Addresses.parse(["127.0.0.0/8"]), Dependency(f"crm.{name}"))
    )
    rest = plugins.crm_adapter("rest")
    options = {
        "base_url": f"http://127.0.0.1:{port}/{thinks}",
        "phone_path": "/customers?phone={e164}",
        "results": "customers[*]",
        "auth": {"kind": "bearer", "token": "t"},
    }
    adapter = plugins.build(rest, plugins.options_type(rest).model_validate(options), http)
    return Crm(name, adapter, timeout_s=5.0)


def lookup_of(crms: Sequence[Crm]) -> Timed:
    return Timed(crms, Folding("priority"), StoreClock(), Metrics(), Presence())


async def rounds_of(
    rounds: int, count: int, *subjects: Callable[[], Awaitable[object]]
) -> list[list[list[float]]]:
    """Subject -> round -> ms of `count` runs; the subjects take turns."""
    took: list[list[list[float]]] = [[] for _ in subjects]
    for _ in range(rounds):
        for subject, results in zip(subjects, took, strict=True):
            times = []
            for _ in range(count):
                began = time.perf_counter()
                await subject()
                times.append((time.perf_counter() - began) * 1000)
            results.append(times)
    return took


def p(percent: int, times: Sequence[float]) -> float:
    return quantiles(times, n=100)[percent - 1]


async def cache(rounds: int, redis_url: str, port: int) -> str:
    """A hit and a miss, beside one bare command to the same Redis."""
    async with AsyncExitStack() as stack:
        store = Store(open_store(redis_url, command_timeout_s=1.0), "bench", timeout_s=1.0)
        stack.push_async_callback(store.aclose)
        clock, metrics = StoreClock(), Metrics()
        kept = RedisCustomerCache(store, clock)
        cached = CachedCrm("shop", CacheRules(3600.0, 60.0), kept, clock, metrics)
        stack.push_async_callback(cached.aclose)
        bare = await over_http(stack, "bare", port, "0")
        crm = Crm("shop", bare.adapter, cache=cached)
        lookup = lookup_of([crm, bare])
        known = caller()

        async def asked(crm: Crm, phone: Phone) -> Answer:
            answer = await lookup.answer_of(crm, phone, DEADLINE_S)
            if answer.state is not LookupState.FOUND:
                raise RuntimeError(f"{crm.name}: {answer.state} {answer.reason}")
            return answer

        await asked(crm, known)
        await asyncio.sleep(0.1)
        subjects = {
            "hit": lambda: asked(crm, known),
            "the same CRM without a cache": lambda: asked(bare, known),
            "one bare GET of redis-py": lambda: store.client.get("bench"),
        }
        took = await rounds_of(rounds * 500, 1, *subjects.values())
        if (await asked(crm, known)).age_s is None:
            raise RuntimeError("the hit was none")
        # Apart from the others: what is kept behind a miss would run into their time.
        took += await rounds_of(rounds, 200, lambda: asked(crm, caller()))
    names = [*subjects, "miss"]
    rows = [f"| {name} | {_row(times)} |" for name, times in zip(names, took, strict=True)]
    return "\n".join(["| one lookup after the other | p50 ms | p99 ms |", "|---|---|---|", *rows])


def _row(times: Sequence[Sequence[float]]) -> str:
    every = [one for window in times for one in window]
    return f"{p(50, every):.3f} | {p(99, every):.3f}"


async def five(rounds: int, port: int) -> str:
    """Five at once beside the slowest of them alone."""
    async with AsyncExitStack() as stack:
        crms = [await over_http(stack, f"crm{ms}", port, str(ms)) for ms in FIVE_MS]
        all_five, slowest = lookup_of(crms), lookup_of(crms[-1:])

        async def asks(lookup: Timed) -> None:
            asking = lookup.ask(caller(), DEADLINE_S)
            await asking.until(DEADLINE_S)
            await asking.stop()

        together, alone = await rounds_of(rounds, 40, lambda: asks(all_five), lambda: asks(slowest))
    ratio = median(p(50, a) / p(50, b) for a, b in zip(together, alone, strict=True))
    return "\n".join(
        [
            f"| {', '.join(map(str, FIVE_MS))} ms | p50 ms | p99 ms |",
            "|---|---|---|",
            f"| the slowest alone | {_row(alone)} |",
            f"| five at once | {_row(together)} |",
            f"| paired | {ratio:.3f} times | |",
        ]
    )


async def arriving(lookup: Timed, seconds: float) -> list[float]:
    """What the healthy CRMs took, with lookups that come at their own pace; in ms."""
    arrivals, due = random.Random(7), time.monotonic()  # noqa: S311 - the same for every window
    ends = due + seconds
    lookup.took.clear()

    async def one() -> None:
        asking = lookup.ask(caller(), DEADLINE_S)
        await asking.until(DEADLINE_S)
        await asking.stop()

    async with asyncio.TaskGroup() as calls:
        while (due := due + arrivals.expovariate(RATE)) < ends:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            calls.create_task(one())
    return [ms for name, took in lookup.took.items() if name != "dead" for ms in took]


async def dead(rounds: int, seconds: float, port: int) -> str:
    """Four CRMs alone, and with a fifth that hangs."""
    windows: dict[str, list[list[float]]] = defaultdict(list)
    async with AsyncExitStack() as stack:
        four = [await over_http(stack, f"crm{n}", port, str(ms)) for n, ms in enumerate(FOUR_MS)]
        await arriving(lookup_of(four), 1.0)
        for _ in range(rounds):
            hangs = await over_http(stack, "dead", port, "hang")  # with a fresh breaker
            variants = {
                "four alone": four,
                "and one that hangs, over HTTP": [*four, hangs],
                "and one that hangs without a breaker": [*four, Crm("dead", Hanging())],
            }
            for name, crms in variants.items():
                windows[name].append(await arriving(lookup_of(crms), seconds))
    rows = []
    for name, times in windows.items():
        ratio = median(
            p(99, a) / p(99, b) for a, b in zip(times, windows["four alone"], strict=True)
        )
        rows.append(f"| {name} | {_row(times)} | {ratio:.3f} |")
    head = f"| the four that answer in {FOUR_MS[0]} ms | p50 ms | p99 ms | p99, paired |"
    return "\n".join([head, "|---|---|---|---|", *rows])


async def measure(rounds: int, seconds: float, redis_url: str, port: int) -> list[str]:
    return [
        "## A cache hit",
        await cache(rounds, redis_url, port),
        "## Five at once",
        await five(rounds, port),
        f"## One dead, at {RATE:g} lookups a second",
        await dead(rounds, seconds, port),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="length of a window")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--stand", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.stand is not None:
        uvloop.run(_stand(args.stand))
        return
    os.sched_setaffinity(0, {SERVER_CPU})
    stand, redis = free_port(), free_port()
    with TemporaryDirectory() as folder, ExitStack() as stack:
        commands = {
            stand: [sys.executable, "-m", "benchmarks.crms", "--stand", str(stand)],
            redis: ["redis-server", "--port", str(redis), "--save", "", "--dir", folder],
        }
        for port, command in commands.items():
            process = stack.enter_context(Pinned(LOAD_CPU, command, Path(folder) / f"{port}.out"))
            process.wait_for(port)
        url = f"redis://127.0.0.1:{redis}/0"
        tables = uvloop.run(measure(args.rounds, args.seconds, url, stand))
    page = _PAGE.format(
        rounds=args.rounds,
        seconds=f"{args.seconds:g}",
        today=dt.datetime.now(tz=dt.UTC).date(),
        facts="\n".join(f"- {fact}" for fact in machine.facts()),
        tables="\n\n".join(tables),
    )
    print(page)
    if args.output:
        args.output.write_text(page)


if __name__ == "__main__":
    main()

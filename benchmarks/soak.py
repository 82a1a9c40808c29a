"""Whether anything grows: memory, files and keys of a replica that works while things fail.

`python -m benchmarks.soak [--minutes N] [--output FILE]`
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import linear_regression
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import redis
import uvloop
from aiohttp import web

from benchmarks import machine
from benchmarks.contender import CONTENDERS, environment
from benchmarks.machine import LOAD_CPU, SERVER_CPU, Pinned, free_port
from benchmarks.openloop import Replica, offer
from benchmarks.stubs import World

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

RATE = 150
SAMPLE_S = 5.0
FAULT_EVERY_S, FAULT_S = 30.0, 5.0
IDLE_S = 20
WARM_UP = 0.3
"""Share of the run before the slope is taken: pools, caches and idle calls fill up first."""
_PAGE = """\
# Soak
Made by `python -m benchmarks.soak --minutes {minutes:g}`: one replica, {rate} calls/s, and every
{every:g} s another fault for {fault:g} s (CRM or platform: 500, hanging, connection cut; Redis
stopped). What is measured: [benchmarks/README.md](../README.md).

{facts}

| | at the start | at the end | slope after the warm-up |
| --- | --- | --- | --- |
| memory of the replica, MiB | {rss} |
| open files | {files} |
| keys in Redis | {keys} |

Calls by status of their answer: {statuses}. Session writes: {writes}.
"""


@dataclass(slots=True)
class Outside:
    """A CRM and a platform that fail when they are told to."""

    fault: tuple[str, str] | None = None
    """Who (`crm`, `platform`), and how (`500`, `hang`, `cut`)."""
    writes: int = 0

    def _faulty(self, who: str) -> str | None:
        return self.fault[1] if self.fault is not None and self.fault[0] == who else None

    def failing(
        self, who: str, handler: Callable[[web.Request], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            fault = self._faulty(who)
            if fault == "500":
                return web.json_response({}, status=500)
            if fault == "hang":
                await asyncio.sleep(FAULT_S)
            if fault == "cut" and request.transport is not None:
                request.transport.abort()
            return await handler(request)

        return answer

    async def customer(self, request: web.Request) -> web.Response:
        phone = request.match_info["phone"]
        if not phone.startswith("+49151") or phone.endswith("7"):
            return web.json_response({}, status=404)
        person = {"id": phone[1:], "email": "erika@example.com", "premium": True, "phone": phone}
        return web.json_response(person)

    async def write(self, request: web.Request) -> web.Response:
        self.writes += 1
        item = {"id": request.match_info["session_id"], "valid": True}
        return web.json_response({"success": True, "item": item})

    async def ping(self, _: web.Request) -> web.Response:
        return web.json_response({"success": True})

    async def serve(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/customers/{phone}", self.failing("crm", self.customer))
        app.router.add_get("/api/v2/ping", self.ping)
        app.router.add_put("/api/v2/sessions/{session_id}", self.failing("platform", self.write))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner


@dataclass(slots=True)
class Samples:
    """One row each `SAMPLE_S`."""

    rss: list[float] = field(default_factory=list)
    files: list[float] = field(default_factory=list)
    keys: list[float] = field(default_factory=list)

    def cells(self, values: list[float]) -> str:
        settled = values[int(len(values) * WARM_UP) :]
        hours = [number * SAMPLE_S / 3600 for number in range(len(settled))]
        slope = linear_regression(hours, settled).slope
        return f"{values[0]:,.0f} | {values[-1]:,.0f} | {slope:+,.1f} an hour"


async def _fail(outside: Outside, world: World) -> None:
    """One fault after another, for ever."""
    dice = random.Random(3)  # noqa: S311 - the same faults in every run
    kinds = [(who, how) for who in ("crm", "platform") for how in ("500", "hang", "cut")]
    while True:
        await asyncio.sleep(FAULT_EVERY_S - FAULT_S)
        fault = dice.choice([*kinds, None])
        outside.fault = fault
        if fault is None:
            world.redis.stop()
        await asyncio.sleep(FAULT_S)
        world.redis.go_on()
        outside.fault = None


async def _watch(process: Pinned, world: World, samples: Samples) -> None:
    with redis.Redis.from_url(world.redis_url, socket_timeout=10) as store:
        while True:
            await asyncio.sleep(SAMPLE_S)
            samples.rss.append(process.rss_mib())
            samples.files.append(process.open_files())
            keys = await asyncio.to_thread(store.dbsize)
            samples.keys.append(float(keys))


async def soak(world: World, stack: ExitStack, minutes: float) -> tuple[Samples, Counter[int], int]:
    outside, samples, port = Outside(), Samples(), free_port()
    runner = await outside.serve()
    host, there = runner.addresses[0][:2]
    url = f"http://{host}:{there}"
    env = environment(world, url, port) | {
        "BROKER_CRM__SHOP__OPTIONS__BASE_URL": url,
        "BROKER_STORE__CALL_IDLE_S": str(IDLE_S),
        "BROKER_PRIVACY__RETENTION_H": "1",
    }
    command = CONTENDERS["broker"].command
    process = stack.enter_context(Pinned(SERVER_CPU, command, world.folder / "broker.log", env))
    await asyncio.to_thread(process.wait_for, port)
    background = [
        asyncio.create_task(_fail(outside, world)),
        asyncio.create_task(_watch(process, world, samples)),
    ]
    calls = await offer([Replica(port, CONTENDERS["broker-202"].headers)], RATE, minutes * 60)
    for task in background:
        task.cancel()
    world.redis.go_on()
    await runner.cleanup()
    return samples, Counter(call.status for call in calls), outside.writes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--output", type=Path, help="the Markdown file (default: only print)")
    args = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CPU})
    with TemporaryDirectory() as folder, ExitStack() as stack:
        world = World(Path(folder), stack)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            samples, statuses, writes = runner.run(soak(world, stack, args.minutes))
    text = _PAGE.format(
        minutes=args.minutes,
        rate=RATE,
        every=FAULT_EVERY_S,
        fault=FAULT_S,
        facts="\n".join(f"- {fact}" for fact in machine.facts()),
        rss=samples.cells(samples.rss),
        files=samples.cells(samples.files),
        keys=samples.cells(samples.keys),
        statuses=", ".join(f"{status}: {count}" for status, count in sorted(statuses.items())),
        writes=writes,
    )
    if args.output:
        args.output.write_text(text)
    print(text)


if __name__ == "__main__":
    main()

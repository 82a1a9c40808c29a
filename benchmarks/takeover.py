"""How soon a dead replica's calls are finished by another: kill -9 with calls in flight.

`python -m benchmarks.takeover [--kills N] [--output FILE]`
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from uuid import uuid4

import uvloop
from aiohttp import web

from benchmarks import machine
from benchmarks.contender import CONTENDERS, environment
from benchmarks.machine import LOAD_CPU, SERVER_CPU, Pinned, free_port
from benchmarks.openloop import ACCEPTED, Replica, offer
from benchmarks.stubs import World

if TYPE_CHECKING:
    from collections.abc import Sequence

RATE = 60
CRM_TAKES_S = 0.4
"""So that some twenty calls are in flight at any moment."""
BEFORE_KILL_S = 1.0
AFTER_KILL_S = 5.0
_PAGE = """\
# Takeover
Made by `python -m benchmarks.takeover --kills {kills}`. What is measured:
[benchmarks/README.md](../README.md).

{facts}

| seconds from the death of a replica until another has | p50 | p99 | longest | calls |
| --- | --- | --- | --- | --- |
| written an outcome | {first} |
| written the customer | {found} |

Calls in flight at {kills} kills that were never finished: {lost}.
"""


@dataclass(slots=True)
class Outside:
    """A CRM that takes its time, and a platform that notes when a session is written."""

    first: dict[str, float] = field(default_factory=dict)
    found: dict[str, float] = field(default_factory=dict)

    async def customer(self, request: web.Request) -> web.Response:
        phone = request.match_info["phone"]
        if not phone.startswith("+49151"):
            return web.json_response({}, status=404)
        await asyncio.sleep(CRM_TAKES_S)
        return web.json_response(
            {
                "id": phone[1:],
                "email": "erika.mustermann@example.com",
                "premium": True,
                "track_id": "TRK-7730021",
                "phone": phone,
            }
        )

    async def write(self, request: web.Request) -> web.Response:
        session_id = request.match_info["session_id"]
        variables = await request.json()
        now = time.monotonic()
        self.first.setdefault(session_id, now)
        if "ivr.email" in variables:
            self.found.setdefault(session_id, now)
        return web.json_response({"success": True, "item": {"id": session_id, "valid": True}})

    async def ping(self, _: web.Request) -> web.Response:
        return web.json_response({"success": True})

    async def serve(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/customers/{phone}", self.customer)
        app.router.add_get("/api/v2/ping", self.ping)
        app.router.add_put("/api/v2/sessions/{session_id}", self.write)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner


def replica(world: World, stack: ExitStack, outside: str) -> tuple[Pinned, Replica]:
    port = free_port()
    env = environment(world, outside, port) | {"BROKER_CRM__SHOP__OPTIONS__BASE_URL": outside}
    log = world.folder / f"broker-{uuid4().hex}.log"
    process = stack.enter_context(Pinned(SERVER_CPU, CONTENDERS["broker"].command, log, env))
    process.wait_for(port)
    return process, Replica(port, CONTENDERS["broker-202"].headers)


@dataclass(slots=True)
class Times:
    """Seconds after the death, of the calls that were in flight."""

    first: list[float] = field(default_factory=list)
    found: list[float] = field(default_factory=list)
    lost: int = 0


async def measure(world: World, stack: ExitStack, kills: int) -> Times:
    outside, times = Outside(), Times()
    runner = await outside.serve()
    host, port = runner.addresses[0][:2]
    url = f"http://{host}:{port}"
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, replica, world, stack, url)  # it takes over
    for number in range(kills):
        victim, target = await loop.run_in_executor(None, replica, world, stack, url)
        load = asyncio.create_task(offer([target], RATE, BEFORE_KILL_S + 0.1, 0.5))
        await asyncio.sleep(BEFORE_KILL_S)
        died = time.monotonic()
        victim.kill()
        calls = await load
        await asyncio.sleep(AFTER_KILL_S)
        accepted = [call for call in calls if call.status in ACCEPTED]
        for call in accepted:
            first, found = outside.first.get(call.session_id), outside.found.get(call.session_id)
            if found is None or first is None:
                times.lost += 1
                continue
            if first > died:
                times.first.append(first - died)
            if found > died:
                times.found.append(found - died)
        print(f"kill {number + 1}: {len(accepted)} accepted", flush=True)
    await runner.cleanup()
    return times


def _cells(seconds: Sequence[float]) -> str:
    p99 = quantiles(seconds, n=100)[98]
    return f"{median(seconds):.2f} | {p99:.2f} | {max(seconds):.2f} | {len(seconds)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--output", type=Path, help="the Markdown file (default: only print)")
    args = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CPU})
    with TemporaryDirectory() as folder, ExitStack() as stack:
        world = World(Path(folder), stack)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            times = runner.run(measure(world, stack, args.kills))
    text = _PAGE.format(
        kills=args.kills,
        facts="\n".join(f"- {fact}" for fact in machine.facts()),
        first=_cells(times.first),
        found=_cells(times.found),
        lost=times.lost,
    )
    if args.output:
        args.output.write_text(text)
    print(text)


if __name__ == "__main__":
    main()

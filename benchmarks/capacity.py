"""What one and two replicas carry on one Redis, by profile, and what they do under five times that.

`python -m benchmarks.capacity [--output FILE]`
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from uuid import uuid4

import redis
import uvloop

from benchmarks import machine
from benchmarks.contender import CONTENDERS, environment
from benchmarks.machine import LOAD_CPU, SERVER_CPU, Pinned, free_port
from benchmarks.openloop import ACCEPTED, LOST, REFUSED, Replica, offer
from benchmarks.saturation import SCRIPT
from benchmarks.stubs import World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.openloop import Call

FSYNC = {"fast": "everysec", "durable": "always"}
"""Profile -> what Redis is told for it."""
CONNECTIONS = 64
WINDOW_S = 4
ROUNDS = 3
STEADY, TOO_MUCH = 0.7, 5.0
"""Of capacity."""
_HEAD = (
    "profile | replicas | capacity calls/s | accept p50 / p99 ms at 0.7 | "
    "offered at 5x, calls/s | goodput of capacity | accepted p99 ms | refused p99 ms | lost"
)
_PAGE = """\
# Capacity and overload
Made by `python -m benchmarks.capacity`. What is measured: [benchmarks/README.md](../README.md).

{facts}

{table}
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One profile and number of replicas."""

    profile: str
    replicas: int
    capacity: float
    steady: list[Call]
    offered: float
    goodput: float
    overload: list[Call]

    def cells(self) -> list[str]:
        accepted = [call.ms for call in self.overload if call.status in ACCEPTED]
        refused = [call.ms for call in self.overload if call.status == REFUSED]
        steady = [call.ms for call in self.steady if call.status in ACCEPTED]
        lost = sum(call.status == LOST for call in self.overload)
        return [
            self.profile,
            str(self.replicas),
            f"{self.capacity:,.0f}",
            f"{median(steady):.1f} / {_p99(steady)}",
            f"{self.offered:,.0f}",
            f"{self.goodput / self.capacity:.0%}",
            _p99(accepted),
            _p99(refused),
            f"{lost} of {len(self.overload)}",
        ]


def _p99(values: Sequence[float]) -> str:
    return f"{quantiles(values, n=100)[98]:.1f}" if len(values) > 1 else "-"


class Fleet:
    """Fresh replicas with an empty store; they stop with `stack`."""

    def __init__(self, world: World, stack: ExitStack, count: int, profile: str) -> None:
        self.world = world
        self.headers = CONTENDERS["broker-202"].headers
        with redis.Redis.from_url(world.redis_url) as client:
            client.flushall()
        self.ports = [free_port() for _ in range(count)]
        processes = []
        for number, port in enumerate(self.ports):
            env = environment(world, world.sessions.url, port)
            env["BROKER_STORE__PROFILE"] = profile
            cpu = SERVER_CPU if number % 2 == 0 else LOAD_CPU
            log = world.folder / f"broker-{port}.log"
            command = CONTENDERS["broker"].command
            processes.append(stack.enter_context(Pinned(cpu, command, log, env)))
        for process, port in zip(processes, self.ports, strict=True):
            process.wait_for(port)

    def replicas(self) -> list[Replica]:
        return [Replica(port, self.headers) for port in self.ports]

    def capacity(self) -> float:
        """Session writes per second while every replica is kept busy by callers that wait."""
        began, written = time.monotonic(), self.world.sessions.requests()
        headers = "|".join(f"{k}: {v}" for k, v in CONTENDERS["broker"].headers.items())
        loads = [
            subprocess.Popen(
                [
                    *("taskset", "-c", str(LOAD_CPU), "wrk", "-t", "1", "-d", f"{WINDOW_S}s"),
                    *("-c", str(CONNECTIONS), "--timeout", "10s", "-s", str(SCRIPT)),
                    f"http://127.0.0.1:{port}/v1/calls",
                ],
                env={**os.environ, "RUN": uuid4().hex[:24], "HEADERS": headers},
                stdout=subprocess.DEVNULL,
            )
            for port in self.ports
        ]
        for load in loads:
            load.wait()
        return (self.world.sessions.requests() - written) / (time.monotonic() - began)

    async def under(self, rate: float, seconds: float) -> tuple[list[Call], float]:
        """The calls offered at `rate`, and the session writes per second meanwhile."""
        began, written = time.monotonic(), self.world.sessions.requests()
        calls = await offer(self.replicas(), rate, seconds)
        elapsed = max(call.due for call in calls) - began
        return calls, (self.world.sessions.requests() - written) / elapsed


def measure(folder: Path, profile: str, count: int) -> Row:
    with ExitStack() as stack:
        world = World(folder, stack, fsync=FSYNC[profile])
        fleet = Fleet(world, stack, count, profile)
        fleet.capacity()  # warms up
        capacity = median(fleet.capacity() for _ in range(ROUNDS))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            steady, _ = runner.run(fleet.under(capacity * STEADY, WINDOW_S * 2))
            time.sleep(1)
            overload, goodput = runner.run(fleet.under(capacity * TOO_MUCH, WINDOW_S * 2))
        offered = len(overload) / (overload[-1].due - overload[0].due)
        return Row(profile, count, capacity, steady, offered, goodput, overload)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="the Markdown file (default: only print)")
    args = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CPU})
    rows = []
    for profile in FSYNC:
        for count in (1, 2):
            with TemporaryDirectory() as folder:
                rows.append(measure(Path(folder), profile, count).cells())
            print(" | ".join(rows[-1]), flush=True)
    table = [_HEAD.split(" | "), ["---"] * len(rows[0]), *rows]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in table)
    facts = "\n".join(f"- {fact}" for fact in machine.facts())
    text = _PAGE.format(facts=facts, table=lines)
    if args.output:
        args.output.write_text(text)
    print(text)


if __name__ == "__main__":
    main()

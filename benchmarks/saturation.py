"""How many calls a contender handles when there are always more, and what each costs."""

from __future__ import annotations

import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from benchmarks.contender import running
from benchmarks.machine import LOAD_CPU, Foreign

if TYPE_CHECKING:
    from benchmarks.contender import Contender, Running
    from benchmarks.stubs import World

WARM_UP_S = 1
SCRIPT = Path(__file__).with_name("load.lua")
_FAILED = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_BROKEN = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch of full load. A call counts once its session is written."""

    calls: int
    calls_per_s: float
    cpu_us: float
    """User and system time of the contender's process tree per call."""
    redis_us: float
    errors: int
    """Calls that were refused or lost."""
    foreign: float
    """Share of the contender's core that others took: above 5 % the window is not clean."""

    @property
    def clean(self) -> bool:
        return self.foreign < 0.05


def measure(contender: Contender, world: World, seconds: int) -> Window:
    with running(contender, world, world.sessions.url) as server:
        _load(contender, server, WARM_UP_S)
        began, written = Foreign.now(server.process), world.sessions.requests()
        redis_began = world.redis.cpu_s()
        errors = _load(contender, server, seconds)
        calls = world.sessions.requests() - written
        ended = Foreign.now(server.process)
        return Window(
            calls=calls,
            calls_per_s=calls / (ended.at - began.at),
            cpu_us=(ended.own - began.own) / calls * 1e6,
            redis_us=(world.redis.cpu_s() - redis_began) / calls * 1e6,
            errors=errors,
            foreign=began.share_until(ended),
        )


def _load(contender: Contender, server: Running, seconds: int) -> int:
    """Full load for `seconds`; the number of calls that got no good answer."""
    headers = "|".join(f"{name}: {value}" for name, value in contender.headers.items())
    connections = str(contender.connections)
    done = subprocess.run(
        [
            *("taskset", "-c", str(LOAD_CPU), "wrk", "-t", "1", "-c", connections),
            *("-d", f"{seconds}s", "--timeout", "10s", "-s", str(SCRIPT), server.url),
        ],
        env={**os.environ, "RUN": uuid4().hex[:24], "HEADERS": headers},
        check=True,
        capture_output=True,
        text=True,
    )
    time.sleep(0.2)  # what was answered at once may still have to be written
    failed = _FAILED.search(done.stdout)
    broken = _BROKEN.search(done.stdout)
    return (int(failed[1]) if failed else 0) + (sum(map(int, broken.groups())) if broken else 0)

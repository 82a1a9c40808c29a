"""What is compared, and how each of them is started."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from benchmarks.machine import SERVER_CPU, Pinned, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.stubs import World

CONFIG = Path(__file__).with_name("broker.toml")
KEY = "benchmark-key-of-nobody"
"""Also in broker.toml: the broker is asked as it is run, with a client that has a key."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to handle a call-start. `module` runs with `python -m`."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    connections: int = 64
    full_load_only: bool = False
    """For one that differs from another only in its connections."""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", self.module, *self.arguments]


YARDSTICK = Contender("yardstick (aiohttp, no durability)", "benchmarks.contenders.yardstick")
_FASTAPI = "benchmarks.contenders.fastapi_httpx"
_SERVE = ("serve", "--config", str(CONFIG))
_BEARER = {"Authorization": f"Bearer {KEY}"}
CONTENDERS = {
    "yardstick": YARDSTICK,
    "broker": Contender(
        "broker, answer after the write", "broker", _SERVE, headers=_BEARER | {"Prefer": "wait=2"}
    ),
    "broker-202": Contender("broker, answer at once (202)", "broker", _SERVE, headers=_BEARER),
    "fastapi": Contender("FastAPI + httpx", _FASTAPI),
    "fastapi-c2": Contender(
        "FastAPI + httpx, 2 connections", _FASTAPI, connections=2, full_load_only=True
    ),
}


@dataclass(frozen=True, slots=True)
class Running:
    """A contender that listens."""

    process: Pinned
    url: str
    ready_s: float


@contextmanager
def running(contender: Contender, world: World, sessions_url: str) -> Iterator[Running]:
    """A fresh process with an empty store, which writes its sessions to `sessions_url`."""
    with redis.Redis.from_url(world.redis_url) as client:
        client.flushall()
    port = free_port()
    env = environment(world, sessions_url, port)
    with Pinned(SERVER_CPU, contender.command, world.folder / "contender.log", env) as process:
        ready_s = process.wait_for(port)
        yield Running(process, f"http://127.0.0.1:{port}/v1/calls", ready_s)


def environment(world: World, sessions_url: str, port: int) -> dict[str, str]:
    """What a contender has to know: its port and where the stand-ins are."""
    plain = {name: text for name, text in os.environ.items() if not name.startswith("BROKER_")}
    return plain | {
        "BENCH_PORT": str(port),
        "BENCH_CRM": world.crm.url,
        "BENCH_SESSIONS": sessions_url,
        "BROKER_SERVER__PORT": str(port),
        "BROKER_STORE__URL": world.redis_url,
        "BROKER_PLATFORM__BASE_URL": sessions_url,
        "BROKER_CRM__SHOP__OPTIONS__BASE_URL": world.crm.url,
    }

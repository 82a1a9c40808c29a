"""What calls that are still going on keep in memory, in the process and in Redis."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from uuid import uuid4

import aiohttp
import redis

from benchmarks.contender import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.contender import Contender
    from benchmarks.stubs import World

LIVE_CALLS = 10_000
AT_ONCE = 32
TRIES = 100


@dataclass(frozen=True, slots=True)
class Memory:
    """MiB of the process tree when it is ready and with all calls live, and Redis' growth."""

    start: float
    live: float
    redis: float
    ready_s: float


async def measure(contender: Contender, world: World) -> Memory:
    with (
        running(contender, world, world.sessions.url) as server,
        redis.Redis.from_url(world.redis_url) as store,
    ):
        start, store_start = server.process.rss_mib(), _used_mib(store)
        calls = iter(range(LIVE_CALLS))
        connector = aiohttp.TCPConnector(limit=AT_ONCE)
        async with aiohttp.ClientSession(connector=connector, headers=contender.headers) as http:
            await asyncio.gather(*(_caller(http, server.url, calls) for _ in range(AT_ONCE)))
        await asyncio.sleep(0.5)
        return Memory(
            start,
            server.process.rss_mib(),
            max(0.0, _used_mib(store) - store_start),
            server.ready_s,
        )


def _used_mib(store: redis.Redis) -> float:
    used: int = store.info("memory")["used_memory"]
    return used / 2**20


async def _caller(http: aiohttp.ClientSession, url: str, calls: Iterator[int]) -> None:
    for number in calls:
        body = {
            "call_id": uuid4().hex,
            "session_id": uuid4().hex,
            "from": f"+49151{number:08d}",
        }
        for _ in range(TRIES):
            if await _accepted(http, url, body):
                break
            await asyncio.sleep(0.1)


async def _accepted(http: aiohttp.ClientSession, url: str, body: dict[str, str]) -> bool:
    """False if the contender asks to come back later."""
    async with http.post(url, json=body) as answer:
        await answer.read()
        if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
            return False
        answer.raise_for_status()
        return True

"""Sentinel failovers under load: the master is killed, hangs, or hands over as planned."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.chaos.conftest import SEED, size
from tests.chaos.history import Answered
from tests.chaos.load import under_load
from tests.chaos.world import World
from tests.sentinel import SentinelGroup, until
from tests.servers import needs_redis_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.tally import Tally

FAILOVERS = size(1, 10)
KINDS = ("killed", "hangs", "hands over")
_DOWN_AFTER_MS = 2000
"""Shorter, and a busy machine makes the sentinels replace a master that is well."""
_REPLACED_WITHIN_S = 15.0
_WHOLE_WITHIN_S = 60.0


@asynccontextmanager
async def _group(folder: Path) -> AsyncIterator[SentinelGroup]:
    """Two replicas, so that one of them can confirm while the other one is away."""
    group = SentinelGroup(folder, replicas=2, sentinels=3, down_after_ms=_DOWN_AFTER_MS)
    try:
        await asyncio.to_thread(group.start)
        yield group
    finally:
        await asyncio.to_thread(group.stop)


def _fail_over(group: SentinelGroup, kind: str) -> None:
    """Returns once another master is followed, and the old one runs again."""
    old = group.master
    {"killed": old.kill, "hangs": old.hang, "hands over": group.hand_over}[kind]()
    until(lambda: group.replaced(old), _REPLACED_WITHIN_S)
    if kind == "killed":
        old.start()
    old.wake()


@pytest.mark.timeout(1200)
async def test_sentinel_failovers_lose_nothing(tmp_path: Path, seed: int, tally: Tally) -> None:
    needs_redis_server()

    async def failovers(world: World) -> None:
        for number in range(FAILOVERS):
            await asyncio.to_thread(until, group.whole, _WHOLE_WITHIN_S)
            await asyncio.sleep(world.random.uniform(0.3, 1.0))
            kind = KINDS[(SEED + number) % len(KINDS)]
            world.broke(f"master {kind}")
            await asyncio.to_thread(_fail_over, group, kind)

    async with (
        _group(tmp_path / "group") as group,
        World.open(tmp_path, replicas=3, seed=seed, store=group.url, profile="durable") as world,
    ):
        played = await under_load(world, failovers, at_once=10)
        away_s = _longest_without_an_accept(world)
        assert away_s > 0.5, "no failover was felt"
        tally.add(failovers=FAILOVERS, calls=played, ms_without_an_accept=round(away_s * 1000))
        world.judge()


def _longest_without_an_accept(world: World) -> float:
    accepted = [
        event.at
        for event in world.events
        if isinstance(event, Answered) and event.request == "start" and event.status == 202
    ]
    return max(after - before for before, after in pairwise(accepted))

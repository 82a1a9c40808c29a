"""kill -9 of Redis under load, and a store that is away while callers wait."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.chaos import stories
from tests.chaos.configuration import LOOKUP_DEADLINE_S
from tests.chaos.conftest import size
from tests.chaos.load import under_load
from tests.chaos.proxy import Fault
from tests.chaos.world import World
from tests.timely import timely

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.configuration import Profile
    from tests.chaos.proxy import Boundary
    from tests.tally import Tally

KILLS = {"fast": size(3, 50), "durable": size(1, 10)}
_AWAY_S = 1.5


async def _kills(world: World) -> None:
    for _ in range(KILLS[world.profile]):
        await asyncio.sleep(world.random.uniform(0.3, 1.0))
        world.broke("redis killed", lasts=True)
        await world.redis.kill()
        await asyncio.sleep(world.random.uniform(0.0, 0.5))
        await world.redis.start()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("profile", KILLS)
async def test_killed_redis_loses_nothing(
    profile: Profile, tmp_path: Path, seed: int, tally: Tally
) -> None:
    async with World.open(tmp_path, seed=seed, profile=profile) as world:
        played = await under_load(world, _kills)
        tally.add(redis_kills=KILLS[profile], calls=played)
        world.judge()


async def _refused(world: World) -> bool:
    """Whether a new call is."""
    call = world.new_call()
    body = {"call_id": call.id, "from": call.number}
    return await world.ask("start", call, body, tries=1) == 503


@pytest.mark.timeout(180)
async def test_caller_who_waits_hears_timeout_while_the_store_is_away(
    tmp_path: Path, seed: int, tally: Tally
) -> None:
    async def away(boundary: Boundary) -> Fault:
        return Fault.RESET if boundary.dependency == "redis" else Fault.PASS

    async with World.open(tmp_path, seed=seed) as world:
        call = world.new_call(premium=True, slow_s=LOOKUP_DEADLINE_S / 2)
        body = {"call_id": call.id, "session_id": call.session_id, "from": call.number}
        assert await world.ask("start", call, body) == 202
        world.broke("store away", lasts=True)
        world.rule = away
        world.cut("redis")
        assert await timely(lambda: _refused(world), 0.5)  # 200 ms are promised
        await asyncio.sleep(_AWAY_S)
        assert world.written(call) == {"ivr.lookup": "timeout", "ivr.route": "reference"}
        world.healed()
        assert await world.until(call, stories.found, 5.0)
        await world.ask("end", call)
        assert await world.until(call, stories.has_outcome, 5.0)
        world.judge()
        tally.add(stores_away=1)

"""kill -9 of brokers at any moment, with three replicas and twenty calls in flight."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.chaos.conftest import size
from tests.chaos.load import under_load
from tests.chaos.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tally import Tally

KILLS = {False: size(6, 250), True: size(3, 250)}
"""By mail; where the provider takes keys."""


async def _kills(world: World) -> None:
    for _ in range(KILLS[world.keyed]):
        await asyncio.sleep(world.random.uniform(0.1, 0.6))
        victim, survivor = world.random.sample(world.replicas, 2)
        await world.until_up(victim, survivor)  # a third may be starting
        await world.kill(victim)
        world.revive(victim)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("keyed", [False, True])
async def test_random_kills_break_no_promise(
    tmp_path: Path, seed: int, tally: Tally, *, keyed: bool
) -> None:
    async with World.open(tmp_path, replicas=3, seed=seed, keyed=keyed) as world:
        played = await under_load(world, _kills)
        tally.add(kills=KILLS[keyed], calls=played)
        world.judge()

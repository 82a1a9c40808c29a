"""A replica that stands still past its lease, and goes on as if nothing had happened."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.chaos.configuration import LEASE_S
from tests.chaos.conftest import size
from tests.chaos.load import under_load
from tests.chaos.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tally import Tally

PAUSES = size(2, 40)


async def _pauses(world: World) -> None:
    for _ in range(PAUSES):
        await asyncio.sleep(world.random.uniform(0.2, 0.6))
        victim = world.random.choice(world.replicas)
        world.broke(f"{victim.name} stopped")
        victim.program.pause()
        await asyncio.sleep(LEASE_S * world.random.uniform(1.2, 3))
        victim.program.go_on()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("keyed", [False, True])
async def test_replica_that_was_stopped_past_its_lease_breaks_no_promise(
    tmp_path: Path, seed: int, tally: Tally, *, keyed: bool
) -> None:
    async with World.open(tmp_path, replicas=3, seed=seed, keyed=keyed) as world:
        played = await under_load(world, _pauses)
        tally.add(pauses=PAUSES, calls=played)
        world.judge()

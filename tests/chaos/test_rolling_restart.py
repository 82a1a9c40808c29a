"""One replica after the other is replaced, as a deployment does it, while calls come in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.conftest import size
from tests.chaos.load import under_load
from tests.chaos.processes import BROKER
from tests.chaos.stories import answered, start_of, types_and_ends
from tests.chaos.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tally import Tally

ROUNDS = size(1, 5)
OLDER = ("-m", "tests.chaos.older", "serve")
_BEFORE_S = 5.0


async def _restarts(world: World) -> None:
    for replica in world.replicas * ROUNDS:
        await world.restart(replica)


@pytest.mark.timeout(600)
async def test_rolling_restart_breaks_no_promise(tmp_path: Path, seed: int, tally: Tally) -> None:
    async with World.open(tmp_path, replicas=3, seed=seed) as world:
        played = await under_load(world, _restarts)
        tally.add(restarts=3 * ROUNDS, calls=played)
        world.judge()


async def _upgrades(world: World) -> None:
    for replica in world.replicas:
        await world.restart(replica, BROKER)


@pytest.mark.timeout(180)
async def test_new_replicas_go_on_with_what_older_ones_began(
    tmp_path: Path, seed: int, tally: Tally
) -> None:
    """While both run, a call that a newer one saved is left to it: no reason to drain for long."""
    quick = {"SERVER__SHUTDOWN_GRACE_S": "1"}
    async with World.open(tmp_path, replicas=3, seed=seed, command=OLDER, settings=quick) as world:
        call = world.new_call(by_reference=True)
        await world.ask("start", call, start_of(call))
        assert await world.until(call, answered, _BEFORE_S)
        played = await under_load(world, _upgrades)
        await types_and_ends(world, call)
        world.judge()
        view = await world.look(call)
        assert view is not None
        assert view["outcome"] == "messaged"
        tally.add(upgrades=len(world.replicas), calls=played)

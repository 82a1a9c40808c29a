"""A call that kills every process which works on it, beside calls that do not."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from broker.worker import MOST_TRIES
from tests.chaos import deadly
from tests.chaos.conftest import size
from tests.chaos.load import under_load
from tests.chaos.stories import ends, premium, standard, start_of
from tests.chaos.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from tests.chaos.history import Call
    from tests.chaos.world import Replica
    from tests.tally import Tally

NEIGHBOURS = 8
"""Calls that begin together with the deadly one, on the same replica."""
BURIED_WITHIN_S = 40.0
OTHERS_AT_ONCE = 5
ROUNDS = size(1, 10)
_LOOK_EVERY_S = 0.05
_CALL_LASTS_S = 5.0 if ROUNDS > 1 else 0.0
"""No other call may meet two deadly ones: who lives through more than five deaths is buried."""


@asynccontextmanager
async def supervised(world: World) -> AsyncIterator[list[str]]:
    """Whoever dies is started again, as systemd or Kubernetes would; the names of the dead."""
    dead: list[str] = []
    keepers = [asyncio.create_task(_keep_alive(world, one, dead)) for one in world.replicas]
    try:
        yield dead
        while not all([await replica.program.listens() for replica in world.replicas]):
            await asyncio.sleep(_LOOK_EVERY_S)
    finally:
        for keeper in keepers:
            keeper.cancel()


async def _keep_alive(world: World, replica: Replica, dead: list[str]) -> None:
    while True:
        if not replica.program.runs:
            dead.append(replica.name)
            world.broke(f"{replica.name} died")
            with suppress(RuntimeError):  # it may die again before it listens
                await replica.program.start()
        await asyncio.sleep(_LOOK_EVERY_S)


async def _deadly_call(world: World) -> Call:
    """It has rung, and so have its neighbours on the same replica."""
    call = replace(world.new_call(), number=deadly.NUMBER)
    world.stand_ins.calls[call.id] = call
    home = world.random.choice(world.replicas)
    neighbours = [premium if n % 2 else standard for n in range(NEIGHBOURS)]
    ring = world.ask("start", call, start_of(call), at=home)
    await asyncio.gather(ring, *(story(world, home) for story in neighbours))
    return call


def _buried(view: Mapping[str, Any]) -> bool:
    return any(step["reason"] == "poison" for step in view["steps"])


@pytest.mark.timeout(600)
async def test_call_that_kills_its_replicas_is_buried_and_the_others_live(
    tmp_path: Path, seed: int, tally: Tally
) -> None:
    poisonous: list[Call] = []

    async def trouble(world: World) -> None:
        for _ in range(ROUNDS):
            poisonous.append(await _deadly_call(world))
            assert await world.until(poisonous[-1], _buried, BURIED_WITHIN_S)
            await ends(world, poisonous[-1])
            await asyncio.sleep(_CALL_LASTS_S)

    settings = {"CRM__SHOP__ADAPTER": deadly.ADAPTER}
    async with World.open(tmp_path, replicas=3, seed=seed, settings=settings) as world:
        async with supervised(world) as dead:
            played = await under_load(world, trouble, at_once=OTHERS_AT_ONCE)
        world.judge()
        for call in world.stand_ins.calls.values():
            view = await world.look(call)
            assert view is not None
            buried = (view["outcome"], view["reason"]) == ("failed", "poison")
            assert buried is (call in poisonous), view
        assert len(dead) <= ROUNDS * (MOST_TRIES + 1)
        assert await world.metric('broker_dead_letters{set="calls"}') > 0
        tally.add(deadly_calls=ROUNDS, deaths=len(dead), calls=played)

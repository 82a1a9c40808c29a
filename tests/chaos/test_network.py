"""Networks that fail in every way that a connection can, towards each dependency."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import TYPE_CHECKING

import pytest

from tests.chaos.conftest import FULL, SEED, size
from tests.chaos.load import under_load
from tests.chaos.proxy import CONNECT, Fault
from tests.chaos.world import WIRES, World

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.proxy import Boundary, Rule
    from tests.tally import Tally

KINDS = ("refuse", "reset", "lost_reply", "error", "hang", "drip")
FOR_S = size(1, 3)
SHARE = 0.4
"""How many of the requests are hit."""
_PAIRS = [*((name, name == "hook") for name in WIRES), ("redis", True)]
"""Dependency, and whether messages go to the provider that takes keys."""
_ALL = [(*pair, kind) for pair, kind in itertools.product(_PAIRS, KINDS)]
CASES = _ALL if FULL else random.Random(SEED).sample(_ALL, 3)  # noqa: S311 - a game, no secret


def _fails(world: World, dependency: str, kind: str) -> Rule:
    """The rule that breaks requests to one dependency in one way."""
    side = "before" if kind in {"refuse", "reset", "error"} else "after"
    fault = {"hang": Fault.HANG, "drip": Fault.DRIP, "error": Fault.ERROR}.get(kind, Fault.RESET)

    async def rule(boundary: Boundary) -> Fault:
        concerns = boundary.dependency == dependency and boundary.side == side
        if not concerns or (boundary.request == CONNECT) is not (kind == "refuse"):
            return Fault.PASS
        return fault if world.random.random() < SHARE else Fault.PASS

    return rule


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("dependency", "keyed", "kind"), CASES)
async def test_failing_network_breaks_no_promise(
    dependency: str, kind: str, tmp_path: Path, seed: int, tally: Tally, *, keyed: bool
) -> None:
    async def trouble(world: World) -> None:
        world.broke(f"{dependency} {kind}", lasts=True)
        if kind == "refuse":
            world.cut(dependency)
        world.rule = _fails(world, dependency, kind)
        await asyncio.sleep(FOR_S)
        if kind == "hang":
            world.cut(dependency)  # healed is only what hangs no more

    async with World.open(tmp_path, seed=seed, keyed=keyed) as world:
        played = await under_load(world, trouble, at_once=6)
        tally.add(faults=1, calls=played)
        world.judge()

"""kill -9 at every boundary of every story: before each request goes out, after each reply came."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.chaos import deflections
from tests.chaos.conftest import FULL, SEED
from tests.chaos.proxy import CONNECT, Boundary, Fault
from tests.chaos.stories import EXPECTED, SENDING, STORIES
from tests.chaos.wire import BACKGROUND
from tests.chaos.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.proxy import Rule
    from tests.chaos.stories import Story
    from tests.chaos.world import Replica
    from tests.tally import Tally

Point = tuple[str, int]
"""A boundary by name, and the how-manyeth of that name in the story."""
TRIES = 3
"""A story takes its other turn now and then, and does not come to a boundary at all."""
SAMPLE = 3
"""Kill points per story, unless all are wanted."""
_WARM_UPS = 2
"""The scripts have to be in the server, and the connections open: later calls have no such work."""
_PLAYED = {**STORIES, **deflections.DEFLECTIONS}
_ENDS = {**EXPECTED, **deflections.EXPECTED}
_TRACKING = [*((name, False) for name in STORIES), *((name, True) for name in SENDING)]
"""Story, and whether its tracking message goes to the provider that takes keys."""
_DEFLECTING = [(name, False) for name in deflections.DEFLECTIONS]
_CHANCE = random.Random(SEED)  # noqa: S311 - a game, no secret
CASES = [
    *(_TRACKING if FULL else _CHANCE.sample(_TRACKING, 3)),
    *(_DEFLECTING if FULL else _CHANCE.sample(_DEFLECTING, 2)),
]


def _of_the_story(boundary: Boundary) -> bool:
    """Connections are kept open, but for mail."""
    if boundary.request == CONNECT:
        return boundary.dependency == "smtp"
    return boundary.request not in BACKGROUND


def _watching(victim: Replica, seen: list[Point]) -> Rule:
    """Writes down the boundaries that one replica comes to."""
    counted: Counter[str] = Counter()

    async def rule(boundary: Boundary) -> Fault:
        if boundary.replica == victim.name and _of_the_story(boundary):
            counted[str(boundary)] += 1
            seen.append((str(boundary), counted[str(boundary)]))
        return Fault.PASS

    return rule


@dataclass(eq=False)
class Killing:
    """The rule that kills one replica once it comes to `point`, and starts it again."""

    world: World
    victim: Replica
    point: Point
    hit: bool = False
    _counted: Counter[str] = field(default_factory=Counter)

    async def __call__(self, boundary: Boundary) -> Fault:
        if boundary.replica != self.victim.name or self.hit:
            return Fault.PASS
        self._counted[str(boundary)] += 1
        if (str(boundary), self._counted[str(boundary)]) != self.point:
            return Fault.PASS
        self.hit = True
        await self.world.kill(self.victim, f"at {self.point}")
        self.world.revive(self.victim)
        return Fault.RESET


async def kill_points(world: World, story: Story, expected: str) -> list[Point]:
    """All boundaries that a story always comes to, from playing it without faults."""
    played: list[list[Point]] = []
    for _ in range(_WARM_UPS + 1):
        played.clear()
        for victim in world.replicas:
            points: list[Point] = []
            played.append(points)
            world.rule = _watching(victim, points)
            call = await story(world, victim)
            view = await world.look(call, past=victim)
            assert view is not None
            assert view["outcome"] == expected, view
    world.healed()
    return [point for point in played[-1] if all(point in points for points in played)]


async def killed_at(world: World, story: Story, point: Point, victim: Replica) -> bool:
    """Plays the story while its replica is killed at `point`; whether it came there."""
    await world.until_up(victim)
    killing = Killing(world, victim, point)
    world.rule = killing
    await story(world, victim)
    world.healed()
    return killing.hit


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "keyed"), CASES)
async def test_a_kill_at_any_boundary_breaks_no_promise(
    name: str, tmp_path: Path, seed: int, tally: Tally, *, keyed: bool
) -> None:
    story = _PLAYED[name]
    # Three, so that one restarts, one is killed and one takes over.
    async with World.open(tmp_path, replicas=3, seed=seed, keyed=keyed) as world:
        points = await kill_points(world, story, _ENDS[name])
        chosen = points if FULL else world.random.sample(points, min(len(points), SAMPLE))
        victims, missed = itertools.cycle(world.replicas), []
        for point in chosen:
            for victim in itertools.islice(victims, TRIES):
                if await killed_at(world, story, point, victim):
                    break
            else:
                missed.append(point)  # saves that met each other when it was watched, and no more
        world.judge()
        assert len(missed) <= max(1, len(chosen) // 10), f"{name} never came to {missed}"
        tally.add(kill_points=len(chosen) - len(missed), boundaries=len(points))

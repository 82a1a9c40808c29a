"""Many calls at once, while somebody breaks things."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.chaos.deflections import DEFLECTIONS
from tests.chaos.history import Seen
from tests.chaos.oracle import FINAL_WITHIN_S
from tests.chaos.stories import STORIES, has_outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.chaos.world import World

_ALL = (*STORIES.values(), *DEFLECTIONS.values())


async def under_load(
    world: World, trouble: Callable[[World], Awaitable[None]], *, at_once: int = 20
) -> int:
    """Keeps `at_once` calls going until the trouble is over; how many there were in all.

    The last ones still get their outcomes. All stories are played, at any replica.
    """
    over = asyncio.Event()
    callers = [asyncio.create_task(_caller(world, over)) for _ in range(at_once)]
    try:
        await trouble(world)
    finally:
        world.healed()
        over.set()
        played = sum(await asyncio.gather(*callers))
    await world.until_up(*world.replicas)
    await _look_again(world)
    return played


async def _look_again(world: World) -> None:
    """At calls of which no replica could tell how they ended while things were broken."""
    seen = [event for event in world.events if isinstance(event, Seen)]
    ended = {event.call_id for event in seen if event.view and has_outcome(event.view)}
    left = [call for call in world.stand_ins.calls.values() if call.id not in ended]
    await asyncio.gather(*(world.until(call, has_outcome, FINAL_WITHIN_S) for call in left))


async def _caller(world: World, over: asyncio.Event) -> int:
    played = 0
    while not over.is_set():
        await asyncio.sleep(world.random.uniform(0, 0.3))
        await world.random.choice(_ALL)(world, None)
        played += 1
    return played

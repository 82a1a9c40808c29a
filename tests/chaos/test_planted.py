"""Who judges has to be judged: every planted bug must be found, by a few calls and kills."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from tests.chaos import deflections, stories
from tests.chaos.conftest import FULL, SEED
from tests.chaos.deflections import DEFLECTIONS
from tests.chaos.oracle import violations
from tests.chaos.planted import BUGS
from tests.chaos.proxy import Fault
from tests.chaos.stories import STORIES
from tests.chaos.test_kill_points import Killing, Point, killed_at
from tests.chaos.world import World

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.chaos.proxy import Boundary
    from tests.tally import Tally

FOUND_AS = {
    "acknowledge_first": {"final"},
    "start_again": {"once"},
    "send_again": {"once"},
    "memory_only": {"final"},
    "crossed_sessions": {"mixed"},
    "stale_write": {"newest"},
    "mixed_customers": {"mixed"},
    "another_key": {"once"},
    "no_key": {"sure"},
    "queue_unconsented": {"consented"},
    "go_on_in_doubt": {"once"},
    "lost_is_refused": {"once"},
    "sent_unasked": {"true"},
    "deaf_to_stop": {"stopped"},
    "receipts_twice": {"once", "true"},
}
"""Bug -> the rules of the judge, one of which must see it."""
KEYED = {"another_key", "no_key"}
"""Bugs that show where the provider of tracking messages takes keys."""
DEFLECTING = {
    *("queue_unconsented", "go_on_in_doubt", "lost_is_refused"),
    *("sent_unasked", "deaf_to_stop", "receipts_twice"),
}
"""Bugs that show in deflections, wherever tracking messages go."""


CHOSEN = sorted(BUGS) if FULL else random.Random(SEED).sample(sorted(BUGS), 6)  # noqa: S311 - a game


async def _kill_while_accepting(world: World) -> None:
    await _start_and_kill(world, ("before redis accept", 1))


async def _kill_while_looking_up(world: World) -> None:
    await _start_and_kill(world, ("before crm GET customers", 1))


async def _start_and_kill(world: World, point: Point) -> None:
    """Whoever keeps his promise has the call's outcome by then."""
    call, victim = world.new_call(), world.replicas[0]
    world.rule = Killing(world, victim, point)
    await world.ask("start", call, {"call_id": call.id, "from": call.number}, at=victim)
    await asyncio.sleep(0.1)
    await world.ask("end", call, at=world.replicas[1])
    await world.until(call, stories.has_outcome, 3.0, past=victim)
    world.healed()


async def _kill_after_sending(world: World) -> None:
    handed_over = "after hook POST hook" if world.keyed else "after smtp text"
    await killed_at(world, stories.standard, (handed_over, 1), world.replicas[0])


async def _kill_after_texting(world: World) -> None:
    handed_over = ("after sms POST Messages.json", 1)
    await killed_at(world, deflections.chooses, handed_over, world.replicas[0])


async def _lose_an_answer(world: World) -> None:
    async def rule(boundary: Boundary) -> Fault:
        lost = (boundary.dependency, boundary.side) == ("sms", "after")
        return Fault.RESET if lost else Fault.PASS

    world.rule = rule
    await deflections.chooses(world, world.replicas[0])
    world.healed()


async def _deflect(world: World) -> None:
    await deflections.chooses(world, world.replicas[0])


async def _stop(world: World) -> None:
    await deflections.stops(world, world.replicas[0])


async def _fail_later(world: World) -> None:
    await deflections.never_arrives(world, world.replicas[0])


async def _repeat_the_start(world: World) -> None:
    """The IVR did not get its answer, and asks again later."""
    call = world.new_call()
    body = {"call_id": call.id, "session_id": call.session_id, "from": call.number}
    await world.ask("start", call, body)
    await world.until(call, stories.message_done, 3.0)
    await world.ask("start", call, body)
    await asyncio.sleep(0.5)
    await world.ask("end", call)
    await world.until(call, stories.has_outcome, 3.0)


async def _two_calls(world: World) -> None:
    for _ in range(2):
        await stories.premium(world, world.replicas[0])


async def _late_answer(world: World) -> None:
    await stories.late(world, world.replicas[0])
    await asyncio.sleep(0.5)


PROVOKED: dict[str, Callable[[World], Awaitable[None]]] = {
    "acknowledge_first": _kill_while_accepting,
    "start_again": _repeat_the_start,
    "send_again": _kill_after_sending,
    "memory_only": _kill_while_looking_up,
    "crossed_sessions": _two_calls,
    "stale_write": _late_answer,
    "mixed_customers": _two_calls,
    "another_key": _kill_after_sending,
    "no_key": _kill_after_sending,
    "queue_unconsented": _deflect,
    "go_on_in_doubt": _kill_after_texting,
    "lost_is_refused": _lose_an_answer,
    "sent_unasked": _deflect,
    "deaf_to_stop": _stop,
    "receipts_twice": _fail_later,
}


@pytest.mark.timeout(90)
@pytest.mark.parametrize("bug", CHOSEN)
async def test_planted_bug_is_found(bug: str, tmp_path: Path, seed: int, tally: Tally) -> None:
    command = ("-m", "tests.chaos.planted", bug)
    store, keyed = "memory://" if bug == "memory_only" else None, bug in KEYED
    async with World.open(tmp_path, seed=seed, command=command, store=store, keyed=keyed) as world:
        await PROVOKED[bug](world)
        found = {violation.rule for violation in violations(world.history)}
        assert found & FOUND_AS[bug], found
        tally.add(bugs_found=1)


@pytest.mark.timeout(90)
@pytest.mark.parametrize("keyed", [False, True])
async def test_the_real_broker_passes_what_finds_the_bugs(
    tmp_path: Path, seed: int, *, keyed: bool
) -> None:
    async with World.open(tmp_path, seed=seed, keyed=keyed) as world:
        provoked = [how for bug, how in PROVOKED.items() if keyed is not (bug in DEFLECTING)]
        for provoke in dict.fromkeys(provoked):
            await provoke(world)
            await world.until_up(*world.replicas)
        for story in STORIES.values() if keyed else DEFLECTIONS.values():
            await story(world, None)
        world.judge()

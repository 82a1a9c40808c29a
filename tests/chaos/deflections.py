"""The stories in which somebody goes on in writing: by key, by the flow, or without a call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.chaos.configuration import LOOKUP_DEADLINE_S
from tests.chaos.history import CHAIN
from tests.chaos.stories import answered, ends, has_outcome, message_done, start_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.chaos.history import Call
    from tests.chaos.stories import Story
    from tests.chaos.world import Replica, World

_PATIENCE_S = 8.0
_KEY = {"key": "1"}


async def chooses(world: World, home: Replica | None = None) -> Call:
    """A premium customer hears the offer, presses the key, and hangs up once he is told."""
    call = world.new_call(premium=True)
    await _rings(world, call, home)
    await world.ask("choice", call, _KEY, at=home)
    return await _hears_and_ends(world, call, home)


async def repeats(world: World, home: Replica | None = None) -> Call:
    """The flow asks everybody at once, by key and without: still one message."""
    call = world.new_call(premium=True)
    await _rings(world, call, home)
    others = [replica for replica in world.replicas if replica is not home]
    await asyncio.gather(
        world.ask("choice", call, _KEY, at=home),
        *(world.ask("deflect", call, {"channel": "backup"}, at=other) for other in others),
        *(world.ask("choice", call, _KEY, at=other) for other in others),
    )
    return await _hears_and_ends(world, call, home)


async def falls_back(world: World, home: Replica | None = None) -> Call:
    """Both text channels refuse the number; the last channel writes to his address."""
    call = world.new_call(premium=True)
    _refuse(world, call, "sms", "backup")
    await _rings(world, call, home)
    await world.ask("deflect", call, at=home)
    return await _hears_and_ends(world, call, home)


async def nobody_takes_it(world: World, home: Replica | None = None) -> Call:
    """Every channel refuses: the flow hears `failed`, and the call goes on."""
    call = world.new_call(premium=True)
    _refuse(world, call, *CHAIN)
    await _rings(world, call, home)
    await world.ask("choice", call, _KEY, at=home)
    return await _hears_and_ends(world, call, home)


async def hurries(world: World, home: Replica | None = None) -> Call:
    """He presses the key while the CRM still thinks, and hangs up at once."""
    call = world.new_call(slow_s=LOOKUP_DEADLINE_S / 2)
    await world.ask("start", call, start_of(call), at=home)
    await world.ask("choice", call, _KEY, at=home)
    world.stand_ins.hung_up.add(call.session_id)
    return await ends(world, call, home)


async def without_call(world: World, home: Replica | None = None) -> Call:
    """Some form on a web site asks for it, twice, at two replicas."""
    call = world.new_call(standalone=True)
    other = world.random.choice([replica for replica in world.replicas if replica is not home])
    await asyncio.gather(
        world.ask("deflections", call, {"to": call.number}, at=home),
        world.ask("deflections", call, {"to": call.number}, at=other),
    )
    await world.until(call, has_outcome, _PATIENCE_S, past=home)
    return call


async def arrives(world: World, home: Replica | None = None) -> Call:
    """The provider tells that it was delivered, twice, perhaps before it answers."""
    call = world.new_call(premium=True)
    world.stand_ins.fates[call.number] = {"sms": "delivered"}
    await _rings(world, call, home)
    await world.ask("choice", call, _KEY, at=home)
    return await _hears_and_ends(world, call, home, _arrived)


async def never_arrives(world: World, home: Replica | None = None) -> Call:
    """The first channel takes it, and tells later that it failed: the next one delivers it."""
    call = world.new_call(premium=True)
    world.stand_ins.fates[call.number] = {"sms": "failed", "backup": "delivered"}
    await _rings(world, call, home)
    await world.ask("choice", call, _KEY, at=home)
    return await _hears_and_ends(world, call, home, _arrived)


async def stops(world: World, home: Replica | None = None) -> Call:
    """The provider is busy; before it is not, the person wants no messages any more."""
    call = world.new_call(premium=True)
    world.stand_ins.busy.add(call.number)
    await _rings(world, call, home)
    await world.ask("choice", call, _KEY, at=home)
    await world.until(call, _was_busy, _PATIENCE_S, past=home)
    await world.stop(call)
    await world.look(call, past=home)
    world.stand_ins.busy.discard(call.number)
    return await _hears_and_ends(world, call, home)


DEFLECTIONS: Mapping[str, Story] = {
    "chooses": chooses,
    "repeats": repeats,
    "falls_back": falls_back,
    "nobody_takes_it": nobody_takes_it,
    "hurries": hurries,
    "without_call": without_call,
    "arrives": arrives,
    "never_arrives": never_arrives,
    "stops": stops,
}
EXPECTED = {
    "chooses": "messaged",
    "repeats": "messaged",
    "falls_back": "messaged",
    "nobody_takes_it": "failed",
    "hurries": "messaged",
    "without_call": "done",
    "arrives": "messaged",
    "never_arrives": "messaged",
    "stops": "suppressed",
}
"""Story -> its outcome while nothing breaks."""


def _refuse(world: World, call: Call, *channels: str) -> None:
    """None of these channels will ever write to this person."""
    for address in (call.number, call.person.email):
        world.stand_ins.refusing[address] = frozenset(channels)


async def _rings(world: World, call: Call, home: Replica | None) -> None:
    await world.ask("start", call, start_of(call), at=home)
    await world.until(call, answered, _PATIENCE_S, past=home)


async def _hears_and_ends(
    world: World,
    call: Call,
    home: Replica | None,
    reached: Callable[[Mapping[str, Any]], bool] = message_done,
) -> Call:
    """The flow waits for the message's state in the session, as its switch node does."""

    def told(view: Mapping[str, Any]) -> bool:
        shown = view["variables"].get("ivr.deflection")
        return reached(view) and world.written(call).get("ivr.deflection") == shown

    await world.until(call, told, _PATIENCE_S, past=home)
    return await ends(world, call, home)


def _arrived(view: Mapping[str, Any]) -> bool:
    return any(message["state"] == "delivered" for message in view["messages"])


def _was_busy(view: Mapping[str, Any]) -> bool:
    """Whether it was tried, and waits for its next attempt."""
    return any(m["attempts"] and m["state"] == "queued" for m in view["messages"])

"""The calls of the proof: what the IVR sends from ringing to hang-up, whatever breaks meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from tests.chaos.configuration import LOOKUP_DEADLINE_S
from tests.chaos.oracle import FINAL_WITHIN_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.chaos.history import Call
    from tests.chaos.world import Replica, World

_PATIENCE_S = 8.0
_LATE_S = LOOKUP_DEADLINE_S + 0.25

Story = Callable[["World", "Replica | None"], Awaitable["Call"]]
"""Plays one call, first asking this replica (None = any), until its outcome is known."""


async def premium(world: World, home: Replica | None = None) -> Call:
    """A premium customer calls; the platform has to be asked for the session."""
    call = world.new_call(premium=True)
    await world.ask("start", call, {"call_id": call.id, "from": call.number}, at=home)
    await world.until(call, answered, _PATIENCE_S, past=home)
    return await ends(world, call, home)


async def standard(world: World, home: Replica | None = None) -> Call:
    """A customer with an order calls and gets the tracking message."""
    call = world.new_call()
    await world.ask("start", call, start_of(call), at=home)
    await world.until(call, message_done, _PATIENCE_S, past=home)
    return await ends(world, call, home)


async def reference(world: World, home: Replica | None = None) -> Call:
    """Nobody knows the number; the caller types a reference and gets the tracking message."""
    call = world.new_call(by_reference=True)
    await world.ask("start", call, start_of(call), at=home)
    await world.until(call, answered, _PATIENCE_S, past=home)
    return await types_and_ends(world, call, home)


async def types_and_ends(world: World, call: Call, home: Replica | None = None) -> Call:
    """The rest of a call whose caller was asked for the reference."""
    await world.ask("reference", call, {"reference": call.reference or ""}, at=home)
    await world.until(call, message_done, _PATIENCE_S, past=home)
    return await ends(world, call, home)


async def late(world: World, home: Replica | None = None) -> Call:
    """The CRM answers after the deadline: `timeout` first, then found."""
    call = world.new_call(premium=True, slow_s=_LATE_S)
    await world.ask("start", call, start_of(call), at=home)
    await world.until(call, found, _PATIENCE_S, past=home)
    return await ends(world, call, home)


async def hang_up(world: World, home: Replica | None = None) -> Call:
    """The caller hangs up while the CRM still thinks."""
    call = world.new_call(slow_s=LOOKUP_DEADLINE_S / 2)
    await world.ask("start", call, start_of(call), at=home)
    await asyncio.sleep(LOOKUP_DEADLINE_S / 3)
    world.stand_ins.hung_up.add(call.session_id)
    return await ends(world, call, home)


STORIES: Mapping[str, Story] = {
    "premium": premium,
    "standard": standard,
    "reference": reference,
    "late": late,
    "hang_up": hang_up,
}
SENDING = ("standard", "reference")
"""The stories with a message: played once more where the provider takes keys."""
EXPECTED = {
    "premium": "premium",
    "standard": "messaged",
    "reference": "messaged",
    "late": "premium",
    "hang_up": "call_gone",
}
"""Story -> its outcome while nothing breaks."""


def start_of(call: Call) -> dict[str, str]:
    """What the IVR sends with a call-start."""
    return {"call_id": call.id, "session_id": call.session_id, "from": call.number}


async def ends(world: World, call: Call, home: Replica | None = None) -> Call:
    """The caller hangs up."""
    await world.ask("end", call, at=home)
    await world.until(call, has_outcome, FINAL_WITHIN_S, past=home)
    return call


def has_outcome(view: Mapping[str, Any]) -> bool:
    """Whether the call has ended with us."""
    return view["outcome"] is not None


def answered(view: Mapping[str, Any]) -> bool:
    """Whether each of its steps is in the session, or given up."""
    return all(step["written"] is not None for step in view["steps"])


def found(view: Mapping[str, Any]) -> bool:
    """Whether the session shows the customer."""
    return answered(view) and view["lookup"] == "found"


def message_done(view: Mapping[str, Any]) -> bool:
    """Whether the call has a message, and it is no longer on its way."""
    pending = {"queued", "sending"}
    return bool(view["messages"]) and all(m["state"] not in pending for m in view["messages"])

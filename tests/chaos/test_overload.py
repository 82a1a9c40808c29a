"""More calls than a replica takes, and clients that take their time: who was accepted is served."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.chaos.configuration import LOOKUP_DEADLINE_S
from tests.chaos.conftest import FULL, size
from tests.chaos.history import Answered, Seen, Sent, Wrote
from tests.chaos.load import under_load
from tests.chaos.stories import answered, ends, start_of
from tests.chaos.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from tests.chaos.history import Call, Event, History
    from tests.tally import Tally

AT_ONCE = 4
"""Calls that a replica works on at a time."""
LOOKUP_S = LOOKUP_DEADLINE_S * 2 / 3
"""How long the CRM takes: with `AT_ONCE` it says how many calls a replica can take."""
TIMES = 5
OVERLOAD_S = size(3, 30)
SLOW_CLIENTS = size(100, 1000)
HEALTHY_AT_ONCE = 8
HEALTHY_PER_S = 20
"""Requests of the others, at least; only the full size is sure of its machine."""
BESIDE_S = size(3, 30)
_LEASES = {"STORE__LEASE_MS": "3000"}
"""None of them may run out; those of the other modes do when this machine looks away."""
MAY_REFUSE: set[str] = set() if FULL else {"store_unavailable"}
"""The sample also runs where others keep the store from answering within its 150 ms."""
_RECEIVE_S = 5.0 if FULL else 1.0
_BYTE_EVERY_S = _RECEIVE_S / 5
"""A thousand clients must not keep this process busy, through which the store is reached."""
_PATIENCE_S = 8.0
_CALL = b"POST /v1/calls HTTP/1.1\r\nHost: broker\r\nContent-Type: application/json\r\n"


async def _rings_once(world: World) -> Call:
    """Who is accepted goes on to its end, who is refused has lost."""
    call = world.new_call(slow_s=LOOKUP_S)
    status = await world.ask("start", call, start_of(call), tries=1)
    if _refused_as(call, world) == "store_unavailable":  # kept or not: repeat
        status = await world.ask("start", call, start_of(call))
    if status == 202:
        await world.until(call, answered, _PATIENCE_S)
        await ends(world, call)
    else:
        await world.look(call)
    return call


@pytest.mark.timeout(300)
async def test_overload_harms_no_accepted_call_and_leaves_nothing_of_the_others(
    tmp_path: Path, seed: int, tally: Tally
) -> None:
    settings = {"SERVER__MAX_CALLS_IN_FLIGHT": str(AT_ONCE), **_LEASES}
    async with World.open(tmp_path, seed=seed, settings=settings) as world:
        pause = LOOKUP_S / (TIMES * AT_ONCE * len(world.replicas))
        rings = []
        for _ in range(round(OVERLOAD_S / pause)):
            rings.append(asyncio.create_task(_rings_once(world)))
            await asyncio.sleep(pause)
        calls = await asyncio.gather(*rings)
        first = _first_answers(world.events)
        assert set(first.values()) <= {None, "overloaded", "store_unavailable"}
        shed = [call for call in calls if first[call.id] == "overloaded"]
        unsure = [call for call in calls if first[call.id] == "store_unavailable"]
        accepted = len(calls) - len(shed) - len(unsure)
        assert accepted >= len(calls) / TIMES / 2
        assert len(shed) >= accepted
        world.judge()
        history = world.history
        assert not any(_left_of(call, history) for call in shed)
        # Of what was kept without being told so, nobody had begun the work.
        assert await world.metric("broker_takeovers_total") <= len(unsure)
        tally.add(calls=len(calls), refused=len(shed))


def _refused_as(call: Call, world: World) -> str | None:
    """The code of the latest answer, None if that was no refusal."""
    answers = (event for event in reversed(world.events) if isinstance(event, Answered))
    return next(answer.code for answer in answers if answer.call_id == call.id)


def _first_answers(events: Iterable[Event]) -> dict[str, str | None]:
    """Call id -> the code of its first answer, None if that was no refusal."""
    codes: dict[str, str | None] = {}
    for event in events:
        if isinstance(event, Answered):
            codes.setdefault(event.call_id, event.code)
    return codes


def _left_of(call: Call, history: History) -> list[Event]:
    """What a broker did for the call, or knows of it."""
    return [
        event
        for event in history.of(call)
        if isinstance(event, Wrote | Sent) or (isinstance(event, Seen) and event.view is not None)
    ]


async def _drips(world: World) -> None:
    """A request that never comes to its end; the same again whenever it is hung up on.

    Not all at the same moment: one process plays them all, and passes on what the others ask.
    """
    await asyncio.sleep(world.random.uniform(0, _RECEIVE_S))
    while True:
        port = world.random.choice(world.replicas).program.port
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                await _drip(writer)
            finally:
                writer.transport.abort()
        await asyncio.sleep(_BYTE_EVERY_S)


async def _drip(writer: asyncio.StreamWriter) -> None:
    for byte in _CALL * 100:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(_BYTE_EVERY_S)


async def _time_passes(_: World) -> None:
    await asyncio.sleep(BESIDE_S)


@asynccontextmanager
async def _slow_clients(world: World) -> AsyncIterator[None]:
    clients = [asyncio.create_task(_drips(world)) for _ in range(SLOW_CLIENTS)]
    try:
        yield
    finally:
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


@pytest.mark.timeout(300)
async def test_slow_clients_take_nothing_from_the_others(
    tmp_path: Path, seed: int, tally: Tally
) -> None:
    settings = {"SERVER__RECEIVE_TIMEOUT_S": str(_RECEIVE_S), **_LEASES}
    async with World.open(tmp_path, seed=seed, settings=settings) as world:
        async with _slow_clients(world):
            played = await under_load(world, _time_passes, at_once=HEALTHY_AT_ONCE)
        world.judge()
        answers = [event for event in world.events if isinstance(event, Answered)]
        refused = [answer.code for answer in answers if answer.status >= 500]
        assert set(refused) <= MAY_REFUSE
        assert not FULL or len(answers) >= BESIDE_S * HEALTHY_PER_S
        assert await world.metric("broker_takeovers_total") <= len(refused)
        closed = 'broker_connections_closed_total{reason="receive_timeout"}'
        assert await world.metric(closed) >= SLOW_CLIENTS
        tally.add(slow_clients=SLOW_CLIENTS, calls=played)

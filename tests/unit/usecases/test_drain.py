"""A replica that is asked to stop: what it does with the work it holds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from broker.domain.messages import TRACKING, Backoff, Message, MessageState
from tests.unit.usecases.conftest import ShakyStore

if TYPE_CHECKING:
    from broker.domain.customer import Customer
    from broker.domain.record import Record
    from broker.ports import Lease
    from tests.unit.usecases.conftest import World

CALLER = "+493023125001"


async def test_lease_is_released_only_after_its_task_has_ended(world: World) -> None:
    replica, events = world.replica(), list[str]()

    async def slow_to_end(_: Lease) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            free = await _claimable(world, record)
            events.append("ended, and free" if free else "ended, still held")

    replica.worker.run_with({"step": slow_to_end})
    replica.worker.open()
    record = await world.starts(replica)
    await replica.worker.drain(0.05)
    assert events == ["ended, still held"]
    assert await _claimable(world, record)


async def test_drained_replica_finishes_what_ends_in_time(world: World, standard: Customer) -> None:
    """The step leaves a message, which is sent as well."""
    world.tracking()
    world.crm.add(standard, CALLER)
    world.crm.delay_s = 0.02
    replica = world.replica()
    replica.worker.open()
    record = await world.starts(replica)
    await replica.worker.drain(1.0)
    assert _state(await world.until(record, _message)) is MessageState.SENT
    assert not await _claimable(world, record)


@pytest.mark.parametrize(
    ("keyed", "state", "attempts"),
    [(False, MessageState.UNKNOWN, 1), (True, MessageState.SENT, 2)],
)
async def test_send_that_the_drain_cuts_off_is_unknown_or_repeated_under_its_key(
    world: World, standard: Customer, *, keyed: bool, state: MessageState, attempts: int
) -> None:
    world.tracking()
    world.channel.keyed = keyed
    world.backoff = Backoff(first_s=0.05)
    world.crm.add(standard, CALLER)
    world.channel.hold()
    drained, heir = world.replica(), world.replica()
    drained.worker.open()
    record = await world.starts(drained)
    await world.until(record, lambda found: _state(found) is MessageState.SENDING)
    await drained.worker.drain(0.0)
    world.channel.release()
    heir.worker.open()
    await world.until(record, lambda found: _state(found) is state)
    await asyncio.sleep(0.5)
    assert len(world.channel.attempts) == attempts
    assert len({envelope.reference for envelope in world.channel.attempts}) == 1
    assert len(world.channel.taken) == (1 if keyed else 0)


class SlowToTell(ShakyStore):
    """What is claimed is told a little later."""

    async def run(self, script: str, *args: Any, **more: Any) -> Any:
        answer = await super().run(script, *args, **more)
        if script == "claim":
            await asyncio.sleep(0.1)
        return answer


async def test_what_is_being_claimed_when_the_stop_comes_is_given_back(world: World) -> None:
    dead = world.replica()
    dead.worker.run_with({"step": lambda _: asyncio.sleep(60)})
    record = await world.starts(dead)
    stopping = world.replica(SlowToTell(world.store.client, "test", timeout_s=0.5))
    stopping.worker.run_with({"step": lambda _: asyncio.sleep(60)})
    stopping.worker.open()
    while await _epoch(world, record) == 1:
        await asyncio.sleep(0.01)
    await stopping.worker.drain(0.0)
    assert await _claimable(world, record)


async def _epoch(world: World, record: Record) -> int:
    """1 until the call's lookup is claimed."""
    key = world.store.key("call", record.id)
    return int(await world.store.client.hget(key, "ep:step:number") or 0)


async def _claimable(world: World, record: Record) -> bool:
    """Whether another replica has the call's work at once."""
    leases = await world.replica().book.ledger.claim(9)
    return any(lease.call_id == record.id for lease in leases)


def _message(record: Record) -> Message | None:
    return record.message(TRACKING)


def _state(record: Record) -> MessageState | None:
    message = _message(record)
    return None if message is None else message.state

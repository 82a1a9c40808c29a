"""Replicas die, the store, the CRMs, the platform and the channel fail: the promises hold.

Each story is told by its seed, on fake time. Once everything works again and the call has ended,
it must have exactly one outcome, and what the session, the channel and the record say must agree.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from broker.domain.errors import (
    AnswerLostError,
    BrokerError,
    CallEndedError,
    PermanentError,
    StoreUnavailableError,
    TemporaryError,
)
from broker.domain.record import Outcome, Record, Written
from broker.domain.variables import Variables
from broker.usecases.identify import CallStarted

if TYPE_CHECKING:
    from broker.domain.customer import Customer
    from tests.unit.usecases.conftest import Replica, World

CALLER = "+493023125001"
REFERENCES = ("2001001", "2001002", "0000001", "12")
SILENT = {Outcome.PREMIUM, Outcome.INFORMED, Outcome.NO_MATCH, Outcome.CALL_GONE, Outcome.EXPIRED}
"""Outcomes that say that no message went out."""


class Chaos:
    """One call, and what goes wrong around it."""

    def __init__(self, world: World, dice: Random) -> None:
        self.world = world
        self.dice = dice
        call_id = uuid4().hex
        self.event = CallStarted(call_id, session_id=f"s{call_id}", from_=CALLER)
        self.alive = [self._replica(), self._replica()]
        self.accepted = False

    def _replica(self) -> Replica:
        replica = self.world.replica()
        replica.worker.open()
        return replica

    async def rages(self) -> None:
        """Some seconds of a call's life in which anything may fail."""
        for _ in range(self.dice.randint(2, 14)):
            happening = self.dice.choice(
                [
                    *(self._starts, self._starts, self._types, self._types, self._ends),
                    *(self._store, self._store, self._kill),
                    *(self._crm, self._platform, self._channel),
                ]
            )
            await happening()
            await asyncio.sleep(self.dice.choice([0.0, 0.01, 0.04, 0.1, 0.5]))

    async def _starts(self) -> None:
        await self._told(self.dice.choice(self.alive).identify.on_call_start(self.event))

    async def _types(self) -> None:
        typed = self.dice.choice(REFERENCES)
        await self._told(self.dice.choice(self.alive).identify.on_reference(self.event, typed))

    async def _told(self, automation: Any) -> None:
        """An automation sends its request, and hears that it was accepted or not."""
        try:
            await automation
        except StoreUnavailableError:
            return
        self.accepted = True

    async def _ends(self) -> None:
        if self.dice.random() < 0.3:
            await self._told_end(self.dice.choice(self.alive))

    async def _told_end(self, replica: Replica) -> None:
        try:
            await replica.finish.on_end(self.event.call_id)
        except StoreUnavailableError:
            return

    async def _store(self) -> None:
        self.world.store.away = self.dice.random() < 0.5
        self.world.store.deaf = self.dice.random() < 0.3

    async def _kill(self) -> None:
        dying = self.alive.pop(self.dice.randrange(2))
        await kill(dying)
        self.alive.append(self._replica())

    async def _crm(self) -> None:
        self.world.crm.delay_s = self.dice.choice([0.0, 0.0, 0.03, 0.2, 1.0])
        if self.dice.random() < 0.3:
            self.world.crm.fail(TemporaryError("away"))

    async def _platform(self) -> None:
        self.world.platform.delay_s = self.dice.choice([0.0, 0.02, 0.2, 5.0])
        fault = self.dice.choice([None, TemporaryError("500"), PermanentError("400")])
        self.world.platform.fail(fault)
        if self.dice.random() < 0.05:
            self.world.platform.fail(CallEndedError("gone"))

    async def _channel(self) -> None:
        self.world.channel.delay_s = self.dice.choice([0.0, 0.1, 0.4])
        faults: list[BrokerError | None] = [
            TemporaryError("421"),
            AnswerLostError("no 250"),
            PermanentError("550"),
            None,
        ]
        self.world.channel.fail(self.dice.choice(faults))

    async def heals(self) -> Record | None:
        """Everything works again, and the call ends."""
        self.world.store.away = self.world.store.deaf = False
        self.world.crm.delay_s = self.world.platform.delay_s = self.world.channel.delay_s = 0.0
        self.world.platform._faults.clear()
        await asyncio.sleep(self.dice.choice([0.0, 1.0, 5.0]))
        await self._told_end(self.alive[0])
        await asyncio.sleep(10.0)
        return await self.alive[0].book.ledger.find(self.event.call_id)


async def kill(replica: Replica) -> None:
    """Kill -9, as far as tasks can be killed: what it held stays leased."""
    worker = replica.worker
    running = [*worker._loops, *(task for _, task in worker._running())]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


def agree(world: World, record: Record) -> None:
    """What went out, what stands in the session, and what the record says."""
    taken, writes = len(world.channel.taken), world.platform.writes
    customer = record.customer
    emails = {
        str(write.variables["ivr.email"]) for write in writes if "ivr.email" in write.variables
    }
    assert emails <= ({customer.email} if customer is not None else set())
    assert {write.session_id for write in writes} <= {record.data.session_id}
    assert taken <= 1
    if taken:
        assert customer is not None
        assert world.channel.taken[0].to == customer.email
        assert world.session(record)["ivr.email"] == customer.email
    if record.outcome is Outcome.MESSAGED:
        assert taken == 1
    if record.outcome in SILENT:
        assert taken == 0
    latest = record.shown
    if latest is not None and latest.written is Written.OK:
        assert world.session(record) == Variables().of(record)
    if record.outcome in {Outcome.CALL_GONE, Outcome.EXPIRED}:
        assert "ivr.email" not in world.session(record)


@pytest.mark.parametrize("seed", range(60))
async def test_after_any_trouble_the_call_has_one_outcome_and_all_agree(
    world: World, premium: Customer, standard: Customer, seed: int
) -> None:
    dice = Random(seed)  # noqa: S311 - a story to tell, not a secret
    world.tracking()
    if dice.random() < 0.7:
        world.crm.add(dice.choice([premium, standard]), CALLER)
    world.crm.add(premium, references=[REFERENCES[0]])
    world.crm.add(standard, references=[REFERENCES[1]])
    chaos = Chaos(world, dice)
    await chaos.rages()
    record = await chaos.heals()
    if record is None:
        assert not chaos.accepted, "what was accepted is never lost"
        return
    assert record.outcome is not None
    agree(world, record)
    for replica in chaos.alive:
        await kill(replica)

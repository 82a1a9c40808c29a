"""Conformance kit of the ledger: subclass it, give it a `ledger` and a `rival` on one store."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from broker.domain.errors import FencedError, UnknownCallError
from broker.domain.messages import TRACKING, Message
from broker.domain.progress import add_alias, end, finish_step, not_sent, sending
from broker.domain.record import NUMBER, CallData, Over, Record, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.ports import Lease, Ledger

LEASE_S = 0.2
"""The lease of the ledgers under test."""


def call(ledger_now: float, **changes: object) -> Record:
    """A call that has just come in, with its number to look up."""
    call_id = uuid4().hex
    record = Record(
        id=call_id,
        received_at=ledger_now,
        idle_at=ledger_now + 1800,
        data=CallData(session_id=f"s{call_id}", from_="+493023125001"),
        aliases=(f"s{call_id}",),
        steps=(Step(NUMBER, ledger_now, "+493023125001"),),
    )
    return replace(record, **changes)  # type: ignore[arg-type]


class LedgerKit:
    """Questions that any ledger has to answer rightly. `now` is the store's time in seconds."""

    @pytest.fixture
    def ledger(self) -> Ledger:
        raise LookupError("a subclass gives the ledger under test")

    @pytest.fixture
    def rival(self) -> Ledger:
        raise LookupError("a subclass gives a second replica on the same store")

    @pytest.fixture
    def now(self) -> float:
        raise LookupError("a subclass gives the time of the store")

    async def test_accepted_call_comes_leased_to_who_accepted_it(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        saved = await ledger.accept(call(now))
        assert [lease.work for lease in saved.leases] == ["step:number"]
        assert not _of(await rival.claim(100), saved.record)

    async def test_call_is_found_by_its_id_and_by_its_session(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        record = (await ledger.accept(call(now))).record
        assert await rival.find(record.id) == record
        assert await rival.find(record.aliases[0]) == record
        assert await rival.find(uuid4().hex) is None

    async def test_second_delivery_gets_the_record_and_no_work(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        record = (await ledger.accept(call(now))).record
        again = await rival.accept(replace(record, data=CallData(from_="+493023125999")))
        assert again.record == record
        assert again.leases == ()

    async def test_same_session_under_another_call_id_is_the_same_call(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        record = (await ledger.accept(call(now))).record
        leg = call(now, aliases=record.aliases)
        assert (await rival.accept(leg)).record == record
        assert await ledger.find(leg.id) == record

    async def test_same_call_to_all_replicas_at_once_is_one_call(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        record = call(now)
        saved = await asyncio.gather(*(lg.accept(record) for lg in (ledger, rival) * 10))
        assert sum(len(one.leases) for one in saved) == 1

    async def test_changes_of_two_replicas_both_count(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        record = (await ledger.accept(call(now))).record
        names = [f"leg{i}" + uuid4().hex for i in range(8)]
        await asyncio.gather(
            *(
                (ledger, rival)[i % 2].update(record.id, partial(add_alias, alias=name))
                for i, name in enumerate(names)
            )
        )
        found = await ledger.find(names[0])
        assert found is not None
        assert set(found.aliases) == {*record.aliases, *names}

    async def test_change_of_an_unknown_call_is_refused(self, ledger: Ledger) -> None:
        with pytest.raises(UnknownCallError):
            await ledger.update(uuid4().hex, lambda record: record)

    async def test_work_of_a_dead_replica_is_claimed_by_another_and_it_is_fenced(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        saved = await ledger.accept(call(now))
        await asyncio.sleep(LEASE_S * 1.5)
        taken = _of(await rival.claim(100), saved.record)
        assert [lease.work for lease in taken] == ["step:number"]
        assert taken[0].epoch > saved.leases[0].epoch
        done = partial(finish_step, name=NUMBER)
        with pytest.raises(FencedError):
            await ledger.update(saved.record.id, done, saved.leases[0])
        assert (await rival.update(saved.record.id, done, taken[0])).record.step(NUMBER).done

    async def test_renewed_work_stays_and_lost_work_is_told(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        kept, left = await ledger.accept(call(now)), await ledger.accept(call(now))
        for _ in range(4):
            await asyncio.sleep(LEASE_S / 3)
            assert not await ledger.renew(kept.leases)
        taken = await rival.claim(100)
        assert not _of(taken, kept.record)
        assert _of(taken, left.record)
        assert list(await ledger.renew(left.leases)) == list(left.leases)

    async def test_finished_work_is_not_claimed_again(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        saved = await ledger.accept(call(now))
        await ledger.update(saved.record.id, partial(finish_step, name=NUMBER), saved.leases[0])
        await asyncio.sleep(LEASE_S * 1.5)
        assert not _of(await rival.claim(100), saved.record)

    async def test_released_work_is_claimed_at_once(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        saved = await ledger.accept(call(now))
        await ledger.release(saved.leases)
        assert _of(await rival.claim(100), saved.record)

    async def test_queued_message_comes_leased_and_a_retry_waits_for_its_time(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        record = (await ledger.accept(call(now))).record
        queued = Message(TRACKING, "email", queued_at=now, due_at=now)
        saved = await ledger.update(record.id, lambda current: current.with_message(queued))
        assert [lease.work for lease in saved.leases] == ["message:tracking"]
        lease = saved.leases[0]
        await ledger.update(record.id, partial(sending, purpose=TRACKING), lease)
        later = partial(not_sent, purpose=TRACKING, reason="not_taken", retry_at=now + 0.5)
        await ledger.update(record.id, later, lease)
        assert not _of(await rival.claim(100), record, "message:")
        await asyncio.sleep(0.6)
        assert _of(await rival.claim(100), record, "message:")

    async def test_call_that_is_over_is_not_active_and_has_no_idle_end(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        record = (await ledger.accept(call(now, idle_at=now + 0.1))).record
        assert record.id in {active.id for active in await rival.active(200)}
        await ledger.update(record.id, partial(end, why=Over.ENDED, now=now))
        assert record.id not in {active.id for active in await rival.active(200)}
        await asyncio.sleep(0.2)
        assert not _of(await rival.claim(100), record, "idle")

    async def test_idle_end_falls_due_and_moves_with_the_call(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        quiet = (await ledger.accept(call(now, idle_at=now + 0.1))).record
        lively = (await ledger.accept(call(now, idle_at=now + 0.1))).record
        await ledger.update(lively.id, lambda current: replace(current, idle_at=now + 60))
        await asyncio.sleep(0.2)
        due = await rival.claim(100)
        assert _of(due, quiet, "idle")
        assert not _of(due, lively, "idle")

    async def test_trace_is_kept_in_order(self, ledger: Ledger, rival: Ledger, now: float) -> None:
        record = (await ledger.accept(call(now), [{"at": now, "event": "accepted"}])).record
        note = {"at": now + 1, "event": "call_ended"}
        await ledger.update(record.id, partial(end, why=Over.ENDED, now=now), notes=[note])
        assert [line["event"] for line in await rival.trace(record.id)] == [
            "accepted",
            "call_ended",
        ]

    async def test_due_work_is_counted(self, ledger: Ledger, now: float) -> None:
        await ledger.accept(call(now))
        held = await ledger.due()
        assert held["calls"][0] >= 1


def _of(leases: Sequence[Lease], record: Record, kind: str = "step:") -> list[Lease]:
    return [one for one in leases if one.call_id == record.id and one.work.startswith(kind)]

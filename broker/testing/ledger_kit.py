"""Conformance kit of the ledger: subclass it, give it a `ledger` and a `rival` on one store."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from broker.domain.customer import Customer
from broker.domain.errors import FencedError, StoreUnavailableError, UnknownCallError
from broker.domain.identities import Identity, joined
from broker.domain.messages import TRACKING, Message
from broker.domain.progress import bury, end, finish_step
from broker.domain.record import NUMBER, CallData, Over, Record, Step, add_alias
from broker.domain.sending import lost, not_sent, sending
from broker.ports import SUSPECT_TRIES, Erased, Position

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


def own_number() -> str:
    """A German number that no other test uses."""
    return f"+4930{10_000_000 + uuid4().int % 90_000_000}"


def call_from(caller: str, ledger_now: float) -> Record:
    """The same from this number."""
    made = call(ledger_now, steps=(Step(NUMBER, ledger_now, caller),))
    return replace(made, data=replace(made.data, from_=caller))


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

    async def pass_time(self, seconds: float) -> None:
        """So much later, for the store and both ledgers. Override it if their time can be set."""
        await asyncio.sleep(seconds)

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

    async def test_change_in_a_crowd_is_refused_for_now_and_never_as_taken_over(
        self, ledger: Ledger, now: float
    ) -> None:
        record = (await ledger.accept(call(now))).record
        results = await asyncio.gather(
            *(ledger.update(record.id, partial(add_alias, alias=uuid4().hex)) for _ in range(30)),
            return_exceptions=True,
        )
        refused = [result for result in results if isinstance(result, BaseException)]
        assert len(refused) < len(results)
        assert [error for error in refused if not isinstance(error, StoreUnavailableError)] == []

    async def test_change_of_what_was_read_is_made_on_the_newest_record(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        record = (await ledger.accept(call(now))).record
        known = await ledger.read(record.aliases[0])
        assert known is not None
        assert known.record == record
        mine, others = f"mine{uuid4().hex}", f"others{uuid4().hex}"
        await rival.update(record.id, partial(add_alias, alias=others))
        saved = await ledger.update(known, partial(add_alias, alias=mine))
        assert saved.record.aliases == (*record.aliases, others, mine)
        assert await rival.find(mine) == saved.record

    async def test_change_of_what_was_read_and_then_erased_is_refused(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        caller = own_number()
        record = (await ledger.accept(call_from(caller, now))).record
        known = await ledger.read(record.id)
        assert known is not None
        await rival.erase(caller)
        with pytest.raises(UnknownCallError):
            await ledger.update(known, partial(add_alias, alias=uuid4().hex))
        assert await rival.find(record.id) is None

    async def test_two_who_make_the_same_change_at_once_begin_its_work_once(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        record = (await ledger.accept(call(now))).record
        message = Message(TRACKING, "email", queued_at=now, due_at=now)
        known = await ledger.read(record.id)
        assert known is not None

        def change(before: Record) -> Record:
            same = before.message(TRACKING) is not None
            return before if same else before.with_message(message)

        saved = [await one.update(known, change) for one in (ledger, rival)]
        assert [len(one.leases) for one in saved] == [1, 0]
        assert saved[1].before == saved[1].record == saved[0].record

    async def test_change_of_an_unknown_call_is_refused(self, ledger: Ledger) -> None:
        with pytest.raises(UnknownCallError):
            await ledger.update(uuid4().hex, lambda record: record)

    async def test_work_of_a_dead_replica_is_claimed_by_another_and_it_is_fenced(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        saved = await ledger.accept(call(now))
        await self.pass_time(LEASE_S * 1.5)
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
            await self.pass_time(LEASE_S / 3)
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
        await self.pass_time(LEASE_S * 1.5)
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
        await self.pass_time(0.6)
        assert _of(await rival.claim(100), record, "message:")

    async def test_call_that_is_over_is_not_active_and_has_no_idle_end(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        record = (await ledger.accept(call(now, idle_at=now + 0.1))).record
        assert record.id in {active.id for active in await rival.active(200)}
        await ledger.update(record.id, partial(end, why=Over.ENDED, now=now))
        assert record.id not in {active.id for active in await rival.active(200)}
        await self.pass_time(0.2)
        assert not _of(await rival.claim(100), record, "idle")

    async def test_live_calls_are_those_that_are_not_over(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        before = await rival.live_calls()
        records = [(await ledger.accept(call(now))).record for _ in range(3)]
        assert await rival.live_calls() == before + 3
        await ledger.update(records[0].id, partial(end, why=Over.ENDED, now=now))
        assert await rival.live_calls() == before + 2

    async def test_calls_of_one_millisecond_are_all_listed_page_by_page(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        records = [(await ledger.accept(call(now))).record for _ in range(3)]
        records += [(await ledger.accept(call(now - 1))).record for _ in range(2)]
        listed: list[Record] = []
        while page := await rival.active(2, Position.of(listed[-1]) if listed else None):
            listed += page
        assert sorted(record.id for record in listed) == sorted(record.id for record in records)
        assert [record.received_at for record in listed] == [now] * 3 + [now - 1] * 2

    async def test_next_page_is_found_also_if_the_last_call_of_the_page_is_over(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        records = [(await ledger.accept(call(now))).record for _ in range(4)]
        first = await rival.active(2)
        await ledger.update(first[-1].id, partial(end, why=Over.ENDED, now=now))
        rest = await rival.active(2, Position.of(first[-1]))
        assert {record.id for record in (*first, *rest)} == {record.id for record in records}

    async def test_idle_end_falls_due_and_moves_with_the_call(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        quiet = (await ledger.accept(call(now, idle_at=now + 0.1))).record
        lively = (await ledger.accept(call(now, idle_at=now + 0.1))).record
        await ledger.update(lively.id, lambda current: replace(current, idle_at=now + 60))
        await self.pass_time(0.2)
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

    async def test_erased_call_is_unknown_to_everybody_by_every_id(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        caller = own_number()
        held = await ledger.accept(call_from(caller, now), [{"at": now, "event": "accepted"}])
        record = held.record
        assert await rival.erase(caller) == Erased(calls=1, links=0)
        assert await ledger.find(record.id) is None
        assert await ledger.find(record.aliases[0]) is None
        assert await ledger.trace(record.id) == []
        assert record.id not in {active.id for active in await ledger.active(200)}
        assert await rival.erase(caller) == Erased(calls=0, links=0)

    async def test_replica_that_holds_an_erased_call_can_never_write_it_back(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        caller = own_number()
        held = await ledger.accept(call_from(caller, now))
        await rival.erase(caller)
        with pytest.raises(UnknownCallError):
            await ledger.update(held.record.id, partial(finish_step, name=NUMBER), held.leases[0])
        assert list(await ledger.renew(held.leases)) == list(held.leases)
        await self.pass_time(LEASE_S * 1.5)
        assert not _of(await rival.claim(100), held.record)
        for repeat in (held.record, call(now, aliases=held.record.aliases)):
            with pytest.raises(UnknownCallError):
                await rival.accept(repeat)
        assert await ledger.find(held.record.id) is None

    async def test_customer_found_later_can_be_erased_by_address_and_numbers(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        for how in ("ada@shop.example", "+493023125777"):
            record = (await ledger.accept(call_from(own_number(), now))).record
            ada = Customer("c1", email=" Ada@Shop.example", phones=("030 23125777",))
            await ledger.update(record.id, lambda known, c=ada: replace(known, customer=c))  # type: ignore[misc]
            assert (await rival.erase(how)).calls == 1, how
            assert await ledger.find(record.id) is None

    async def test_who_came_back_under_another_number_or_address_can_be_erased_by_it(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        ada = {"whatsapp": own_number(), "email": f"{own_number()}@shop.example"}
        for kind, value in ada.items():
            record = (await ledger.accept(call_from(own_number(), now))).record
            identity = Identity.read(kind, value)
            assert identity is not None
            saved = await ledger.update(record.id, partial(joined, identity=identity))
            found = await rival.find(record.id)
            assert found == saved.record
            assert found.identities == (identity,)
            assert (await rival.erase(value)).calls == 1, kind
            assert await ledger.find(record.id) is None

    async def test_erasing_one_person_leaves_the_others_alone(
        self, ledger: Ledger, now: float
    ) -> None:
        erased, kept = own_number(), own_number()
        await ledger.accept(call_from(erased, now))
        other = (await ledger.accept(call_from(kept, now))).record
        await ledger.erase(erased)
        assert await ledger.find(other.id) == other

    async def test_everything_of_somebody_with_many_calls_is_erased(
        self, ledger: Ledger, now: float
    ) -> None:
        caller, calls = own_number(), 45
        for _ in range(calls):
            await ledger.accept(call_from(caller, now))
        assert (await ledger.erase(caller)).calls == calls

    async def test_due_work_is_counted(self, ledger: Ledger, now: float) -> None:
        await ledger.accept(call(now))
        held = await ledger.due()
        assert held["calls"].held >= 1

    async def test_failed_message_is_a_dead_letter_until_it_is_queued_again(
        self, ledger: Ledger, now: float
    ) -> None:
        record = (await ledger.accept(call(now))).record
        queued = Message(TRACKING, "email", queued_at=now, due_at=now)
        await ledger.update(record.id, lambda current: current.with_message(queued))
        dead = (await ledger.due())["messages"].dead
        refused = partial(not_sent, purpose=TRACKING, reason="refused")
        await ledger.update(record.id, refused)
        assert (await ledger.due())["messages"].dead == dead + 1
        await ledger.update(record.id, lambda current: current.with_message(queued))
        assert (await ledger.due())["messages"].dead == dead

    async def test_message_of_which_nobody_knows_is_a_dead_letter(
        self, ledger: Ledger, now: float
    ) -> None:
        record = (await ledger.accept(call(now))).record
        queued = Message(TRACKING, "email", queued_at=now, due_at=now)
        await ledger.update(record.id, lambda current: current.with_message(queued))
        await ledger.update(record.id, partial(sending, purpose=TRACKING))
        dead = (await ledger.due())["messages"].dead
        await ledger.update(record.id, partial(lost, purpose=TRACKING))
        assert (await ledger.due())["messages"].dead == dead + 1

    async def test_buried_step_is_a_dead_letter(self, ledger: Ledger, now: float) -> None:
        saved = await ledger.accept(call(now))
        dead = (await ledger.due())["calls"].dead
        await ledger.update(saved.record.id, partial(bury, work="step:number"), saved.leases[0])
        assert (await ledger.due())["calls"].dead == dead + 1

    async def test_dead_letter_is_listed_with_its_record_until_it_is_dropped(
        self, ledger: Ledger, now: float
    ) -> None:
        saved = await ledger.accept(call(now))
        await ledger.update(saved.record.id, partial(bury, work="step:number"), saved.leases[0])
        listed = {letter.id: letter for letter in await ledger.dead_letters()}
        letter = listed[f"{saved.record.id}/step:number"]
        assert letter.record is not None
        assert letter.record.id == saved.record.id
        assert await ledger.drop_dead(letter)
        assert not await ledger.drop_dead(letter)
        assert letter.id not in {left.id for left in await ledger.dead_letters()}

    async def test_takeovers_from_the_dead_are_counted(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        saved = await ledger.accept(call(now))
        tries = [lease.tries for lease in saved.leases]
        for _ in range(2):
            await self.pass_time(LEASE_S * 1.5)
            tries += [lease.tries for lease in _of(await rival.claim(100), saved.record)]
        assert tries == [0, 1, 2]

    async def test_work_that_may_kill_its_replica_is_taken_over_one_by_one(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        records = [(await ledger.accept(call(now))).record for _ in range(2)]
        for _ in range(SUSPECT_TRIES - 1):
            await self.pass_time(LEASE_S * 1.5)
            leases = await rival.claim(100)
            assert {lease.call_id for lease in leases} >= {record.id for record in records}
        await self.pass_time(LEASE_S * 1.5)
        first = await ledger.claim(100)
        await self.pass_time(LEASE_S / 2)
        assert not await ledger.claim(100, suspects=0)
        await self.pass_time(LEASE_S / 4)
        (second,) = await rival.claim(1)
        assert [lease.tries for lease in (*first, second)] == [SUSPECT_TRIES] * 2

    async def test_work_that_was_given_back_was_not_tried(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        saved = await ledger.accept(call(now))
        leases: Sequence[Lease] = saved.leases
        for _ in range(3):
            await ledger.release(leases)
            leases = _of(await rival.claim(100), saved.record)
            assert [lease.tries for lease in leases] == [0]

    async def test_message_that_was_put_off_keeps_its_time_when_it_is_given_back(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        saved = await ledger.accept(call(now))
        queued = Message(TRACKING, "email", queued_at=now, due_at=now)
        change = partial(Record.with_message, changed=queued)
        (lease,) = (await ledger.update(saved.record.id, change)).leases
        await ledger.update(saved.record.id, partial(sending, purpose=TRACKING), lease)
        later = partial(not_sent, purpose=TRACKING, reason="not_taken", retry_at=now + 9)
        await ledger.update(saved.record.id, later, lease)
        await ledger.release([lease])
        assert not _of(await rival.claim(100), saved.record, "message:")

    async def test_retry_of_a_message_is_not_a_takeover(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        record = (await ledger.accept(call(now))).record
        queued = Message(TRACKING, "email", queued_at=now, due_at=now)
        saved = await ledger.update(record.id, lambda current: current.with_message(queued))
        (lease,) = saved.leases
        for wait in (0.1, 0.2):
            later = partial(not_sent, purpose=TRACKING, reason="not_taken", retry_at=now + wait)
            await ledger.update(record.id, later, lease)
            await self.pass_time(0.15)
            (lease,) = _of(await rival.claim(100), record, "message:")
            assert lease.tries == 0

    async def test_end_of_a_quiet_call_is_not_a_takeover(
        self, ledger: Ledger, rival: Ledger, now: float
    ) -> None:
        record = (await ledger.accept(call(now, idle_at=now + 0.05))).record
        await self.pass_time(0.1)
        assert [lease.tries for lease in _of(await rival.claim(100), record, "idle")] == [0]


def _of(leases: Sequence[Lease], record: Record, kind: str = "step:") -> list[Lease]:
    return [one for one in leases if one.call_id == record.id and one.work.startswith(kind)]

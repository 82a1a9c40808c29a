"""Conformance kit of guards: what the ledger refuses, counts and keeps in the step that saves."""

from __future__ import annotations

import asyncio
import random
from copy import copy
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from broker.domain.consents import Consent
from broker.domain.customer import Customer
from broker.domain.errors import ForbiddenSendError
from broker.domain.evolve import evolve
from broker.domain.guards import (
    Cap,
    Forbidden,
    Guards,
    Mark,
    deflected_mark,
    in_conversation,
    opt_out_marks,
)
from broker.domain.messages import Message, MessageState
from broker.domain.people import hashed
from broker.domain.references import Limit
from broker.ports import Seen
from broker.testing.ledger_kit import call, call_from, own_number

if TYPE_CHECKING:
    from broker.domain.record import Record
    from broker.ports import Consents, Counters, History, Lease, Ledger, OptOuts

PURPOSE = "deflection"
WINDOW_S = 100.0


def queued(record: Record, now: float) -> Record:
    """With a message to send."""
    return record.with_message(Message(PURPOSE, "sms", queued_at=now, due_at=now))


def marked(record: Record) -> Record:
    """With the mark that its message is about to be handed over."""
    message = record.message(PURPOSE)
    if message is None or message.state is not MessageState.QUEUED:
        return record
    return record.with_message(
        evolve(message, state=MessageState.SENDING, attempts=message.attempts + 1)
    )


def capped(name: str, most: int, by: int = 1) -> Cap:
    return Cap(Limit(name, most, WINDOW_S), Forbidden.CAP_NUMBER, by)


class GuardsKit:
    """`interleavings`: how often STOP and send race each other."""

    interleavings = 200

    @pytest.fixture
    def ledger(self) -> Ledger:
        raise LookupError("a subclass gives the ledger under test")

    @pytest.fixture
    def opt_outs(self) -> OptOuts:
        raise LookupError("a subclass gives the opt-outs on the same store")

    @pytest.fixture
    def consents(self) -> Consents:
        raise LookupError("a subclass gives the consents on the same store")

    @pytest.fixture
    def counters(self) -> Counters:
        raise LookupError("a subclass gives the counters on the same store")

    @pytest.fixture
    def history(self) -> History:
        raise LookupError("a subclass gives the history on the same store")

    @pytest.fixture
    def now(self) -> float:
        raise LookupError("a subclass gives the time of the store")

    async def _queued(self, ledger: Ledger, now: float, caller: str | None = None) -> Lease:
        record = (await ledger.accept(call_from(caller or own_number(), now))).record
        saved = await ledger.update(record.id, partial(queued, now=now))
        (lease,) = saved.leases
        return lease

    async def test_nobody_who_has_opted_out_is_written_to(
        self, ledger: Ledger, opt_outs: OptOuts, now: float
    ) -> None:
        mobile, email = hashed(own_number()), hashed("ada@shop.example")
        lease = await self._queued(ledger, now)
        await opt_outs.stop([mobile], now)
        with pytest.raises(ForbiddenSendError) as refused:
            await ledger.update(lease.call_id, marked, lease, guards=Guards((email, mobile)))
        assert refused.value.reason == Forbidden.OPTED_OUT
        found = await ledger.find(lease.call_id)
        assert found is not None
        assert found.messages[0].state is MessageState.QUEUED
        await opt_outs.start([mobile])
        saved = await ledger.update(lease.call_id, marked, lease, guards=Guards((email, mobile)))
        assert saved.record.messages[0].state is MessageState.SENDING

    async def test_opt_out_counts_for_all_that_is_known_of_a_person(
        self, opt_outs: OptOuts, now: float
    ) -> None:
        mobile, email, other = (hashed(own_number()) for _ in range(3))
        await opt_outs.stop([mobile, email], now)
        assert await opt_outs.stopped([other, email])
        assert not await opt_outs.stopped([other])
        assert not await opt_outs.stopped([])
        await opt_outs.start([mobile, email])
        assert not await opt_outs.stopped([mobile, email])

    async def test_opt_out_survives_the_erasure_of_the_person(
        self, ledger: Ledger, opt_outs: OptOuts, now: float
    ) -> None:
        caller = own_number()
        await ledger.accept(call_from(caller, now))
        await opt_outs.stop([hashed(caller)], now)
        assert (await ledger.erase(caller)).calls == 1
        assert await opt_outs.stopped([hashed(caller)])

    async def test_opt_out_may_be_kept_with_a_change(
        self, ledger: Ledger, opt_outs: OptOuts, now: float
    ) -> None:
        person = hashed(own_number())
        lease = await self._queued(ledger, now)
        marks = Guards(marks=opt_out_marks((person,), now))
        await ledger.update(lease.call_id, marked, lease, guards=marks)
        assert await opt_outs.stopped([person])

    async def test_after_a_stop_was_recorded_no_send_is_ever_begun(
        self, ledger: Ledger, opt_outs: OptOuts, now: float
    ) -> None:
        """Three sends to one person and his STOP beside each other, each held up at random."""
        dice = random.Random(7)  # noqa: S311 - a game that can be played again
        ends: list[str] = []
        for _ in range(self.interleavings):
            person, told = hashed(own_number()), list[str]()
            leases = [await self._queued(ledger, now) for _ in range(3)]
            await asyncio.gather(
                _stop(opt_outs, person, now, dice.randrange(12), told),
                *(_send(ledger, one, person, dice.randrange(12), told) for one in leases),
            )
            stopped = told.index("stopped")
            for lease in leases:
                asked, end = told.index(f"ask {lease.call_id}"), _end_of(lease, told)
                assert asked < stopped or end == "refused", "begun after the STOP was recorded"
                found = await ledger.find(lease.call_id)
                state = found.messages[0].state if found is not None else None
                assert (state is MessageState.SENDING) is (end == "begun")
                ends.append(end)
        assert {"begun", "refused"} == set(ends), "no race: one of the two was always first"

    async def test_counters_have_room_for_so_much_and_no_more(
        self, ledger: Ledger, counters: Counters, now: float
    ) -> None:
        cap = capped(f"number:{uuid4().hex}", 5, by=2)
        for reason in (None, None, Forbidden.CAP_NUMBER):
            lease = await self._queued(ledger, now)
            assert await _refusal(ledger, lease, Guards(caps=(cap,))) == reason
        assert await counters.counted(cap.limit) == 4

    async def test_nothing_is_counted_if_one_counter_has_no_room(
        self, ledger: Ledger, counters: Counters, now: float
    ) -> None:
        free, full = capped(f"number:{uuid4().hex}", 9), capped(f"prefix:{uuid4().hex}", 0)
        lease = await self._queued(ledger, now)
        assert await _refusal(ledger, lease, Guards(caps=(free, full))) is not None
        assert await counters.counted(free.limit) == 0

    async def test_change_that_was_saved_already_is_not_counted_again(
        self, ledger: Ledger, counters: Counters, now: float
    ) -> None:
        """The answer was lost, and somebody has opted out since: it was begun all the same."""
        cap, lease = capped(f"number:{uuid4().hex}", 1), await self._queued(ledger, now)
        before = copy(lease)
        guards = Guards(caps=(cap,))
        await ledger.update(lease.call_id, marked, lease, guards=guards)
        repeated = await ledger.update(lease.call_id, marked, before, guards=guards)
        assert repeated.record.messages[0].attempts == 1
        await ledger.update(lease.call_id, marked, guards=guards)
        assert await counters.counted(cap.limit) == 1

    async def test_conversation_that_is_open_is_not_interrupted(
        self, ledger: Ledger, now: float
    ) -> None:
        person = hashed(own_number())
        opened = Guards(marks=(Mark(in_conversation(person), "1", 60.0),))
        guards = Guards(strangers=(person,))
        first, second = [await self._queued(ledger, now) for _ in range(2)]
        assert await _refusal(ledger, second, guards) is None
        await ledger.update(first.call_id, marked, first, guards=opened)
        third = await self._queued(ledger, now)
        assert await _refusal(ledger, third, guards) == Forbidden.CONVERSATION_OPEN

    async def test_consent_is_kept_with_the_change_and_never_twice(
        self, ledger: Ledger, consents: Consents, now: float
    ) -> None:
        number = own_number()
        record = (await ledger.accept(call_from(number, now))).record
        given = Consent(number, now, "key", "sms", record.id, key="1", prompt_version="v2")
        for _ in range(2):
            change = partial(_queued_once, now=now)
            await ledger.update(record.id, change, guards=Guards(consents=(given,)))
        assert [one async for one in consents.export() if one.number == number] == [given]
        assert await consents.has(hashed(number), now - 1)
        assert not await consents.has(hashed(number), now + 1)

    async def test_refused_change_keeps_no_consent(
        self, ledger: Ledger, opt_outs: OptOuts, consents: Consents, now: float
    ) -> None:
        number = own_number()
        record = (await ledger.accept(call_from(number, now))).record
        await opt_outs.stop([hashed(number)], now)
        given = Guards((hashed(number),), consents=(Consent(number, now, "key", "sms"),))
        with pytest.raises(ForbiddenSendError):
            await ledger.update(record.id, partial(queued, now=now), guards=given)
        assert not await consents.has(hashed(number), 0.0)

    async def test_every_consent_is_exported_from_its_time_on(
        self, ledger: Ledger, consents: Consents, now: float
    ) -> None:
        numbers = [own_number() for _ in range(4)]
        for number in numbers:
            for age in (200.0, 100.0):
                record = (await ledger.accept(call(now))).record
                one = Consent(number, now - age, "key", "sms", record.id)
                change = partial(queued, now=now)
                await ledger.update(record.id, change, guards=Guards(consents=(one,)))
        late = [one async for one in consents.export(now - 150) if one.number in numbers]
        every = [one async for one in consents.export() if one.number in numbers]
        assert sorted(one.number for one in late) == sorted(numbers)
        assert sorted(one.number for one in every) == sorted(numbers * 2)

    async def test_consents_of_an_erased_person_are_gone(
        self, ledger: Ledger, consents: Consents, now: float
    ) -> None:
        erased, kept = own_number(), own_number()
        for number in (erased, kept):
            for call_id in ("forgotten", None):
                record = (await ledger.accept(call_from(own_number(), now))).record
                given = Guards(consents=(Consent(number, now, "key", "sms", call_id),))
                await ledger.update(record.id, partial(queued, now=now), guards=given)
        await ledger.erase(erased)
        assert not await consents.has(hashed(erased), 0.0)
        assert [one async for one in consents.export() if one.number == erased] == []
        assert await consents.has(hashed(kept), 0.0)

    async def test_consent_is_erased_with_its_call_also_if_that_was_found_by_the_email(
        self, ledger: Ledger, consents: Consents, now: float
    ) -> None:
        number = own_number()
        ada = Customer("c1", email=f"{uuid4().hex}@shop.example")
        for customer in (ada, Customer("c2")):
            record = (await ledger.accept(call_from(number, now))).record
            await ledger.update(record.id, partial(evolve, customer=customer))
            given = Guards(consents=(Consent(number, now, "key", "sms", record.id),))
            await ledger.update(record.id, partial(queued, now=now), guards=given)
        await ledger.erase(ada.email or "")
        left = [one async for one in consents.export() if one.number == number]
        assert [one.call_id for one in left] == [record.id]

    async def test_first_call_in_the_window_is_told_and_told_again_for_the_same_call(
        self, history: History
    ) -> None:
        person = uuid4().hex
        for _ in range(2):
            assert (await history.note_call(person, "c1", WINDOW_S)).first_in_window
        for _ in range(2):
            assert not (await history.note_call(person, "c2", WINDOW_S)).first_in_window

    async def test_call_after_the_window_is_a_first_one_again(self, history: History) -> None:
        person = uuid4().hex
        await history.note_call(person, "c1", 0.02)
        await asyncio.sleep(0.05)
        assert (await history.note_call(person, "c2", 0.02)).first_in_window

    async def test_deflected_call_is_remembered_in_the_next_one(
        self, ledger: Ledger, history: History, now: float
    ) -> None:
        lease, caller = await self._queued(ledger, now), own_number()
        person = hashed(caller)
        deflected = Guards(marks=(deflected_mark(person, lease.call_id, WINDOW_S),))
        await ledger.update(lease.call_id, marked, lease, guards=deflected)
        same = await history.note_call(person, lease.call_id, WINDOW_S)
        later = await history.note_call(person, "c2", WINDOW_S)
        assert (same.deflected_before, later.deflected_before) == (False, True)
        await ledger.erase(caller)
        nobody = Seen(first_in_window=True, deflected_before=False)
        assert await history.note_call(person, "c3", WINDOW_S) == nobody


async def _stop(opt_outs: OptOuts, person: str, at: float, wait: int, told: list[str]) -> None:
    for _ in range(wait):
        await asyncio.sleep(0)
    await opt_outs.stop([person], at)
    told.append("stopped")


async def _send(ledger: Ledger, lease: Lease, person: str, wait: int, told: list[str]) -> None:
    for _ in range(wait):
        await asyncio.sleep(0)
    told.append(f"ask {lease.call_id}")
    refused = await _refusal(ledger, lease, Guards((person,)))
    told.append(f"{'begun' if refused is None else 'refused'} {lease.call_id}")


def _end_of(lease: Lease, told: list[str]) -> str:
    ends = (line.split() for line in told if line.endswith(lease.call_id))
    return next(word for word, _ in ends if word != "ask")


async def _refusal(ledger: Ledger, lease: Lease, guards: Guards) -> str | None:
    """Why the mark was refused; None if it was set."""
    try:
        await ledger.update(lease.call_id, marked, lease, guards=guards)
    except ForbiddenSendError as error:
        return error.reason
    return None


def _queued_once(record: Record, now: float) -> Record:
    return record if record.messages else queued(record, now)

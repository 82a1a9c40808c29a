"""The ledger's promises, asked alike of the in-process store and of a real Redis."""

from __future__ import annotations

import time
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest

from broker.domain.customer import Customer
from broker.domain.errors import FencedError, StoreUnavailableError, UnknownCallError
from broker.domain.messages import TRACKING, Message, MessageState
from broker.domain.people import hashed
from broker.domain.progress import bury, end, finish_step
from broker.domain.record import NUMBER, Over, Record, add_alias
from broker.domain.references import ReferenceLimits
from broker.domain.sending import sending
from broker.ports import Erased, Link
from broker.stores.clock import StoreClock
from broker.stores.codec import VERSION, encode
from broker.stores.ledger import RedisLedger
from broker.stores.shared import RedisCounters, RedisLinks
from broker.testing.fake_clock import SetClock
from broker.testing.ledger_kit import LEASE_S, LedgerKit, call, call_from, own_number
from tests.patient_store import PATIENCE_S, PatientStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.ports import Lease
    from broker.stores.connection import Store

V1 = Path(__file__).parents[1] / "fixtures" / "record-v1.json"
"""A call as the first version of the format kept it."""


def _ledger(store: Store, clock: StoreClock) -> RedisLedger:
    return RedisLedger(store, clock, lease_s=LEASE_S, retention_s=60, home_region="DE")


class _ReplacedMaster(PatientStore):
    """What it proves itself with is another server, which knows `calls`."""

    def __init__(self, store: Store, calls: Sequence[str]) -> None:
        super().__init__(store.client, store.prefix.strip("{}:"), timeout_s=PATIENCE_S)
        self._calls = calls

    async def stand_by_reads(self) -> None:
        for call_id in self._calls:
            if await self.client.exists(self.key("new", call_id)):
                await self.client.rename(self.key("new", call_id), self.key("call", call_id))


class TestLedger(LedgerKit):
    @pytest.fixture(autouse=True)
    def _clock(self) -> None:
        self.clock = SetClock()

    @pytest.fixture
    def ledger(self, store: Store) -> RedisLedger:
        return _ledger(store, self.clock)

    @pytest.fixture
    def rival(self, store: Store) -> RedisLedger:
        return _ledger(store, self.clock)

    @pytest.fixture
    def now(self) -> float:
        return self.clock.time()

    async def pass_time(self, seconds: float) -> None:
        await self.clock.sleep(seconds)

    async def test_every_key_ends_by_itself(
        self, store: Store, ledger: RedisLedger, now: float
    ) -> None:
        note = {"at": now, "event": "accepted"}
        for state in (MessageState.QUEUED, MessageState.FAILED):
            saved = await ledger.accept(call(now), [note])
            message = Message(TRACKING, "email", now, now + 9, state)
            change = partial(Record.with_message, changed=message)
            await ledger.update(saved.record.id, change, notes=[note])
        buried = partial(bury, work="step:number")
        await ledger.update(saved.record.id, buried, saved.leases[0])
        await ledger.claim(1)
        keys = [key async for key in store.client.scan_iter(match=f"{store.prefix}*")]
        kinds = {key.decode().removeprefix(store.prefix).partition(":")[0] for key in keys}
        assert kinds == {"call", "alias", "trace", "person", "due", "active", "dead"}
        assert [key for key in keys if await store.client.pttl(key) <= 0] == []

    async def test_work_that_its_record_does_not_need_is_taken_out(
        self, store: Store, ledger: RedisLedger, now: float
    ) -> None:
        saved = await ledger.accept(call(now))
        await ledger.update(saved.record.id, partial(finish_step, name=NUMBER), saved.leases[0])
        left_behind = f"{saved.record.id}|step:number"
        await store.client.zadd(store.key("due", "calls"), {left_behind: 1})
        claimed = await ledger.claim(100)
        assert [lease for lease in claimed if lease.member == left_behind] == []
        assert await store.client.zscore(store.key("due", "calls"), left_behind) is None
        assert await ledger.find(saved.record.id) is not None

    async def test_lost_record_comes_back_with_all_its_work(
        self, store: Store, ledger: RedisLedger, rival: RedisLedger, now: float
    ) -> None:
        saved = await ledger.accept(call(now))
        record, (lease,) = saved.record, saved.leases
        queued = Message(TRACKING, "email", queued_at=now, due_at=now)
        await ledger.update(record.id, partial(Record.with_message, changed=queued), lease)
        await self._forget_everything(store)
        assert await rival.find(record.id) is None
        done = await ledger.update(record.id, partial(finish_step, name=NUMBER), lease)
        assert await rival.find(record.aliases[0]) == done.record
        assert [active.id for active in await rival.active(9)] == [record.id]
        (taken,) = await rival.claim(9)
        assert taken.work == "message:tracking"
        assert taken.record.message(TRACKING) == queued

    async def test_whoever_held_other_work_of_a_restored_record_is_fenced(
        self, store: Store, ledger: RedisLedger, now: float
    ) -> None:
        saved = await ledger.accept(call(now))
        queued = Message(TRACKING, "email", queued_at=now, due_at=now)
        change = partial(Record.with_message, changed=queued)
        other = (await ledger.update(saved.record.id, change, saved.leases[0])).leases[0]
        await self._forget_everything(store)
        assert not await ledger.renew(saved.leases)
        with pytest.raises(FencedError):
            await ledger.update(saved.record.id, partial(sending, purpose=TRACKING), other)

    async def test_work_that_a_repeated_change_began_is_held_by_one(
        self, ledger: RedisLedger, rival: RedisLedger, now: float
    ) -> None:
        """The answer to the first was lost, and for longer than a lease nobody worked on it."""
        saved = await ledger.accept(call(now))
        queued = Message(TRACKING, "email", queued_at=now, due_at=now)
        change = partial(Record.with_message, changed=queued)
        await ledger.update(saved.record.id, change, copy(saved.leases[0]))
        await self.pass_time(LEASE_S * 1.1)
        await ledger.renew(saved.leases)
        (taken,) = await rival.claim(100)
        (begun,) = (await ledger.update(saved.record.id, change, saved.leases[0])).leases
        assert begun.work == taken.work == "message:tracking"
        mark = partial(sending, purpose=TRACKING)
        await ledger.update(saved.record.id, mark, begun)
        with pytest.raises(FencedError):
            await rival.update(saved.record.id, mark, taken)

    async def test_claim_that_the_store_has_forgotten_is_not_given_away_again(
        self, store: Store, ledger: RedisLedger, rival: RedisLedger, now: float
    ) -> None:
        """As after a failover: the new master knows nothing of it, and its work is due."""
        saved = await ledger.accept(call(now))
        key, due = store.key("call", saved.record.id), store.key("due", "calls")
        old, member = await store.client.hgetall(key), f"{saved.record.id}|step:number"
        await self.pass_time(LEASE_S * 1.1)
        (forgotten,) = await ledger.claim(9)
        await store.client.hset(key, mapping=dict(old.items()))
        await store.client.zadd(due, {member: 1})
        await self.pass_time(0.01)
        (taken,) = await rival.claim(9)
        assert taken.member == forgotten.member == member
        with pytest.raises(FencedError):
            await ledger.update(saved.record.id, partial(add_alias, alias="l1"), forgotten)
        await rival.update(saved.record.id, partial(add_alias, alias="l2"), taken)

    async def test_call_that_only_the_server_which_proves_itself_knows_is_found_and_changed(
        self, store: Store, ledger: RedisLedger, now: float
    ) -> None:
        """The master was replaced between the question and the proof."""
        known = [(await ledger.accept(call(now))).record.id for _ in range(2)]
        for call_id in known:
            await store.client.rename(store.key("call", call_id), store.key("new", call_id))
        found, changed = (_ledger(_ReplacedMaster(store, [i]), self.clock) for i in known)
        assert await found.find(known[0]) is not None
        await changed.update(known[1], partial(add_alias, alias="leg1"))

    async def test_older_state_of_a_record_is_brought_forward(
        self, store: Store, ledger: RedisLedger, rival: RedisLedger, now: float
    ) -> None:
        saved = await ledger.accept(call(now))
        key, (lease,) = store.key("call", saved.record.id), saved.leases
        old = await store.client.hgetall(key)
        await ledger.update(saved.record.id, partial(add_alias, alias="leg1"), lease)
        await store.client.hset(key, mapping=dict(old.items()))
        await ledger.update(saved.record.id, partial(add_alias, alias="leg2"), lease)
        found = await rival.find("leg1")
        assert found is not None
        assert found.aliases == (*saved.record.aliases, "leg1", "leg2")

    async def test_renewal_brings_a_lost_record_back(
        self, store: Store, ledger: RedisLedger, rival: RedisLedger, now: float
    ) -> None:
        saved = await ledger.accept(call(now))
        await self._forget_everything(store)
        assert await ledger.renew(saved.leases) == []
        assert await rival.find(saved.record.id) == saved.record
        assert await rival.claim(9) == []

    async def test_call_that_was_accepted_anew_is_not_overwritten(
        self, store: Store, ledger: RedisLedger, rival: RedisLedger, now: float
    ) -> None:
        saved = await ledger.accept(call(now))
        queued = Message(TRACKING, "email", queued_at=now, due_at=now)
        change = partial(Record.with_message, changed=queued)
        message = (await ledger.update(saved.record.id, change, saved.leases[0])).leases
        await self._forget_everything(store)
        anew = await rival.accept(saved.record)
        assert await ledger.renew(message) == list(message)
        assert len(anew.leases) == 1
        with pytest.raises(FencedError):
            await ledger.update(saved.record.id, partial(add_alias, alias="leg1"), saved.leases[0])

    async def test_erased_record_never_comes_back(
        self, store: Store, ledger: RedisLedger, rival: RedisLedger, now: float
    ) -> None:
        saved = await ledger.accept(call(now))
        await self._forget_everything(store)
        await store.client.set(store.key("erased", saved.record.id), "1", px=60_000)
        assert await ledger.renew(saved.leases) == [saved.leases[0]]
        with pytest.raises(UnknownCallError):
            await ledger.update(saved.record.id, partial(add_alias, alias="x1"), saved.leases[0])
        assert await rival.find(saved.record.id) is None

    @staticmethod
    async def _forget_everything(store: Store) -> None:
        """As a store that was restarted with less data does."""
        keys = [key async for key in store.client.scan_iter(match=f"{store.prefix}*")]
        await store.client.delete(*keys)

    async def test_record_of_the_version_before_is_read_and_saved(
        self, store: Store, ledger: RedisLedger
    ) -> None:
        document = V1.read_bytes()
        call_id = orjson.loads(document)["id"]
        await store.client.hset(store.key("call", call_id), mapping={"rev": 3, "doc": document})
        saved = await ledger.update(call_id, partial(add_alias, alias="leg1"))
        assert saved.record.customer is not None
        assert saved.record.step("reference-1").lookup == "found"
        assert await ledger.find(call_id) == saved.record

    async def test_record_of_a_newer_version_is_left_to_newer_replicas(
        self, store: Store, ledger: RedisLedger, rival: RedisLedger, now: float
    ) -> None:
        saved = await ledger.accept(call(now))
        key = store.key("call", saved.record.id)
        newer = encode(saved.record).replace(b'{"v":%d,' % VERSION, b'{"v":%d,' % (VERSION + 1))
        await store.client.hset(key, "doc", newer)
        await ledger.release(saved.leases)
        assert await rival.claim(100) == []
        assert await store.client.hmget(key, "ep:step:number", "doc") == [b"1", newer]
        assert (await rival.due())["calls"].dead == 0
        with pytest.raises(StoreUnavailableError, match="newer"):
            await rival.find(saved.record.id)
        with pytest.raises(StoreUnavailableError, match="newer"):
            await rival.accept(saved.record)

    async def test_page_of_live_calls_is_full_although_some_are_forgotten(
        self, store: Store, ledger: RedisLedger, rival: RedisLedger, now: float
    ) -> None:
        records = [(await ledger.accept(call(now - age))).record for age in range(4)]
        await store.client.delete(store.key("call", records[1].id))
        assert list(await rival.active(2)) == [records[0], records[2]]
        assert await store.client.zcard(store.key("active")) == 3

    async def test_record_that_nobody_can_read_is_a_dead_letter_and_kept(
        self, store: Store, ledger: RedisLedger, rival: RedisLedger, now: float
    ) -> None:
        saved = await ledger.accept(call(now))
        key = store.key("call", saved.record.id)
        await store.client.hset(key, "doc", b'{"v":2,"id":"+493023125001"}')
        await ledger.release(saved.leases)
        assert await rival.claim(100) == []
        due = (await rival.due())["calls"]
        assert due.dead == 1
        member = f"{saved.record.id}|step:number"
        assert await store.client.zscore(store.key("due", "calls"), member) is None
        with pytest.raises(StoreUnavailableError) as raised:
            await rival.find(saved.record.id)
        assert "+49" not in str(raised.value)

    async def test_of_an_erased_person_only_tombstones_without_data_are_left(
        self, store: Store, ledger: RedisLedger, now: float
    ) -> None:
        caller = own_number()
        record = call_from(caller, now)
        counters, links = RedisCounters(store), RedisLinks(store, self.clock)
        before = await _names(store)
        await ledger.accept(record, [{"at": now, "event": "accepted"}])
        await counters.reserve(ReferenceLimits().of(record)[:1])
        ada = Customer("c1", email="ada@shop.example", track_id="T-1")
        await ledger.update(record.id, lambda known: replace(known, customer=ada))
        await links.keep("0" * 64, Link("https://shop.example/T-1", now + 9e5), record.id)
        assert await ledger.erase(caller) == Erased(calls=1, links=1)
        erased = {f"erased:{one}" for one in (record.id, *record.aliases)}
        assert await _names(store) - before == erased
        assert {await store.client.get(store.key(name)) for name in erased} == {b"1"}
        with pytest.raises(UnknownCallError):
            await links.keep("1" * 64, Link("https://shop.example/T-1", now + 9e5), record.id)

    async def test_call_that_was_brought_back_can_be_erased(
        self, store: Store, ledger: RedisLedger, now: float
    ) -> None:
        caller = own_number()
        saved = await ledger.accept(call_from(caller, now))
        await self._forget_everything(store)
        assert not await ledger.renew(saved.leases)
        assert await store.client.pttl(store.key("person", hashed(caller))) > 0
        assert (await ledger.erase(caller)).calls == 1
        assert list(await ledger.renew(saved.leases)) == list(saved.leases)
        assert await ledger.find(saved.record.id) is None

    async def test_record_that_nobody_can_read_is_erased_too(
        self, store: Store, ledger: RedisLedger, now: float
    ) -> None:
        for document in (b"{", b"7", b'{"v":2,"aliases":7}'):
            caller = own_number()
            saved = await ledger.accept(call_from(caller, now))
            await store.client.hset(store.key("call", saved.record.id), "doc", document)
            await ledger.release(saved.leases)
            assert (await ledger.claim(100))[:1] == []
            assert (await ledger.erase(caller)).calls == 1, document
            assert await ledger.find(saved.record.id) is None
            assert (await ledger.due())["calls"].dead == 0

    async def test_link_is_erased_also_when_its_call_is_forgotten(
        self, store: Store, ledger: RedisLedger, now: float
    ) -> None:
        caller = own_number()
        record = (await ledger.accept(call_from(caller, now))).record
        links = RedisLinks(store, self.clock)
        await links.keep("2" * 64, Link("https://shop.example/T-1", now + 9e5), record.id)
        assert await links.find("2" * 64) is not None
        await store.client.delete(store.key("call", record.id))
        index = store.key("person", hashed(caller))
        assert await store.client.pttl(index) > 8e8, "it has to outlive the link"
        assert (await ledger.erase(caller)).links == 1
        assert await links.find("2" * 64) is None

    async def test_counter_of_a_caller_is_erased_also_when_his_calls_are_forgotten(
        self, store: Store, ledger: RedisLedger, now: float
    ) -> None:
        caller = own_number()
        limit = ReferenceLimits(failures_per_caller_per_day=1).of(call_from(caller, now))[:1]
        counters = RedisCounters(store)
        assert await counters.reserve(limit) is None
        assert await counters.reserve(limit) is not None
        await ledger.erase(caller)
        assert await counters.reserve(limit) is None

    async def test_person_index_lives_as_long_as_the_call_and_forgets_what_is_gone(
        self, store: Store, ledger: RedisLedger, now: float
    ) -> None:
        caller = own_number()
        record = (await ledger.accept(call_from(caller, now))).record
        index = store.key("person", hashed(caller))
        await store.client.zadd(index, {"call:gone": (now - 1) * 1000})
        await ledger.update(record.id, partial(end, why=Over.ENDED, now=now))
        assert await store.client.pttl(index) >= await store.client.pttl(
            store.key("call", record.id)
        )
        assert await store.client.zrange(index, 0, -1) == [f"call:{record.id}".encode()]


async def _names(store: Store) -> set[str]:
    """All keys of this test's store, but the indexes."""
    keys = [key async for key in store.client.scan_iter(match=f"{store.prefix}*")]
    return {key.decode().removeprefix(store.prefix) for key in keys} - {"due:calls", "active"}


@pytest.mark.parametrize("store", ["redis"], indirect=True)
class TestOnlyOnRedis:
    async def test_leases_end_by_the_time_of_the_store(self, store: Store) -> None:
        ledger, rival = _ledger(store, StoreClock()), _ledger(store, StoreClock())
        began = time.monotonic()
        saved = await ledger.accept(call(time.time()))
        taken: Sequence[Lease] = ()
        while not taken:
            taken = await rival.claim(100)
        assert [lease.call_id for lease in taken] == [saved.record.id]
        assert time.monotonic() - began >= LEASE_S

"""What may not be sent is refused in the step that would begin it, on both kinds of store."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

import pytest

from broker.domain.consents import CONSENTS_KEPT_S, Consent
from broker.domain.guards import OPT_OUT_KEPT_S, Guards, opt_out_marks
from broker.domain.people import hashed
from broker.stores.ledger import RedisLedger
from broker.stores.people import RedisConsents, RedisHistory, RedisOptOuts
from broker.stores.shared import RedisCounters
from broker.testing.fake_clock import SetClock
from broker.testing.guards_kit import WINDOW_S, GuardsKit, capped, queued
from broker.testing.ledger_kit import LEASE_S, call, own_number

if TYPE_CHECKING:
    from broker.stores.connection import Store

FULL = os.environ.get("CHAOS_SIZE") == "full"


class TestGuards(GuardsKit):
    interleavings = 10_000 if FULL else 150

    @pytest.fixture(autouse=True)
    def _clock(self) -> None:
        self.clock = SetClock()

    @pytest.fixture
    def now(self) -> float:
        return self.clock.time()

    @pytest.fixture
    def ledger(self, store: Store) -> RedisLedger:
        return RedisLedger(store, self.clock, lease_s=LEASE_S, retention_s=60, home_region="DE")

    @pytest.fixture
    def opt_outs(self, store: Store) -> RedisOptOuts:
        return RedisOptOuts(store)

    @pytest.fixture
    def consents(self, store: Store) -> RedisConsents:
        return RedisConsents(store)

    @pytest.fixture
    def counters(self, store: Store) -> RedisCounters:
        return RedisCounters(store)

    @pytest.fixture
    def history(self, store: Store) -> RedisHistory:
        return RedisHistory(store)

    async def test_every_key_ends_by_itself(
        self, store: Store, ledger: RedisLedger, now: float
    ) -> None:
        record = (await ledger.accept(call(now))).record
        given = Consent("+4915123456789", now, "key", "sms")
        marks = opt_out_marks(("p1",), now)
        guards = Guards(caps=(capped("number:n1", 9),), marks=marks, consents=(given,))
        await ledger.update(record.id, partial(queued, now=now), guards=guards)
        await RedisOptOuts(store).stop(["p2"], now)
        await RedisHistory(store).note_call("p1", record.id, WINDOW_S)
        ttls = {
            name: await store.client.pttl(store.key(name)) / 1000
            for name in ("optout:p1", "optout:p2", "limit:number:n1", "consents", "seen:p1")
        }
        ttls["of one"] = await store.client.pttl(store.key("consents", hashed(given.number))) / 1000
        kept = {"optout:p1": OPT_OUT_KEPT_S, "optout:p2": OPT_OUT_KEPT_S, "of one": CONSENTS_KEPT_S}
        kept |= {"limit:number:n1": WINDOW_S, "consents": CONSENTS_KEPT_S, "seen:p1": WINDOW_S}
        assert ttls == {name: pytest.approx(kept[name], abs=9) for name in ttls}

    async def test_old_consents_go_when_a_new_one_comes(
        self, ledger: RedisLedger, consents: RedisConsents, now: float
    ) -> None:
        for age in (CONSENTS_KEPT_S + 9, 9.0):
            record = (await ledger.accept(call(now))).record
            given = Consent("+4915123456789", now - age, "key", "sms")
            guards = Guards(consents=(given,))
            await ledger.update(record.id, partial(queued, now=now), guards=guards)
        assert [one async for one in consents.export()] == [given]

    async def test_consents_of_more_people_than_a_page_holds_are_exported(
        self, store: Store, ledger: RedisLedger, now: float
    ) -> None:
        numbers = [own_number() for _ in range(7)]
        for number in numbers:
            record = (await ledger.accept(call(now))).record
            guards = Guards(consents=(Consent(number, now, "key", "sms"),))
            await ledger.update(record.id, partial(queued, now=now), guards=guards)
        told = [one.number async for one in RedisConsents(store, page=2).export()]
        assert sorted(told) == sorted(numbers)

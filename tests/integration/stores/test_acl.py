"""A Redis user with the rights that docs/store.md asks for: enough for all we do, and no more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
from redis.exceptions import NoPermissionError

from broker.domain.call import Phone
from broker.domain.customer import Customer
from broker.domain.references import Limit
from broker.ports import Link, SharedToken
from broker.stores.connection import open_store
from broker.stores.customers import RedisCustomerCache
from broker.stores.ledger import RedisLedger
from broker.stores.people import RedisConsents, RedisHistory, RedisOptOuts, RedisTalks
from broker.stores.rate import RedisRate
from broker.stores.shared import RedisCounters, RedisLinks, RedisTokens
from broker.stores.tiers import RedisTierWords
from broker.testing.fake_clock import SetClock
from broker.testing.guards_kit import GuardsKit
from broker.testing.ledger_kit import LEASE_S, LedgerKit, call
from tests.patient_store import PATIENCE_S, PatientStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from broker.stores.connection import Store
    from tests.conftest import RedisServer

DOCS = Path(__file__).parents[3] / "docs" / "store.md"


def _rights() -> list[str]:
    """The words of the ACL line in the docs."""
    line = re.search(r"^ +ACL SETUSER broker .*$", DOCS.read_text(), re.MULTILINE)
    assert line is not None
    return [word for word in line[0].split()[3:] if not word.startswith(">")]


@pytest.fixture
async def limited(private_redis: RedisServer) -> AsyncIterator[Store]:
    """The store of the prefix in the docs, reached as that user."""
    with redis.Redis.from_url(private_redis.url) as root:
        root.execute_command("ACL SETUSER", "broker", *_rights(), ">s3cret")
    url = f"redis://broker:s3cret@127.0.0.1:{private_redis.port}/0"
    client = open_store(url, command_timeout_s=PATIENCE_S)
    store = PatientStore(client, "ivr", timeout_s=PATIENCE_S)
    yield store
    await store.aclose()


class TestLedgerOfALimitedUser(LedgerKit):
    @pytest.fixture(autouse=True)
    def _clock(self) -> None:
        self.clock = SetClock()

    @pytest.fixture
    def ledger(self, limited: Store) -> RedisLedger:
        return RedisLedger(limited, self.clock, lease_s=LEASE_S, retention_s=60)

    @pytest.fixture
    def rival(self, limited: Store) -> RedisLedger:
        return RedisLedger(limited, self.clock, lease_s=LEASE_S, retention_s=60)

    @pytest.fixture
    def now(self) -> float:
        return self.clock.time()

    async def pass_time(self, seconds: float) -> None:
        await self.clock.sleep(seconds)

    async def test_record_that_nobody_can_read_is_buried(
        self, limited: Store, ledger: RedisLedger, now: float
    ) -> None:
        saved = await ledger.accept(call(now))
        await limited.client.hset(limited.key("call", saved.record.id), "doc", "rubbish")
        await self.pass_time(LEASE_S)
        assert await ledger.claim(9) == []
        assert (await ledger.due())["calls"].dead == 1


class TestGuardsOfALimitedUser(GuardsKit):
    interleavings = 10

    @pytest.fixture
    def now(self) -> float:
        return SetClock().time()

    @pytest.fixture
    def ledger(self, limited: Store) -> RedisLedger:
        return RedisLedger(limited, SetClock(), lease_s=LEASE_S, retention_s=60)

    @pytest.fixture
    def opt_outs(self, limited: Store) -> RedisOptOuts:
        return RedisOptOuts(limited)

    @pytest.fixture
    def consents(self, limited: Store) -> RedisConsents:
        return RedisConsents(limited)

    @pytest.fixture
    def counters(self, limited: Store) -> RedisCounters:
        return RedisCounters(limited)

    @pytest.fixture
    def history(self, limited: Store) -> RedisHistory:
        return RedisHistory(limited)


async def test_limited_user_reads_what_the_profile_needs(limited: Store) -> None:
    assert await limited.check() == []
    await limited.ready()


async def test_limited_user_keeps_counters_links_tokens_rates_words_and_answers(
    limited: Store,
) -> None:
    clock = SetClock()
    ledger = RedisLedger(limited, clock, lease_s=LEASE_S, retention_s=60)
    known = await ledger.accept(call(clock.time()))
    counters, tokens = RedisCounters(limited), RedisTokens(limited, clock)
    links = RedisLinks(limited, clock)
    limit = Limit("caller:1", 1, 60.0)
    assert await counters.reserve([limit]) is None
    assert await counters.reserve([limit]) == limit
    await counters.refund([limit])
    assert await counters.first_use("key", "content", 60.0)
    assert not await counters.first_use("key", "other", 60.0)
    assert await tokens.reserve("shop", "me", 1.0)
    await tokens.keep("shop", SharedToken("t", 60.0, 60.0))
    await tokens.release("shop", "me")
    assert await tokens.find("shop") is not None
    link = Link("https://shop.example", clock.time() + 60)
    await links.keep("hash", link, known.record.id)
    assert await links.find("hash") == link
    rate = RedisRate(limited, clock, "crm.shop", 1.0)
    assert [await rate.take(9.0), await rate.take(9.0)] == [0.0, 1.0]
    await rate.pause(5.0)
    customers, caller = RedisCustomerCache(limited, clock), Phone.from_e164("+493023125001")
    asked_at = (await customers.recall("shop", caller)).at
    ada = (Customer("c1", email="ada@example.com"),)
    assert await customers.keep("shop", caller, ada, asked_at=asked_at, ttl_s=60.0)
    assert await customers.drop_customer("shop", "c1") == 1
    assert not await customers.keep("shop", caller, ada, asked_at=asked_at, ttl_s=60.0)
    words = RedisTierWords(limited)
    await words.count("shop", {"bronze": 1})
    assert await words.of("shop") == {"bronze": 1}


async def test_limited_user_keeps_who_wrote_to_us(limited: Store) -> None:
    talks = RedisTalks(limited, SetClock())
    await talks.spoke("whatsapp", ["person"], 60.0)
    assert await talks.open_for("whatsapp", "person") == pytest.approx(60.0, abs=0.01)
    assert await talks.open_for("sms", "person") == 0.0


@pytest.mark.parametrize(
    "command",
    ["SET other 1", "KEYS *", "FLUSHALL", "SCRIPT FLUSH", "CLIENT PAUSE 1", "CONFIG SET save 1"],
)
async def test_limited_user_can_do_no_more(command: str, limited: Store) -> None:
    with pytest.raises(NoPermissionError):
        await limited.client.execute_command(*command.split())  # type: ignore[no-untyped-call]

"""A tier that nobody mapped is counted, and no call waits for that."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from broker.domain.call import Phone
from broker.domain.customer import Customer, Folding
from broker.metrics import Metrics
from broker.stores.tiers import RedisTierWords
from broker.usecases.lookup import Lookup
from broker.usecases.tiers import HIDDEN, UnmappedTiers

if TYPE_CHECKING:
    from tests.unit.usecases.conftest import World

CALLER = Phone.from_e164("+493023125001")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def words(world: World) -> RedisTierWords:
    return RedisTierWords(world.store)


@pytest.fixture
def tiers(words: RedisTierWords, metrics: Metrics) -> UnmappedTiers:
    return UnmappedTiers(words, metrics)


def counted(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("broker_unmapped_tiers_total", {"crm": "shop"})


async def test_each_customer_with_such_a_tier_counts(
    world: World,
    premium: Customer,
    tiers: UnmappedTiers,
    words: RedisTierWords,
    metrics: Metrics,
) -> None:
    world.crm.add(replace(premium, premium=None, unmapped_tier="bronze"), CALLER.e164)
    world.crm.add(replace(premium, id="c9", premium=None, unmapped_tier="tin"), CALLER.e164)
    world.crm.add(replace(premium, id="c9"), "+493023125002")
    lookup = Lookup(world.crms, Folding(), world.clock, metrics, tiers=tiers)
    for phone in (CALLER, CALLER, Phone.from_e164("+493023125002")):
        await lookup.ask(phone).until(1.0)
    await tiers.aclose()
    assert counted(metrics) == 4
    assert await words.of("shop") == {"bronze": 2, "tin": 2}


@pytest.mark.parametrize(
    ("tier", "word"),
    [
        ("gold plus", "gold plus"),
        ("x" * 200, "x" * 64),
        ("ada@example.com", HIDDEN),
        ("+49 30 23125001", HIDDEN),
        ("tier 2026", "tier 2026"),
    ],
)
async def test_what_looks_personal_is_counted_but_not_kept(
    tiers: UnmappedTiers, words: RedisTierWords, tier: str, word: str
) -> None:
    tiers.saw("shop", tier)
    await tiers.aclose()
    assert await words.of("shop") == {word: 1}


async def test_a_store_that_is_away_costs_the_words_and_nothing_else(
    world: World, tiers: UnmappedTiers, words: RedisTierWords, metrics: Metrics
) -> None:
    world.store.away = True
    tiers.saw("shop", "bronze")
    await tiers.aclose()
    world.store.away = False
    tiers.saw("shop", "bronze")
    await asyncio.sleep(0.1)
    tiers.saw("shop", "bronze")
    await tiers.aclose()
    assert counted(metrics) == 3
    assert await words.of("shop") == {"bronze": 2}

"""What `broker check` can be told of unmapped tiers, in the process and on a real Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.stores.tiers import KEPT_S, MOST_WORDS, RedisTierWords

if TYPE_CHECKING:
    from broker.stores.connection import Store


async def test_words_are_counted_by_crm(store: Store) -> None:
    words = RedisTierWords(store)
    await words.count("shop", {"bronze": 2, "tin": 1})
    await words.count("shop", {"bronze": 1})
    await words.count("erp", {"bronze": 1})
    assert await words.of("shop") == {"bronze": 3, "tin": 1}
    assert await words.of("erp") == {"bronze": 1}
    assert await words.of("other") == {}


async def test_there_are_never_more_than_twenty_words_and_known_ones_still_count(
    store: Store,
) -> None:
    words = RedisTierWords(store)
    await words.count("shop", {f"tier {n}": 1 for n in range(30)})
    await words.count("shop", {"tier 0": 1, "tier 29": 1})
    kept = await words.of("shop")
    assert len(kept) == MOST_WORDS == 20
    assert kept["tier 0"] == 2


async def test_words_end_a_week_after_the_first_of_them(store: Store) -> None:
    words = RedisTierWords(store)
    key = store.key("tiers", "shop")
    await words.count("shop", {"bronze": 1})
    assert 0 < await store.client.pttl(key) <= KEPT_S * 1000
    await store.client.pexpire(key, 5000)
    await words.count("shop", {"bronze": 1})
    assert await store.client.pttl(key) <= 5000

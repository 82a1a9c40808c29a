"""Words for tiers that nobody mapped, kept where `broker check` finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.ports import TierWords

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.stores.connection import Store

MOST_WORDS = 20
"""Of one CRM. More of them are no tiers, but a field that holds something else."""
KEPT_S = 7 * 86_400


class RedisTierWords(TierWords):
    """See `TierWords`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def count(self, crm: str, seen: Mapping[str, int]) -> None:
        flat = [part for word, times in seen.items() for part in (word, times)]
        await self._store.run("tiers", [self._key(crm)], [MOST_WORDS, KEPT_S * 1000, *flat])

    async def of(self, crm: str) -> Mapping[str, int]:
        found = await self._store.call(self._store.client.hgetall(self._key(crm)))
        return {word.decode(): int(times) for word, times in found.items()}

    def _key(self, crm: str) -> str:
        return self._store.key("tiers", crm)

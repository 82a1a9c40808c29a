"""What replicas share besides calls: counters, used keys and tracking links."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import orjson

from broker.ports import Counters, Link, Links

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.domain.references import Limit
    from broker.ports import Clock
    from broker.stores.connection import Store


class RedisCounters(Counters):
    """See `Counters`. Keys are hashed: a counter's name may come from a caller's number."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def reserve(self, limits: Sequence[Limit]) -> Limit | None:
        if not limits:
            return None
        args = [part for limit in limits for part in (limit.most, round(limit.window_s * 1000))]
        full = await self._store.run("reserve", self._keys(limits), args)
        return limits[full - 1] if full else None

    async def refund(self, limits: Sequence[Limit]) -> None:
        if limits:
            await self._store.run("refund", self._keys(limits), [])

    async def first_use(self, key: str, content: str, ttl_s: float) -> bool:
        name, digest = self._store.key("used", _hashed(key)), _hashed(content)
        client = self._store.client
        if await self._store.call(client.set(name, digest, nx=True, px=round(ttl_s * 1000))):
            return True
        used = await self._store.call(client.get(name))
        return used is None or used.decode() == digest

    def _keys(self, limits: Sequence[Limit]) -> list[str]:
        return [self._store.key("limit", _hashed(limit.key)) for limit in limits]


class RedisLinks(Links):
    """See `Links`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def keep(self, token_hash: str, link: Link) -> None:
        ttl_ms = max(1, round((link.expires_at - self._clock.time()) * 1000))
        document = orjson.dumps(link)
        await self._store.call(
            self._store.client.set(self._store.key("link", token_hash), document, px=ttl_ms)
        )

    async def find(self, token_hash: str) -> Link | None:
        document = await self._store.call(
            self._store.client.get(self._store.key("link", token_hash))
        )
        if document is None:
            return None
        link = Link(**orjson.loads(document))
        return link if link.expires_at > self._clock.time() else None


def _hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:32]

"""What replicas share besides calls: counters, used keys, tracking links and tokens."""

from __future__ import annotations

import math
from hashlib import sha256
from typing import TYPE_CHECKING

import orjson

from broker.domain.errors import UnknownCallError
from broker.ports import Counters, Link, Links, SharedToken, TokenStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.domain.references import Limit
    from broker.ports import Clock
    from broker.stores.connection import Store


ENDLESS_TOKEN_S = 86_400.0
"""How long a token without an end is shared; then it is fetched again."""


class RedisCounters(Counters):
    """See `Counters`."""

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

    async def counted(self, limit: Limit) -> int:
        (key,) = self._keys([limit])
        return int(await self._store.call(self._store.client.get(key)) or 0)

    async def first_use(self, key: str, content: str, ttl_s: float) -> bool:
        # The key, which is not stored, salts the fingerprint: nobody can try numbers against it.
        name, digest = self._store.key("used", _hashed(key)), _hashed(f"{key} {content}")
        client = self._store.client
        if await self._store.call(client.set(name, digest, nx=True, px=round(ttl_s * 1000))):
            return True
        used = await self._store.call(client.get(name))
        return used is None or used.decode() == digest

    async def first_said(self, key: str, value: str, ttl_s: float) -> str:
        name, ms = self._store.key("said", _hashed(key)), round(ttl_s * 1000)
        client = self._store.client
        if await self._store.call(client.set(name, value, nx=True, px=ms)):
            return value
        said = await self._store.call(client.get(name))
        return value if said is None else str(said.decode())

    def _keys(self, limits: Sequence[Limit]) -> list[str]:
        return [self._store.key("limit", limit.key) for limit in limits]


class RedisLinks(Links):
    """See `Links`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def keep(self, token_hash: str, link: Link, call_id: str) -> None:
        ttl_ms = max(1, round((link.expires_at - self._clock.time()) * 1000))
        params = {
            "prefix": self._store.prefix,
            "now": round(self._clock.time() * 1000),
            "ttl": ttl_ms,
            "call": call_id,
            "token": token_hash,
        }
        keys = [self._store.key("link", token_hash)]
        if not await self._store.run("link", keys, [orjson.dumps(params), orjson.dumps(link)]):
            raise UnknownCallError("this call was erased")

    async def find(self, token_hash: str) -> Link | None:
        document = await self._store.call(
            self._store.client.hget(self._store.key("link", token_hash), "doc")
        )
        if document is None:
            return None
        link = Link(**orjson.loads(document))
        return link if link.expires_at > self._clock.time() else None


class RedisTokens(TokenStore):
    """See `TokenStore`. Redis holds the tokens as they are: whoever reads it may use them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def find(self, name: str) -> SharedToken | None:
        found = await self._store.call(self._store.client.get(self._store.key("token", name)))
        if found is None:
            return None
        text, life_s, expires_at = orjson.loads(found)
        if expires_at is None:
            return SharedToken(text, math.inf, math.inf)
        return SharedToken(text, life_s, expires_at - self._clock.time())

    async def keep(self, name: str, token: SharedToken) -> None:
        ends = math.isfinite(token.left_s)
        expires_at = self._clock.time() + token.left_s if ends else None
        document = orjson.dumps([token.text, token.life_s if ends else None, expires_at])
        ttl_ms = max(1, round((token.left_s if ends else ENDLESS_TOKEN_S) * 1000))
        key = self._store.key("token", name)
        await self._store.call(self._store.client.set(key, document, px=ttl_ms))

    async def reserve(self, name: str, owner: str, seconds: float) -> bool:
        key, ms = self._lock(name), round(seconds * 1000)
        return bool(await self._store.call(self._store.client.set(key, owner, nx=True, px=ms)))

    async def release(self, name: str, owner: str) -> None:
        await self._store.run("release", [self._lock(name)], [owner])

    def _lock(self, name: str) -> str:
        return self._store.key("token-lock", name)


def _hashed(text: str) -> str:
    return sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]

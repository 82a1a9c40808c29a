"""What replicas know of people for longer than a call: opt-outs, consents, earlier calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from broker.domain.consents import Consent
from broker.domain.guards import OPT_OUT_KEPT_S
from broker.ports import Consents, History, OptOuts, Seen, Talks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from broker.ports import Clock
    from broker.stores.connection import Store


class RedisOptOuts(OptOuts):
    """See `OptOuts`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def stop(self, people: Sequence[str], at: float) -> None:
        await self._opt(people, round(at * 1000))

    async def start(self, people: Sequence[str]) -> None:
        await self._opt(people, "")

    async def stopped(self, people: Sequence[str]) -> bool:
        if not people:
            return False
        return bool(await self._store.call(self._store.client.exists(*self._keys(people))))

    async def _opt(self, people: Sequence[str], at: int | str) -> None:
        if people:
            await self._store.run("opt", self._keys(people), [at, round(OPT_OUT_KEPT_S * 1000)])

    def _keys(self, people: Sequence[str]) -> list[str]:
        return [self._store.key("optout", person) for person in people]


class RedisConsents(Consents):
    """See `Consents`. `page` people are read at once: a long export keeps nobody waiting."""

    def __init__(self, store: Store, page: int = 1000) -> None:
        self._store = store
        self._page = page

    async def has(self, person: str, since: float) -> bool:
        key = self._store.key("consents", person)
        return bool(await self._store.call(self._store.client.zcount(key, since * 1000, "+inf")))

    async def export(self, since: float = 0.0) -> AsyncIterator[Consent]:
        for person in await self._people(since):
            key = self._store.key("consents", person)
            for line in await self._store.call(
                self._store.client.zrangebyscore(key, since * 1000, "+inf")
            ):
                yield Consent(**orjson.loads(line))

    async def _people(self, since: float) -> Sequence[str]:
        """All of them, page by page; a page begins at the time with which the last one ended.

        Whoever agrees once more meanwhile moves to the end, so places in the index do not last.
        """
        found: dict[str, float] = {}
        last, new = since * 1000, self._page
        while new:
            ties = sum(score == last for score in found.values())
            page: list[tuple[bytes, float]] = await self._store.call(
                self._store.client.zrangebyscore(
                    self._store.key("consents"),
                    last,
                    "+inf",
                    start=0,
                    num=self._page + ties,
                    withscores=True,
                )
            )
            before = len(found)
            for person, score in page:
                found[person.decode()] = last = score
            new = len(found) - before
        return list(found)


class RedisHistory(History):
    """See `History`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def note_call(self, person: str, call_id: str, window_s: float) -> Seen:
        keys = [self._store.key("seen", person), self._store.key("deflected", person)]
        first, deflected = await self._store.run("seen", keys, [call_id, round(window_s * 1000)])
        return Seen(bool(first), bool(deflected))


class RedisTalks(Talks):
    """See `Talks`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def spoke(self, channel: str, people: Sequence[str], seconds: float) -> None:
        until, kept = round((self._clock.time() + seconds) * 1000), round(seconds * 1000)
        keys = [self._store.key("talk", person) for person in people]
        await self._store.run("talk", keys, [channel, until, kept])

    async def open_for(self, channel: str, person: str) -> float:
        key = self._store.key("talk", person)
        until = await self._store.call(self._store.client.hget(key, channel))
        return max(0.0, int(until) / 1000 - self._clock.time()) if until is not None else 0.0

"""Whom numbers lead to by a reference that was typed from them, by the hash of the number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from pydantic import TypeAdapter

from broker.domain.learned import Learned
from broker.ports import LearnedNumbers

if TYPE_CHECKING:
    from broker.ports import Clock
    from broker.stores.connection import Store

ANSWERS_WITHIN_S = 0.05
"""It is read beside the lookup; nobody waits for it much longer."""
_LEARNED = TypeAdapter(Learned)


class RedisLearnedNumbers(LearnedNumbers):
    """See `LearnedNumbers`. An empty document says that nothing is to be known of the number."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def recall(self, person: str) -> Learned | None:
        asked = self._store.client.hget(self._key(person), "doc")
        document = await self._store.call(asked, within=ANSWERS_WITHIN_S)
        try:
            return _LEARNED.validate_json(document) if document else None
        except ValueError:  # its text shows the content
            return None

    async def learn(self, person: str, learned: Learned | None, call_id: str, ttl_s: float) -> bool:
        params: dict[str, Any] = {
            "prefix": self._store.prefix,
            "now": round(self._clock.time() * 1000),
            "ttl": max(1, round(ttl_s * 1000)),
            "call": call_id,
            "number": person,
        }
        if learned is not None:
            params["customer"] = learned.customer
        args = [orjson.dumps(params), orjson.dumps(learned)]
        return bool(await self._store.run("learn", [self._key(person)], args))

    async def forget(self, person: str, learned: Learned) -> None:
        params = {"prefix": self._store.prefix, "number": person}
        args = [orjson.dumps(params), orjson.dumps(learned)]
        await self._store.run("unlearn", [self._key(person)], args, within=ANSWERS_WITHIN_S)

    def _key(self, person: str) -> str:
        return self._store.key("learned", person)

"""What number lookups said of numbers, kept for all replicas: a hash and the kind of line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.domain.call import Line
from broker.domain.people import hashed
from broker.ports import KnownLine, LineBook

if TYPE_CHECKING:
    from broker.domain.call import Phone
    from broker.stores.connection import Store

ANSWERS_WITHIN_S = 0.1
"""A store that hangs must not use up the time of the message."""
_NOBODY_KNOWS = b"?"
_LINES = {line.value.encode(): line for line in Line}


class RedisLineBook(LineBook):
    """See `LineBook`. `erase.lua` deletes what is kept of a person's numbers."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def recall(self, phone: Phone) -> KnownLine | None:
        asked = self._store.client.get(self._key(phone))
        kept = await self._store.call(asked, within=ANSWERS_WITHIN_S)
        if kept is None or (kept != _NOBODY_KNOWS and kept not in _LINES):
            return None  # also what another version has written
        return KnownLine(_LINES.get(kept))

    async def keep(self, phone: Phone, line: Line | None, ttl_s: float) -> None:
        value = _NOBODY_KNOWS if line is None else line.value.encode()
        ttl_ms = max(1, round(ttl_s * 1000))
        await self._store.call(self._store.client.set(self._key(phone), value, px=ttl_ms))

    def _key(self, phone: Phone) -> str:
        return self._store.key("line", hashed(phone.e164))

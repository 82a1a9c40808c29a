"""What shadows were seen to do, in the store: counts for a month, differences beside their calls.

A difference lies in the hash of its call: whatever forgets or erases the call takes it along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from broker.domain.shadow import Comparison, Difference, Result, Tally
from broker.ports import ShadowBook

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.ports import Clock
    from broker.stores.connection import Store

TALLY_TTL_S = 30 * 86_400
"""After the last comparison."""
KEPT = 200
"""Differences that are listed for one CRM."""
TIMES = 1000
"""Durations of which the percentiles are taken."""
_RESULT, _FIELD = "result:", "field:"


class RedisShadowBook(ShadowBook):
    """See `ShadowBook`."""

    def __init__(self, store: Store, clock: Clock, *, retention_s: float) -> None:
        self._store = store
        self._clock = clock
        self._retention_ms = round(retention_s * 1000)

    async def note(self, crm: str, call_id: str, step: str, seen: Comparison) -> None:
        answered = {} if seen.result is Result.ERROR else {"ms": seen.ms}
        params = {
            "now": round(self._clock.time() * 1000),
            "ttl": TALLY_TTL_S * 1000,
            "retention": self._retention_ms,
            "counted": [_RESULT + seen.result, *(_FIELD + name for name in seen.fields)],
            "times": TIMES,
            "most": KEPT,
            "member": f"{call_id}|{step}",
            "field": _difference(crm, step),
            **answered,
        }
        document = orjson.dumps(seen) if seen.telling else b""
        keys = [*self._keys(crm), self._call(call_id)]
        await self._store.run("shadow", keys, [orjson.dumps(params), document])

    async def tally(self, crm: str) -> Tally:
        tally, times, _ = self._keys(crm)
        pipeline = self._store.client.pipeline(transaction=False)
        pipeline.hgetall(tally)
        pipeline.lrange(times, 0, -1)
        raw, durations = await self._store.call(pipeline.execute())
        counts = {name.decode(): int(count) for name, count in raw.items()}
        since = counts.pop("since", None)
        return Tally(
            since / 1000 if since is not None else None,
            _part(counts, _RESULT),
            _part(counts, _FIELD),
            tuple(int(ms) for ms in durations),
        )

    async def differences(self, crm: str) -> Sequence[Difference]:
        index = self._keys(crm)[2]
        client = self._store.client
        found = await self._store.call(client.zrevrange(index, 0, -1, withscores=True))
        steps = [(*member.decode().split("|", 1), at / 1000) for member, at in found]
        pipeline = client.pipeline(transaction=False)
        for call_id, step, _ in steps:
            pipeline.hget(self._call(call_id), _difference(crm, step))
        documents = await self._store.call(pipeline.execute()) if steps else []
        return [
            Difference(at, call_id, step, _comparison(document))
            for (call_id, step, at), document in zip(steps, documents, strict=True)
            if document is not None
        ]

    async def forget(self, crm: str) -> None:
        await self._store.call(self._store.client.delete(*self._keys(crm)))

    def _keys(self, crm: str) -> list[str]:
        key = self._store.key
        return [key("shadow", crm), key("shadow_times", crm), key("shadow_calls", crm)]

    def _call(self, call_id: str) -> str:
        return self._store.key("call", call_id)


def _difference(crm: str, step: str) -> str:
    """The field of the call's hash."""
    return f"shadow:{crm}:{step}"


def _comparison(document: bytes) -> Comparison:
    known = orjson.loads(document)
    fields = {name: (one, other) for name, (one, other) in known["fields"].items()}
    return Comparison(Result(known["result"]), known["ms"], fields)


def _part(counts: Mapping[str, int], kind: str) -> dict[str, int]:
    return {name.removeprefix(kind): n for name, n in counts.items() if name.startswith(kind)}

"""The ledger on Redis: every change of a call is one compare-and-set of its whole record.

Which work a call still needs follows from the record itself (`_works`): the difference between
the record before and after a change is what the script moves in the sorted sets.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from broker.domain.errors import FencedError, UnknownCallError
from broker.ports import Lease, Ledger, Saved
from broker.stores.codec import decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from broker.domain.record import Record
    from broker.ports import Note
    from broker.stores.clock import StoreClock
    from broker.stores.connection import Store

log = structlog.get_logger("broker.ledger")
ACCEPT_WITHIN_S = 0.15
"""An accept that the store does not confirm in this time is refused, retries included."""
RENEW_CHUNK = 100
_TRIES = 20
_CALLS, _MESSAGES = "calls", "messages"
_SAVED, _UNKNOWN, _FENCED = 1, -1, -2


class RedisLedger(Ledger):
    """See `Ledger`. `retention_s` after its last change a call is forgotten."""

    def __init__(
        self, store: Store, clock: StoreClock, *, lease_s: float, retention_s: float
    ) -> None:
        self._store = store
        self._clock = clock
        self._lease_ms = round(lease_s * 1000)
        self._ttl_ms = round(retention_s * 1000)

    async def accept(self, record: Record, notes: Sequence[Note] = ()) -> Saved:
        works = [work for work, due in _works(record).items() if due is None]
        asked_at = self._clock.monotonic()
        params = {
            "id": record.id,
            "nonce": secrets.token_hex(8),
            "ttl": self._ttl_ms,
            "idle": _ms(record.idle_at),
            "received": _ms(record.received_at),
            "works": works,
            "aliases": record.aliases,
            "notes": _lines(notes),
        }
        answer = await self._run(
            "accept", [self._call(record.id)], params, encode(record), within=ACCEPT_WITHIN_S
        )
        self._clock.follow(answer[1], asked_at)
        if answer[0] == _SAVED:
            leases = tuple(self._lease(record, work, 1, 1, asked_at) for work in works)
            return Saved(record, record, leases)
        known = decode(answer[4])
        return Saved(known, known)

    async def find(self, any_id: str) -> Record | None:
        found = await self._load(any_id)
        return found[1] if found else None

    async def _load(self, any_id: str) -> tuple[int, Record] | None:
        rev, doc = await self._store.call(
            self._store.client.hmget(self._call(any_id), ["rev", "doc"])
        )
        if doc is None:
            alias = self._store.key("alias", any_id)
            owner = await self._store.call(self._store.client.get(alias))
            if owner is None or owner.decode() == any_id:
                return None
            return await self._load(owner.decode())
        return int(rev), decode(doc)

    async def update(
        self,
        call_id: str,
        change: Callable[[Record], Record],
        lease: Lease | None = None,
        notes: Sequence[Note] = (),
    ) -> Saved:
        known = (lease.revision, lease.record) if lease else await self._load(call_id)
        if known is None:
            raise UnknownCallError("no record of this call")
        revision, before = known
        for _ in range(_TRIES):
            after = change(before)
            if after == before and not notes:
                return Saved(before, before)
            asked_at = self._clock.monotonic()
            moved = _moved(before, after)
            answer = await self._commit(revision, after, lease, notes, moved)
            if answer[0] == _SAVED:
                self._refresh(lease, answer[2], after)
                leases = tuple(
                    self._lease(after, work, epoch, answer[2], asked_at)
                    for (_, work), epoch in zip(moved["begin"], answer[3:], strict=True)
                )
                return Saved(before, after, leases)
            revision, before = answer[2], decode(answer[3])
            self._refresh(lease, revision, before)
        raise FencedError("the record changes faster than it can be saved")

    async def _commit(
        self,
        revision: int,
        record: Record,
        lease: Lease | None,
        notes: Sequence[Note],
        moved: Mapping[str, Any],
    ) -> Any:
        params = {
            "id": record.id,
            "revision": revision,
            "ttl": self._ttl_ms,
            "notes": _lines(notes),
            **moved,
        }
        if lease is not None:
            params |= {"work": lease.work, "epoch": lease.epoch}
        asked_at = self._clock.monotonic()
        answer = await self._run("commit", [self._call(record.id)], params, encode(record))
        self._clock.follow(answer[1], asked_at)
        if answer[0] == _UNKNOWN:
            raise UnknownCallError("no record of this call")
        if answer[0] == _FENCED:
            raise FencedError("taken over by another replica")
        return answer

    @staticmethod
    def _refresh(lease: Lease | None, revision: int, record: Record) -> None:
        if lease is not None:
            lease.revision, lease.record = revision, record

    async def claim(self, limit: int) -> Sequence[Lease]:
        asked_at = self._clock.monotonic()
        answer = await self._run("claim", self._due_sets(), {"limit": limit})
        self._clock.follow(answer[0], asked_at)
        leases: list[Lease] = []
        for call_id, work, epoch, rev, doc in answer[1:]:
            record = _readable(doc, call_id.decode())
            if record is not None:
                leases.append(self._lease(record, work.decode(), epoch, rev, asked_at))
        return leases

    async def renew(self, leases: Sequence[Lease]) -> Sequence[Lease]:
        lost: list[Lease] = []
        for start in range(0, len(leases), RENEW_CHUNK):
            chunk = leases[start : start + RENEW_CHUNK]
            asked_at = self._clock.monotonic()
            for lease, ours in zip(chunk, await self._extend(chunk, self._lease_ms), strict=True):
                if ours:
                    lease.expires = asked_at + self._lease_ms / 1000
                else:
                    lost.append(lease)
        return lost

    async def release(self, leases: Sequence[Lease]) -> None:
        for start in range(0, len(leases), RENEW_CHUNK):
            await self._extend(leases[start : start + RENEW_CHUNK], 0)

    async def _extend(self, leases: Sequence[Lease], by_ms: int) -> Sequence[int]:
        held = [
            (2 if _set_of(lease.work) == _MESSAGES else 1, lease.call_id, lease.work, lease.epoch)
            for lease in leases
        ]
        params = {"by": by_ms, "leases": held}
        asked_at = self._clock.monotonic()
        answer: list[int] = await self._run("extend", self._due_sets(), params)
        self._clock.follow(answer[0], asked_at)
        return answer[1:]

    async def active(self, limit: int, before: float | None = None) -> Sequence[Record]:
        newest = "+inf" if before is None else f"({_ms(before)}"
        client, index = self._store.client, self._store.key("active")
        ids = await self._store.call(
            client.zrevrangebyscore(index, newest, "-inf", start=0, num=limit)
        )
        pipeline = client.pipeline(transaction=False)
        for call_id in ids:
            pipeline.hget(self._call(call_id.decode()), "doc")
        documents = await self._store.call(pipeline.execute()) if ids else []
        forgotten = [i for i, doc in zip(ids, documents, strict=True) if doc is None]
        if forgotten:
            await self._store.call(client.zrem(index, *forgotten))
        known = [(i, doc) for i, doc in zip(ids, documents, strict=True) if doc is not None]
        records = [_readable(doc, call_id.decode()) for call_id, doc in known]
        return [record for record in records if record is not None]

    async def trace(self, call_id: str) -> Sequence[Note]:
        lines = await self._store.call(self._store.client.lrange(self._trace(call_id), 0, -1))
        return [orjson.loads(line) for line in lines]

    async def due(self) -> Mapping[str, tuple[int, float]]:
        pipeline = self._store.client.pipeline(transaction=False)
        for name in ("calls", "messages"):
            pipeline.zcard(self._store.key("due", name))
            pipeline.zrange(self._store.key("due", name), 0, 0, withscores=True)
        held, first, queued, next_ = await self._store.call(pipeline.execute())
        return {"calls": (held, self._age(first)), "messages": (queued, self._age(next_))}

    def _age(self, first: Sequence[tuple[bytes, float]]) -> float:
        return max(0.0, self._clock.time() - first[0][1] / 1000) if first else 0.0

    async def ping(self) -> None:
        await self._extend([], 0)

    async def _run(
        self,
        script: str,
        keys: Sequence[str],
        params: Mapping[str, Any],
        *documents: bytes,
        within: float | None = None,
    ) -> Any:
        """The script's answer. Its parameters travel as one JSON argument: packing many is slow."""
        common: dict[str, Any] = {"prefix": self._store.prefix, "lease": self._lease_ms}
        if self._clock.fixed_ms is not None:
            common["now"] = self._clock.fixed_ms
        packed = orjson.dumps({**common, **params})
        return await self._store.run(script, keys, [packed, *documents], within=within)

    def _lease(
        self, record: Record, work: str, epoch: int, revision: int, asked_at: float
    ) -> Lease:
        return Lease(
            record.id, work, epoch, record, revision, expires=asked_at + self._lease_ms / 1000
        )

    def _call(self, call_id: str) -> str:
        return self._store.key("call", call_id)

    def _trace(self, call_id: str) -> str:
        return self._store.key("trace", call_id)

    def _due_sets(self) -> list[str]:
        return [self._store.key("due", _CALLS), self._store.key("due", _MESSAGES)]


def _readable(document: bytes, call_id: str) -> Record | None:
    """The record; None, and a line in the log, for what a newer version or a fault has written."""
    try:
        return decode(document)
    except ValueError as error:
        log.error("record_unreadable", call=call_id, error=type(error).__name__)  # noqa: TRY400
        return None


def _works(record: Record) -> dict[str, float | None]:
    """The work a call needs now -> when it is due (None = at once, by whoever saves this)."""
    works: dict[str, float | None] = {
        f"step:{step.name}": None for step in record.steps if not step.done
    }
    for message in record.messages:
        if message.state.pending:
            waiting = message.due_at > message.queued_at
            works[f"message:{message.purpose}"] = message.due_at if waiting else None
    if record.over is None:
        works["idle"] = record.idle_at
    return works


def _moved(before: Record, after: Record) -> dict[str, Any]:
    """What the commit script has to move: work that begins here, is due later, or is done."""
    had, has = _works(before), _works(after)
    return {
        "begin": [(_set_of(w), w) for w, due in has.items() if due is None and w not in had],
        "due": [
            (_set_of(work), work, _ms(due))
            for work, due in has.items()
            if due is not None and had.get(work) != due
        ],
        "drop": [(_set_of(work), work) for work in had if work not in has],
        "alias": [alias for alias in after.aliases if alias not in before.aliases],
        "over": after.over is not None and before.over is None,
    }


def _set_of(work: str) -> str:
    return _MESSAGES if work.startswith("message:") else _CALLS


def _lines(notes: Sequence[Note]) -> list[str]:
    return [orjson.dumps(note).decode() for note in notes]


def _ms(seconds: float) -> int:
    return round(seconds * 1000)

"""The ledger on Redis: every change of a call is one compare-and-set of its whole record.

Which work a call still needs follows from the record itself (`works.py`): the difference between
the record before and after a change is what the script moves in the sorted sets.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from broker.domain.consents import CONSENTS_KEPT_S
from broker.domain.errors import FencedError, StoreUnavailableError, UnknownCallError
from broker.domain.messages import is_ours
from broker.domain.people import hashed, people_of
from broker.ports import (
    SUSPECT_TRIES,
    DeadLetter,
    Due,
    Erased,
    Known,
    Lease,
    Ledger,
    Position,
    Saved,
)
from broker.stores.codec import VERSION, decode, encode
from broker.stores.guards import guard_params, refuse_forbidden
from broker.stores.works import (
    CALLS,
    MESSAGES,
    in_ms,
    longer_known,
    moved_by,
    set_of,
    works_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from broker.domain.guards import Guards
    from broker.domain.record import Record
    from broker.ports import Note
    from broker.stores.clock import StoreClock
    from broker.stores.connection import Store

log = structlog.get_logger("broker.ledger")
ACCEPT_WITHIN_S = 0.15
"""An accept that the store does not confirm in this time is refused, retries included."""
RENEW_CHUNK = 100
ERASE_CHUNK = 20
"""Calls and links that are erased in one script, so that no other one waits for long."""
_TRIES = 20
_SAVED, _UNKNOWN, _FENCED, _BEHIND = 1, -1, -2, -3


class RedisLedger(Ledger):
    """See `Ledger`. `retention_s` after its last change a call is forgotten.

    A consent is kept for `consents_kept_s`. In `home_region` a CRM's national
    numbers are read, if the caller's country is not known.
    """

    def __init__(
        self,
        store: Store,
        clock: StoreClock,
        *,
        lease_s: float,
        retention_s: float,
        home_region: str | None = None,
        consents_kept_s: float = CONSENTS_KEPT_S,
    ) -> None:
        self._store = store
        self._clock = clock
        self._lease_ms = round(lease_s * 1000)
        self._ttl_ms = round(retention_s * 1000)
        self._home_region = home_region
        self._consents_kept_ms = in_ms(consents_kept_s)

    async def accept(self, record: Record, notes: Sequence[Note] = ()) -> Saved:
        works = [work for work, due in works_of(record).items() if due is None]
        asked_at = self._clock.monotonic()
        params = {
            "id": record.id,
            "nonce": secrets.token_hex(8),
            "ttl": self._ttl_ms,
            "idle": in_ms(record.idle_at),
            "received": in_ms(record.received_at),
            "works": [(set_of(work), work) for work in works],
            "live": record.over is None,
            "aliases": record.aliases,
            "notes": _lines(notes),
            "people": people_of(record, self._home_region),
        }
        answer = await self._run(
            "accept", [self._call(record.id)], params, encode(record), within=ACCEPT_WITHIN_S
        )
        self._clock.follow(answer[1], asked_at)
        if answer[0] == _SAVED:
            nonce = str(params["nonce"])
            leases = tuple(self._lease(record, work, 1, 1, asked_at, nonce) for work in works)
            return Saved(record, record, leases)
        if answer[0] == _UNKNOWN:
            raise UnknownCallError("this call was erased")
        known = decode(answer[4])
        return Saved(known, known)

    async def read(self, any_id: str) -> Known | None:
        found = await self._found(any_id)
        if found is None:
            await self._store.stand_by_reads()
            # The proof may have come from another server than the answer: from the new master.
            found = await self._found(any_id)
        return found

    async def _of(self, any_id: str) -> Known:
        known = await self.read(any_id)
        if known is None:
            raise UnknownCallError("no record of this call")
        return known

    async def _found(self, any_id: str) -> Known | None:
        """In one step, whether it is the call's own id or an alias."""
        keys = [self._call(any_id), self._store.key("alias", any_id)]
        found = await self._store.run("find", keys, [self._store.prefix, int(is_ours(any_id))])
        if found is None:
            return None
        revision, document, nonce = found
        return Known(decode(document), int(revision), (nonce or b"").decode())

    async def update(
        self,
        call: str | Known,
        change: Callable[[Record], Record],
        lease: Lease | None = None,
        notes: Sequence[Note] = (),
        *,
        guards: Guards | None = None,
    ) -> Saved:
        known = lease.known if lease is not None else call
        if isinstance(known, str):
            known = await self._of(known)
        revision, before, nonce = known.revision, known.record, known.nonce
        by = {"by": secrets.token_hex(8)} if lease is None else {}
        for _ in range(_TRIES):
            after = change(before)
            if (guards is not None or not notes) and after == before:  # comparing is what costs
                await self._store.stand_by_reads()
                return Saved(before, before)
            asked_at = self._clock.monotonic()
            moved = self._with_people(before, after, lease) | by
            moved |= guard_params(guards, self._consents_kept_ms)
            answer = await self._commit(revision, after, lease, notes, moved)
            refuse_forbidden(guards, answer)
            if answer[0] == _SAVED:
                self._refresh(lease, answer[2], after)
                leases = tuple(
                    self._lease(after, work, epoch, answer[2], asked_at, nonce)
                    for (_, work), epoch in zip(moved["begin"], answer[3:], strict=True)
                )
                return Saved(before, after, leases)
            if answer[0] == _BEHIND and lease is not None:
                await self._restore(lease)
                continue
            revision, before = answer[2], decode(answer[3])
            self._refresh(lease, revision, before)
        raise StoreUnavailableError("store: the record changes faster than it can be saved", 1.0)

    def _with_people(self, before: Record, after: Record, lease: Lease | None) -> dict[str, Any]:
        """What moves, and whose data the record holds if that is news."""
        moved = moved_by(before, after, lease.work if lease is not None else None)
        if longer_known(before, after):
            people = people_of(after, self._home_region)
            moved |= {"people": people, "idle": in_ms(after.idle_at)}
        return moved

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
            params |= {"work": lease.work, "epoch": lease.epoch, "nonce": lease.nonce}
        asked_at = self._clock.monotonic()
        answer = await self._run("commit", [self._call(record.id)], params, encode(record))
        self._clock.follow(answer[1], asked_at)
        return _checked(answer)

    async def _restore(self, lease: Lease) -> None:
        """The store has lost what this lease knows: bring it back, unless it is no longer ours."""
        record = lease.record
        params = {
            "id": record.id,
            "nonce": lease.nonce,
            "revision": lease.revision,
            "work": lease.work,
            "epoch": lease.epoch,
            "ttl": self._ttl_ms,
            "works": [(set_of(w), w, in_ms(due or 0)) for w, due in works_of(record).items()],
            "aliases": record.aliases,
            "received": in_ms(record.received_at),
            "over": record.over is not None,
            "people": people_of(record, self._home_region),
            "idle": in_ms(record.idle_at),
        }
        asked_at = self._clock.monotonic()
        answer = await self._run("restore", [self._call(record.id)], params, encode(record))
        self._clock.follow(answer[1], asked_at)
        _checked(answer)
        lease.expires = asked_at + self._lease_ms / 1000
        log.warning("record_restored", call=record.id, work=lease.work)

    async def _restored(self, lease: Lease) -> bool:
        try:
            await self._restore(lease)
        except (FencedError, UnknownCallError):
            return False
        return True

    @staticmethod
    def _refresh(lease: Lease | None, revision: int, record: Record) -> None:
        if lease is not None:
            lease.revision, lease.record = revision, record

    async def claim(self, limit: int, suspects: int = 1) -> Sequence[Lease]:
        await self._store.stand_by_reads()  # what cannot be saved here is better done elsewhere
        asked_at = self._clock.monotonic()
        params = {
            "limit": limit,
            "ttl": self._ttl_ms,
            "version": VERSION,
            "suspect": SUSPECT_TRIES,
            "suspects": suspects,
        }
        answer = await self._run("claim", self._due_sets(), params)
        self._clock.follow(answer[0], asked_at)
        leases: list[Lease] = []
        for call_id, work, epoch, tries, rev, doc, nonce in answer[1:]:
            record = _readable(doc, call_id.decode())
            if record is None:
                await self._bury(call_id.decode(), work.decode())
            else:
                held = work.decode(), epoch, rev, asked_at, (nonce or b"").decode(), tries
                lease = self._lease(record, *held)
                if lease.work in works_of(record):
                    leases.append(lease)
                else:
                    await self._drop(lease)
        return leases

    async def _drop(self, lease: Lease) -> None:
        """Take work out that its record does not need; a failover can leave such behind."""
        moved = {**moved_by(lease.record, lease.record), "drop": [(set_of(lease.work), lease.work)]}
        with suppress(FencedError, StoreUnavailableError, UnknownCallError):
            await self._commit(lease.revision, lease.record, lease, (), moved)

    async def _bury(self, call_id: str, work: str) -> None:
        """Take the work of a record that nobody can read out of the way; it is kept as it is."""
        pipeline = self._store.client.pipeline(transaction=False)
        member = f"{call_id}|{work}"
        now = in_ms(self._clock.time())
        pipeline.zadd(self._store.key("dead", set_of(work)), {member: now})
        pipeline.zrem(self._store.key("due", set_of(work)), member)
        await self._store.call(pipeline.execute())

    async def renew(self, leases: Sequence[Lease]) -> Sequence[Lease]:
        lost: list[Lease] = []
        for start in range(0, len(leases), RENEW_CHUNK):
            chunk = leases[start : start + RENEW_CHUNK]
            asked_at = self._clock.monotonic()
            for lease, ours in zip(chunk, await self._extend(chunk, self._lease_ms), strict=True):
                if ours == _SAVED:
                    lease.expires = asked_at + self._lease_ms / 1000
                elif ours != _BEHIND or not await self._restored(lease):
                    lost.append(lease)
        return lost

    async def release(self, leases: Sequence[Lease]) -> None:
        for start in range(0, len(leases), RENEW_CHUNK):
            await self._extend(leases[start : start + RENEW_CHUNK], 0)

    async def _extend(self, leases: Sequence[Lease], by_ms: int) -> Sequence[int]:
        held = [
            (2 if set_of(lease.work) == MESSAGES else 1, lease.call_id, lease.work, lease.epoch)
            for lease in leases
        ]
        params = {"by": by_ms, "leases": held}
        asked_at = self._clock.monotonic()
        answer: list[int] = await self._run("extend", self._due_sets(), params)
        self._clock.follow(answer[0], asked_at)
        return answer[1:]

    async def active(self, limit: int, after: Position | None = None) -> Sequence[Record]:
        records: list[Record] = []
        while len(records) < limit:
            wanted = limit - len(records)
            positions = await self._positions(wanted, after)
            records += await self._live([position.call_id for position in positions])
            if len(positions) < wanted:
                break
            after = positions[-1]
        return records

    async def live_calls(self) -> int:
        return int(await self._store.call(self._store.client.zcard(self._store.key("active"))))

    async def _positions(self, most: int, after: Position | None) -> Sequence[Position]:
        """The next of the index, newest first; what shares a millisecond with `after` as well."""
        pipeline, index = self._store.client.pipeline(transaction=False), self._store.key("active")
        older: str = "+inf"
        if after is not None:
            same, older = after.received_ms, f"({after.received_ms}"
            pipeline.zrevrangebyscore(index, same, same, withscores=True)
        pipeline.zrevrangebyscore(index, older, "-inf", start=0, num=most, withscores=True)
        pages = await self._store.call(pipeline.execute())
        positions = [Position(int(score), i.decode()) for page in pages for i, score in page]
        return [place for place in positions if after is None or place < after][:most]

    async def _live(self, ids: Sequence[str]) -> Sequence[Record]:
        """Those of `ids` that can be read; the index forgets those whose record is gone."""
        pipeline = self._store.client.pipeline(transaction=False)
        for call_id in ids:
            pipeline.hget(self._call(call_id), "doc")
        documents = await self._store.call(pipeline.execute()) if ids else []
        found = dict(zip(ids, documents, strict=True))
        forgotten = [call_id for call_id, doc in found.items() if doc is None]
        if forgotten:
            index = self._store.key("active")
            await self._store.call(self._store.client.zrem(index, *forgotten))
        records = [_readable(doc, i) for i, doc in found.items() if doc is not None]
        return [record for record in records if record is not None]

    async def trace(self, call_id: str) -> Sequence[Note]:
        lines = await self._store.call(self._store.client.lrange(self._trace(call_id), 0, -1))
        return [orjson.loads(line) for line in lines]

    async def due(self) -> Mapping[str, Due]:
        pipeline = self._store.client.pipeline(transaction=False)
        for name in (CALLS, MESSAGES):
            pipeline.zcard(self._store.key("due", name))
            pipeline.zrange(self._store.key("due", name), 0, 0, withscores=True)
            pipeline.zcard(self._store.key("dead", name))
        answers = await self._store.call(pipeline.execute())
        return {
            name: Due(held, self._age(first), dead)
            for name, (held, first, dead) in zip(
                (CALLS, MESSAGES), (answers[:3], answers[3:]), strict=True
            )
        }

    def _age(self, first: Sequence[tuple[bytes, float]]) -> float:
        return max(0.0, self._clock.time() - first[0][1] / 1000) if first else 0.0

    async def dead_letters(self) -> Sequence[DeadLetter]:
        client = self._store.client
        sets = [self._store.key("dead", name) for name in (CALLS, MESSAGES)]
        members = [
            (*member.decode().split("|", 1), since / 1000)
            for dead in sets
            for member, since in await self._store.call(client.zrange(dead, 0, -1, withscores=True))
        ]
        pipeline = client.pipeline(transaction=False)
        for call_id, _, _ in members:
            pipeline.hget(self._call(call_id), "doc")
        documents = await self._store.call(pipeline.execute()) if members else []
        letters = [
            DeadLetter(call_id, work, since, _readable(doc, call_id) if doc is not None else None)
            for (call_id, work, since), doc in zip(members, documents, strict=True)
        ]
        return sorted(letters, key=lambda letter: letter.since)

    async def drop_dead(self, letter: DeadLetter) -> bool:
        dead = self._store.key("dead", set_of(letter.work))
        return bool(
            await self._store.call(self._store.client.zrem(dead, f"{letter.call_id}|{letter.work}"))
        )

    async def erase(self, identity: str) -> Erased:
        person = hashed(identity)
        params = {"person": person, "ttl": self._ttl_ms, "limit": ERASE_CHUNK}
        left, calls, links = 1, 0, 0
        while left:
            left, more_calls, more_links = await self._run(
                "erase", [self._store.key("person", person)], params
            )
            calls, links = calls + more_calls, links + more_links
        return Erased(calls, links)

    async def ping(self) -> None:
        await self._store.ready()

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

    def _lease(  # noqa: PLR0913, PLR0917 - what a lease is made of
        self,
        record: Record,
        work: str,
        epoch: int,
        revision: int,
        asked_at: float,
        nonce: str,
        tries: int = 0,
    ) -> Lease:
        expires = asked_at + self._lease_ms / 1000
        return Lease(record.id, work, epoch, record, revision, expires, tries, nonce)

    def _call(self, call_id: str) -> str:
        return self._store.key("call", call_id)

    def _trace(self, call_id: str) -> str:
        return self._store.key("trace", call_id)

    def _due_sets(self) -> list[str]:
        return [self._store.key("due", CALLS), self._store.key("due", MESSAGES)]


def _checked(answer: Any) -> Any:
    """The script's answer, unless it refuses."""
    if answer[0] == _UNKNOWN:
        raise UnknownCallError("no record of this call")
    if answer[0] == _FENCED:
        raise FencedError("taken over by another replica")
    return answer


def _readable(document: bytes, call_id: str) -> Record | None:
    """The record; None, and a line in the log, for what a newer version or a fault has written."""
    try:
        return decode(document)
    except StoreUnavailableError as error:
        log.error("record_unreadable", call=call_id, error=str(error))  # noqa: TRY400
        return None


def _lines(notes: Sequence[Note]) -> list[str]:
    return [orjson.dumps(note).decode() for note in notes]

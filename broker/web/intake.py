"""What all routes of automations do alike: read the body, know a repeat, wait if asked to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from broker.domain.errors import BadInputError, IdempotencyConflictError
from broker.web.payloads import read_body

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import web

    from broker.domain.record import Record
    from broker.ports import Counters
    from broker.usecases.watch import Watch
    from broker.web.auth import Client

_KEY_LIVES_S = 86_400.0
_WAIT = re.compile(r"(?:^|[,;\s])wait=([0-9]{1,3}(?:\.[0-9]{1,3})?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask for."""

    max_wait_ms: int = 7000
    max_body_bytes: int = 65_536


@dataclass(frozen=True, slots=True)
class Intake:
    """Reads requests and waits for what they began."""

    watch: Watch
    counters: Counters
    fields: Mapping[str, str]
    limits: Limits

    async def content(
        self, request: web.Request, client: Client, *, renamed: bool = True
    ) -> dict[str, Any]:
        """The fields under our names; IdempotencyConflictError for a key with other content.

        Without `renamed` they keep the names they came with: those of another system's own shape.
        """
        limit, fields = self.limits.max_body_bytes, self.fields if renamed else {}
        content = await read_body(request, fields, query=client.allow_query, limit=limit)
        key = request.headers.get("Idempotency-Key")
        if key is not None:
            same = orjson.dumps([request.path, content], option=orjson.OPT_SORT_KEYS)
            fingerprint = sha256(same).hexdigest()
            name = f"{client.name}:{key[:256]}"
            if not await self.counters.first_use(name, fingerprint, _KEY_LIVES_S):
                raise IdempotencyConflictError("other content under this key")
        return content

    async def waited(
        self, request: web.Request, record: Record, reached: Callable[[Record], bool]
    ) -> tuple[Record, int]:
        """The record after the wait the request asks for, and 200 if `reached`, else 202."""
        wait_ms = _wait_ms(request, self.limits.max_wait_ms)
        if not wait_ms:
            return record, 202
        record = await self.watch.until(record, reached, wait_ms / 1000)
        return record, 200 if reached(record) else 202

    async def message_ended(
        self, request: web.Request, record: Record, purpose: str
    ) -> tuple[Record, int]:
        """The same, for a message that is sent or has ended otherwise."""

        def reached(current: Record) -> bool:
            message = current.message(purpose)
            return message is not None and not message.state.pending

        return await self.waited(request, record, reached)


def _wait_ms(request: web.Request, most: int) -> int:
    """How long the client is willing to wait (`Prefer: wait=2`, RFC 7240, or `?wait_ms=`)."""
    preferred = _WAIT.search(request.headers.get("Prefer", ""))
    if preferred is not None:
        return min(most, round(float(preferred[1]) * 1000))
    return whole(request, "wait_ms", 0, most)


def whole(request: web.Request, name: str, default: int, most: int) -> int:
    """A whole number of the query string, at most `most`."""
    text = request.query.get(name)
    if text is None:
        return default
    if re.fullmatch(r"[0-9]{1,6}", text, re.ASCII) is None:
        raise BadInputError(f"{name} must be a whole number")
    return min(most, int(text))

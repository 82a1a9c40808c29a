"""Who may do what: keys, signatures and their scopes."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from broker.domain.errors import BadInputError
from broker.web.payloads import whole_body
from broker.web.signatures import TOLERANCE_S, is_signed, signing_key, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiohttp import web

    from broker.ports import Counters

SCOPES = ("calls", "deflect", "read", "admin")


@dataclass(frozen=True, slots=True)
class Client:
    """Somebody who may send requests, without the key."""

    name: str
    scopes: frozenset[str]
    allow_query: bool = False


LOCAL = Client("local", frozenset(SCOPES), allow_query=True)
"""Everybody, while no client is configured and the service listens on loopback only."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """How a client shows that it is one: by a key, a signature, or both if it has both.

    Several of each are valid at once while they are being changed.
    """

    client: Client
    keys: tuple[str, ...] = ()
    hmac_secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Known:
    client: Client
    signing_keys: tuple[bytes, ...]


class Doorkeeper:
    """Knows the keys by their hash, so that comparing them takes the same time for all."""

    def __init__(
        self,
        clients: Iterable[Credentials],
        counters: Counters,
        *,
        max_body_bytes: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._counters = counters
        self._max_body_bytes = max_body_bytes
        self._clock = clock
        self._by_key: dict[bytes, _Known] = {}
        self._signing_only: tuple[_Known, ...] = ()
        self.know(clients)

    def know(self, clients: Iterable[Credentials]) -> None:
        """From now on these and no others; what is being served goes on."""
        by_key: dict[bytes, _Known] = {}
        signing_only: list[_Known] = []
        for one in clients:
            known = _Known(one.client, tuple(map(signing_key, one.hmac_secrets)))
            by_key.update({_digest(key): known for key in one.keys})
            if not one.keys:
                signing_only.append(known)
        self._by_key, self._signing_only = by_key, tuple(signing_only)

    async def admit(self, request: web.Request, scope: str) -> Client:
        """The client of this request; BadInputError `unauthorized`, `signature` or `scope`."""
        client = await self._identify(request)
        if scope not in client.scopes:
            raise BadInputError(f"this needs the scope {scope}", code="scope")
        return client

    async def _identify(self, request: web.Request) -> Client:
        if not self._by_key and not self._signing_only:
            return LOCAL
        known = self._of_key(request)
        if known is not None:
            return await self._signed(request, (known,)) if known.signing_keys else known.client
        if self._signing_only and is_signed(request.headers):
            return await self._signed(request, self._signing_only)
        raise BadInputError("send a key in the Authorization header", code="unauthorized")

    def _of_key(self, request: web.Request) -> _Known | None:
        key = _key_in_headers(request)
        if key is not None:
            return self._by_key.get(_digest(key))
        if "key" in request.query:
            known = self._by_key.get(_digest(request.query["key"]))
            return known if known is not None and known.client.allow_query else None
        return None

    async def _signed(self, request: web.Request, candidates: Iterable[_Known]) -> Client:
        """Which of `candidates` signed this request."""
        body, now = await whole_body(request, self._max_body_bytes), self._clock()
        for known in candidates:
            if verify(known.signing_keys, request.headers, body, now):
                await self._refuse_other_use(request, known.client, body)
                return known.client
        raise BadInputError("sign the body as Standard Webhooks says", code="signature")

    async def _refuse_other_use(self, request: web.Request, client: Client, body: bytes) -> None:
        """A delivery may be repeated as it is: that has no second effect.

        The address is not signed, so the same delivery is refused at any other.
        """
        used = sha256(f"{request.method} {request.path_qs}\n".encode() + body).hexdigest()
        name = f"signed:{client.name}:{request.headers['webhook-id']}"
        if not await self._counters.first_use(name, used, 2 * TOLERANCE_S):
            raise BadInputError("this webhook-id was used for something else", code="signature")


def _key_in_headers(request: web.Request) -> str | None:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() in {"bearer", "key"}:
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
        except ValueError:  # no base64, or no text in it
            return ""
    return request.headers.get("X-Api-Key")


def _digest(key: str) -> bytes:
    return sha256(key.encode(errors="surrogatepass")).digest()

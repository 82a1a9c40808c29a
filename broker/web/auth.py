"""Who may do what: keys and their scopes."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from broker.domain.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp import web

SCOPES = ("calls", "deflect", "read", "admin")


@dataclass(frozen=True, slots=True)
class Client:
    """Somebody who may send requests, without the key."""

    name: str
    scopes: frozenset[str]
    allow_query: bool = False


LOCAL = Client("local", frozenset(SCOPES), allow_query=True)
"""Everybody, while no client is configured and the service listens on loopback only."""


class Doorkeeper:
    """Knows the keys by their hash, so that comparing them takes the same time for all."""

    def __init__(self, clients: Iterable[tuple[Client, str]]) -> None:
        self._clients = {_digest(key): client for client, key in clients}

    def admit(self, request: web.Request, scope: str) -> Client:
        """The client of this request; BadInputError `unauthorized` or `scope`."""
        client = self._identify(request) if self._clients else LOCAL
        if client is None:
            raise BadInputError("send a key in the Authorization header", code="unauthorized")
        if scope not in client.scopes:
            raise BadInputError(f"this needs the scope {scope}", code="scope")
        return client

    def _identify(self, request: web.Request) -> Client | None:
        key = _key_in_headers(request)
        if key is not None:
            return self._clients.get(_digest(key))
        if "key" in request.query:
            client = self._clients.get(_digest(request.query["key"]))
            return client if client is not None and client.allow_query else None
        return None


def _key_in_headers(request: web.Request) -> str | None:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() in {"bearer", "key"}:
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return request.headers.get("X-Api-Key")


def _digest(key: str) -> bytes:
    return sha256(key.encode(errors="surrogatepass")).digest()

"""Where outbound requests get their credentials from: fixed headers, or an OAuth token."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from broker.domain.errors import BrokerError, ConfigError, PermanentError
from broker.http_client.client import Authorizer
from broker.http_client.repeat import once_more

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from broker.http_client.client import JsonClient, Reply

FETCH_S = 10.0
"""How long a token may take to come. Whoever needs it has a shorter deadline of his own."""
FIRST_SHARE = 0.15
"""Of FETCH_S: everybody waits for the same fetch, so one that got stuck is given up soon."""
PAUSE_S = 5.0
"""After a renewal in the background failed, with the old token still good."""
REFUSED_S = 30.0
"""How long refused credentials are not tried again: every try may count towards a lock-out."""
REJECTED_S = 10.0
"""A second token that is rejected as well within this time is kept: renewing does not help."""
_AHEAD_S = 300.0
_AHEAD_SHARE = 0.2
_REFUSALS = frozenset({400, 401, 403})
_OAUTH_FAULTS = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    }
)
_VISIBLE = re.compile(r"[\x21-\x7e]+", re.ASCII)
_PRINTABLE = re.compile(r"[\x20-\x7e]+", re.ASCII)


class FixedHeaders(Authorizer):
    """Credentials that never change, such as an API key in a header."""

    def __init__(self, headers: Mapping[str, str], *, name: str) -> None:
        """Values lose surrounding white space: secrets from files end in a newline.

        ConfigError if one is empty then, or cannot stand in a header.
        """
        self._headers = {key: _plain(text, f"{name}: {key}") for key, text in headers.items()}

    @classmethod
    def bearer(cls, token: str, *, name: str) -> FixedHeaders:
        text = _plain(token, f"{name}: the token")
        return cls({"Authorization": f"Bearer {text}"}, name=name)

    async def headers(self) -> Mapping[str, str]:
        return self._headers

    def reject(self) -> None:
        """Nothing can be fetched anew."""


def _plain(secret: str, what: str) -> str:
    text = secret.strip()
    if _PRINTABLE.fullmatch(text) is None:
        raise ConfigError(f"{what} is empty or no plain ASCII text")
    return text


@dataclass(frozen=True, slots=True)
class _Token:
    headers: Mapping[str, str]
    renew_at: float
    expires_at: float


class OAuthToken(Authorizer):
    """A bearer token from an OAuth token endpoint (RFC 6749 sections 4.3 and 4.4).

    It is fetched once for all who wait for it (a caller whose deadline ends does not stop the
    fetch), renewed in the background while the old one is still good, and forgotten when the
    server rejects it.
    """

    def __init__(
        self,
        client: JsonClient,
        path: str,
        grant: Mapping[str, str],
        *,
        name: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`grant` is the form to send to `path`, such as `grant_type`, `username`, `password`."""
        self._client = client
        self._path = path
        self._grant = {key: value.strip() for key, value in grant.items()}
        self._name = name
        self._monotonic = monotonic
        self._token: _Token | None = None
        self._fetch: asyncio.Task[_Token] | None = None
        self._refusal: str | None = None
        self._not_before = -math.inf
        self._rejected_at = -math.inf

    async def headers(self) -> Mapping[str, str]:
        """See `Authorizer`; a refusal is remembered for REFUSED_S."""
        now, token = self._monotonic(), self._token
        if token is not None and now < token.expires_at:
            if now >= max(token.renew_at, self._not_before):
                self._fetching()
            return token.headers
        if self._refusal is not None and now < self._not_before:
            raise PermanentError(self._refusal)
        return (await asyncio.shield(self._fetching())).headers

    def reject(self) -> None:
        now = self._monotonic()
        if now - self._rejected_at >= REJECTED_S:
            self._rejected_at = now
            self._token = None

    async def aclose(self) -> None:
        if self._fetch is not None:
            self._fetch.cancel()
            with contextlib.suppress(asyncio.CancelledError, BrokerError):
                await self._fetch

    def _fetching(self) -> asyncio.Task[_Token]:
        """The fetch under way, started if there is none."""
        if self._fetch is None or self._fetch.done():
            self._fetch = asyncio.create_task(self._fetched())
            self._fetch.add_done_callback(_retrieved)
        return self._fetch

    async def _fetched(self) -> _Token:
        try:
            self._token = await self._asked()
        except BrokerError as exc:
            refused = isinstance(exc, PermanentError)
            self._refusal = str(exc) if refused else None
            self._not_before = self._monotonic() + (REFUSED_S if refused else PAUSE_S)
            raise
        return self._token

    async def _asked(self) -> _Token:
        asked_at = self._monotonic()
        reply = await once_more(self._posted, FETCH_S, FIRST_SHARE)
        if reply.status in _REFUSALS:
            raise PermanentError(self._refused(reply))
        return self._parsed(reply.body, asked_at)

    async def _posted(self, within: float) -> Reply:
        return await self._client.request(
            "POST", self._path, form=self._grant, accept=_REFUSALS, within=within
        )

    def _refused(self, reply: Reply) -> str:
        """Names the fault, never what was sent."""
        fault = reply.body.get("error") if isinstance(reply.body, dict) else None
        known = fault if fault in _OAUTH_FAULTS else f"HTTP {reply.status}"
        return f"{self._name}: the credentials were refused ({known})"

    def _parsed(self, body: Any, asked_at: float) -> _Token:
        raw = body.get("access_token") if isinstance(body, dict) else None
        token = raw.strip() if isinstance(raw, str) else ""
        if _VISIBLE.fullmatch(token) is None:
            raise PermanentError(f"{self._name}: the token answer holds no usable access_token")
        life = _lifetime(body.get("expires_in"))
        ahead = min(_AHEAD_S, life * _AHEAD_SHARE)
        expires_at = asked_at + life
        return _Token({"Authorization": f"Bearer {token}"}, expires_at - ahead, expires_at)


def _lifetime(expires_in: object) -> float:
    """Seconds; infinite if the server does not say (RFC 6749: then a 401 will tell)."""
    if isinstance(expires_in, str) and re.fullmatch(r"[0-9]{1,9}", expires_in, re.ASCII):
        expires_in = int(expires_in)
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float) or expires_in <= 0:
        return math.inf
    return float(expires_in)


def _retrieved(fetch: asyncio.Task[_Token]) -> None:
    """Take note of a failure nobody waited for; whoever needs a token next gets his own."""
    if not fetch.cancelled():
        fetch.exception()

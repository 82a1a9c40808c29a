"""Where outbound requests get their credentials from: fixed headers, or an OAuth token."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import secrets
import time
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from broker.domain.errors import (
    BrokerError,
    ConfigError,
    PermanentError,
    StoreUnavailableError,
)
from broker.http_client.client import Authorizer
from broker.http_client.grants import RefreshGrant
from broker.http_client.repeat import once_more
from broker.ports import SharedToken, set_deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from broker.http_client.client import JsonClient, Reply
    from broker.http_client.grants import Grant
    from broker.ports import TokenStore

FETCH_S = 10.0
"""How long a token may take to come. Whoever needs it has a shorter deadline of his own."""
FIRST_SHARE = 0.15
"""Of FETCH_S: everybody waits for the same fetch, so one that got stuck is given up soon."""
PAUSE_S = 5.0
"""After a renewal in the background failed, with the old token still good."""
LAST_FETCH_S = 1.0
"""What a fetch that is under way may still take when the process ends."""
REFUSED_S = 30.0
"""How long refused credentials are not tried again: every try may count towards a lock-out."""
REJECTED_S = 10.0
"""A second token that is rejected as well within this time is kept: renewing does not help."""
LOOK_S = 0.05
"""How often a replica looks whether the one that fetches the token has it."""
_AHEAD_S = 300.0
_AHEAD_SHARE = 0.2
_REFUSALS = frozenset({400, 401, 403})
_NOT_THERE = frozenset({404, 405})
_OAUTH_FAULTS = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_resource",  # Entra: nothing is registered at the address in the scope
        "invalid_code",  # Zoho: the refresh token is none, or of another data center
        "Access Denied",  # Zoho: too many tokens were asked for
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
    text: str = field(repr=False)
    life_s: float
    renew_at: float
    expires_at: float

    @classmethod
    def lasting(cls, text: str, life_s: float, expires_at: float) -> _Token:
        return cls(text, life_s, expires_at - min(_AHEAD_S, life_s * _AHEAD_SHARE), expires_at)


@dataclass(frozen=True, slots=True)
class TokenHeader:
    """The header that a token is shown in."""

    name: str = "Authorization"
    prefix: str = "Bearer "

    def of(self, token: str) -> str:
        return f"{self.prefix}{token}"


BEARER = TokenHeader()


class OAuthToken(Authorizer):
    """A token from an OAuth token endpoint, by whatever `Grant`.

    It is fetched once for all who wait for it (a caller whose deadline ends does not stop the
    fetch), renewed in the background while the old one is still good, and forgotten when the
    server rejects it. If its client has a `TokenStore`, one replica fetches it for all of them; a
    store that is away only means that each fetches its own.
    """

    def __init__(  # noqa: PLR0913 - the clock and the store are for tests
        self,
        client: JsonClient,
        path: str,
        grant: Grant,
        *,
        name: str,
        header: TokenHeader = TokenHeader(),
        as_json: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
        tokens: TokenStore | None = None,
    ) -> None:
        """`grant` is asked for at `path`, in a form or `as_json`; the token stands in `header`."""
        self._client = client
        self._as_json = as_json
        self._path = path
        self._grant = grant
        self._name = name
        self._header = header
        self._monotonic = monotonic
        self._tokens = tokens or client.tokens
        self._shared_name = _shared_name(client.base_url + path, grant)
        if isinstance(grant, RefreshGrant):
            grant.kept_as(self._shared_name)
        self._rejected: str | None = None
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
            return self._shown(token)
        if self._refusal is not None and now < self._not_before:
            raise PermanentError(self._refusal)
        return self._shown(await asyncio.shield(self._fetching()))

    def _shown(self, token: _Token) -> Mapping[str, str]:
        return {self._header.name: self._header.of(token.text)}

    def reject(self) -> None:
        now = self._monotonic()
        if now - self._rejected_at >= REJECTED_S:
            self._rejected_at = now
            self._rejected = self._token.text if self._token else self._rejected
            self._token = None

    async def aclose(self) -> None:
        if self._fetch is not None:
            # A refresh token that is being replaced is lost if nobody waits for its successor.
            await asyncio.wait([self._fetch], timeout=LAST_FETCH_S)
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
        set_deadline(FETCH_S)  # not that of the lookup that happened to need it first
        try:
            self._token = await (self._shared(self._tokens) if self._tokens else self._asked())
        except BrokerError as exc:
            refused = isinstance(exc, PermanentError)
            self._refusal = str(exc) if refused else None
            self._not_before = self._monotonic() + (REFUSED_S if refused else PAUSE_S)
            raise
        return self._token

    async def _shared(self, tokens: TokenStore) -> _Token:
        """The token of all replicas, fetched by whoever comes first."""
        owner, until = secrets.token_hex(8), self._monotonic() + FETCH_S
        try:
            while (found := await self._found(tokens)) is None:
                if await tokens.reserve(self._shared_name, owner, FETCH_S):
                    return await self._fetched_for_all(tokens, owner)
                if self._monotonic() >= until:
                    break
                await asyncio.sleep(LOOK_S)
        except StoreUnavailableError:
            found = None
        return found or await self._asked()

    async def _found(self, tokens: TokenStore) -> _Token | None:
        """What another replica has put there, unless it is to be renewed or was rejected."""
        shared, now = await tokens.find(self._shared_name), self._monotonic()
        if shared is None or shared.text == self._rejected:
            return None
        token = _Token.lasting(shared.text, shared.life_s, now + shared.left_s)
        return token if now < token.renew_at else None

    async def _fetched_for_all(self, tokens: TokenStore, owner: str) -> _Token:
        try:
            found = await self._found(tokens)  # somebody may have been quicker
            if found is not None:
                return found
            token = await self._asked()
            left_s = token.expires_at - self._monotonic()
            with contextlib.suppress(StoreUnavailableError):
                shared = SharedToken(token.text, token.life_s, left_s)
                await tokens.keep(self._shared_name, shared)
            return token
        finally:
            with contextlib.suppress(StoreUnavailableError):
                await tokens.release(self._shared_name, owner)

    async def _asked(self) -> _Token:
        asked_at = self._monotonic()
        reply = await self._answer()
        if reply.status in _NOT_THERE:
            text = "nothing gives tokens at this address: check base_url and token_url"
            raise PermanentError(f"{self._name}: HTTP {reply.status}: {text}")
        while _refuses(reply) and await self._grant.refused():
            reply = await self._answer()
        if _refuses(reply):
            raise PermanentError(self._refused(reply))
        token = self._parsed(reply.body, asked_at)
        await self._grant.answered(reply.body)
        return token

    async def _answer(self) -> Reply:
        return await once_more(
            self._posted, FETCH_S, FIRST_SHARE, may_repeat=self._client.may_repeat
        )

    async def _posted(self, within: float) -> Reply:
        fields = await self._grant.form()
        form, json = (None, fields) if self._as_json else (fields, None)
        return await self._client.request(
            "POST",
            self._path,
            form=form,
            json=json,
            accept=_REFUSALS | _NOT_THERE,
            within=within,
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
        return _Token.lasting(token, life, asked_at + life)


def _refuses(reply: Reply) -> bool:
    """Whether no token came; some servers say so with 200 (Zoho)."""
    said = reply.body if isinstance(reply.body, dict) else {}
    return reply.status in _REFUSALS or ("error" in said and "access_token" not in said)


def _shared_name(url: str, grant: Grant) -> str:
    """The same for all replicas that ask there as the same client, and for nobody else."""
    who = [url, *(f"{key}={value}" for key, value in sorted(grant.identity.items()))]
    return sha256("\n".join(who).encode()).hexdigest()[:32]


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

"""What is sent to an OAuth token endpoint: the grants of RFC 6749 and RFC 7523."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from broker.domain.errors import ConfigError, StoreUnavailableError
from broker.ports import SharedToken

if TYPE_CHECKING:
    from broker.ports import TokenStore

Form = Mapping[str, str]
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_SECRET = frozenset({"password", "client_secret"})
ASSERTION_S = 180
"""How long an assertion is good: Salesforce takes at most 3 minutes, Google at most an hour."""
REFRESH_LIFE_S = 90 * 86_400.0
"""How long a rotated refresh token is kept for the replicas; renewed by every use."""


class Grant(ABC):
    """One way to ask for a token."""

    @property
    @abstractmethod
    def identity(self) -> Form:
        """Who asks for what: replicas that ask for the same share the token.

        No password and no client secret; of a refresh token, which stands for one account among
        many, a fingerprint.
        """

    @abstractmethod
    async def form(self) -> Form:
        """What to send now."""

    async def answered(self, body: Mapping[str, Any]) -> None:  # noqa: B027 - most learn nothing
        """The endpoint gave a token."""

    async def refused(self) -> bool:
        """The endpoint refused `form`. True if the next one is another, worth a try."""
        return False


@dataclass(frozen=True, slots=True)
class FixedGrant(Grant):
    """The same form every time: `client_credentials` and `password`."""

    fields: Form = field(repr=False)

    @property
    def identity(self) -> Form:
        return {key: value for key, value in self.fields.items() if key not in _SECRET}

    async def form(self) -> Form:
        # Secrets from files end in a newline.
        return {key: value.strip() for key, value in self.fields.items()}


@dataclass(frozen=True, slots=True)
class JwtGrant(Grant):
    """A signed assertion, made anew every time (RFC 7523); it needs the extra `jwt`."""

    claims: Form
    """`iss`, `sub`, `aud`, and what else the server wants, such as Google's `scope`."""
    key: str = field(repr=False)
    """The RSA private key, PEM."""
    key_id: str | None = None
    more: Form = field(default_factory=dict)

    def __post_init__(self) -> None:
        """ConfigError if the key cannot sign."""
        self._assertion()

    @property
    def identity(self) -> Form:
        return {"grant_type": JWT_BEARER, **self.claims, **self.more}

    async def form(self) -> Form:
        return {"grant_type": JWT_BEARER, "assertion": self._assertion(), **self.more}

    def _assertion(self) -> str:
        try:
            import jwt  # noqa: PLC0415 - an extra, and half a second of cryptography
        except ImportError:
            raise ConfigError('jwt_bearer needs the extra "jwt" to be installed') from None
        now = int(time.time())
        claims = {**self.claims, "iat": now, "exp": now + ASSERTION_S}
        headers = {"kid": self.key_id} if self.key_id else None
        try:
            return jwt.encode(claims, self.key, algorithm="RS256", headers=headers)
        except (ValueError, TypeError, jwt.PyJWTError):
            raise ConfigError("jwt_bearer: the private key is no RSA key in PEM form") from None


class RefreshGrant(Grant):
    """A refresh token, replaced by whatever the server gives in its place.

    Servers that rotate refuse the old one from then on, so the newest is kept for all replicas; the
    configured one is the first, and the way back after the kept one was refused.
    """

    def __init__(self, fields: Form, refresh_token: str, tokens: TokenStore | None) -> None:
        """`fields` is the rest of the form, such as `client_id`."""
        self._fields = fields
        self._configured = refresh_token
        self._known = refresh_token
        self._used = refresh_token
        self._refused: set[str] = set()
        self._tokens = tokens
        self._kept_as = ""

    def kept_as(self, name: str) -> None:
        """What the newest token is called in the store."""
        self._kept_as = f"{name}:refresh"

    @property
    def identity(self) -> Form:
        account = sha256(self._configured.encode()).hexdigest()
        shown = {key: value for key, value in self._fields.items() if key not in _SECRET}
        return {**shown, "grant_type": "refresh_token", "account": account}

    async def form(self) -> Form:
        self._used = self._best(await self._kept()) or self._configured
        return {**self._fields, "grant_type": "refresh_token", "refresh_token": self._used}

    async def answered(self, body: Mapping[str, Any]) -> None:
        fresh = body.get("refresh_token")
        self._known = (fresh.strip() if isinstance(fresh, str) else "") or self._used
        if self._tokens is None or {self._known, await self._kept()} <= {self._configured, None}:
            return
        with suppress(StoreUnavailableError):
            token = SharedToken(self._known, REFRESH_LIFE_S, REFRESH_LIFE_S)
            await self._tokens.keep(self._kept_as, token)

    async def refused(self) -> bool:
        self._refused.add(self._used)
        if self._best(await self._kept()) is not None:
            return True
        self._refused.clear()  # for a later try: the account may have been let in again
        return False

    def _best(self, kept: str | None) -> str | None:
        """The newest token that was not refused."""
        tokens = (kept, self._known, self._configured)
        return next((token for token in tokens if token and token not in self._refused), None)

    async def _kept(self) -> str | None:
        """The newest token of all replicas; None if there is none, or the store is away."""
        if self._tokens is None:
            return None
        with suppress(StoreUnavailableError):
            kept = await self._tokens.find(self._kept_as)
            return kept.text if kept else None
        return None

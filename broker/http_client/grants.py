"""What is sent to an OAuth token endpoint: the grants of RFC 6749 and RFC 7523."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from broker.domain.errors import ConfigError, StoreUnavailableError
from broker.ports import SharedToken

if TYPE_CHECKING:
    from broker.ports import TokenStore

Form = Mapping[str, str]
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_S = 180
"""How long an assertion is good: Salesforce takes at most 3 minutes, Google at most an hour."""
REFRESH_LIFE_S = 90 * 86_400.0
"""How long a rotated refresh token is kept for the replicas; renewed by every use."""


class Grant(ABC):
    """One way to ask for a token."""

    @property
    @abstractmethod
    def identity(self) -> Form:
        """Who asks, without any secret: replicas that ask as the same share the token."""

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
        return {key: self.fields.get(key, "") for key in ("grant_type", "username", "client_id")}

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
        return {"grant_type": JWT_BEARER, "username": self.claims.get("sub", ""), **self.claims}

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
            return jwt.encode(claims, self.key.strip(), algorithm="RS256", headers=headers)
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
        self._tokens = tokens
        self._kept_as = ""

    def kept_as(self, name: str) -> None:
        """What the newest token is called in the store."""
        self._kept_as = f"{name}:refresh"

    @property
    def identity(self) -> Form:
        return {"grant_type": "refresh_token", "client_id": self._fields.get("client_id", "")}

    async def form(self) -> Form:
        if self._tokens is not None:
            with suppress(StoreUnavailableError):
                kept = await self._tokens.find(self._kept_as)
                self._known = kept.text if kept else self._known
        return {**self._fields, "grant_type": "refresh_token", "refresh_token": self._known}

    async def answered(self, body: Mapping[str, Any]) -> None:
        fresh = body.get("refresh_token")
        if not isinstance(fresh, str) or not fresh.strip() or fresh.strip() == self._known:
            return
        self._known = fresh.strip()
        await self._keep()

    async def refused(self) -> bool:
        if self._known == self._configured:
            return False
        self._known = self._configured
        await self._keep()
        return True

    async def _keep(self) -> None:
        if self._tokens is not None:
            token = SharedToken(self._known, REFRESH_LIFE_S, REFRESH_LIFE_S)
            with suppress(StoreUnavailableError):
                await self._tokens.keep(self._kept_as, token)

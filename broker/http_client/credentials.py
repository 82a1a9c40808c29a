"""The `auth` option: how an operator says what lets our requests in."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from broker.domain.errors import ConfigError
from broker.http_client.auth import BEARER, FixedHeaders, OAuthToken, TokenHeader
from broker.http_client.client import Authorizer, JsonClient
from broker.http_client.grants import FixedGrant, Grant, JwtGrant, RefreshGrant

if TYPE_CHECKING:
    import aiohttp


def _stripped(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value().strip()
    if not text:
        raise ValueError("the secret is empty")
    return SecretStr(text)


Secret = Annotated[SecretStr, AfterValidator(_stripped)]
"""Without the newline that secrets from files end in."""


class _Auth(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class BearerAuth(_Auth):
    """A token that does not change: `Authorization: Bearer <token>`."""

    kind: Literal["bearer"]
    token: Secret


class HeaderAuth(_Auth):
    """A header of one's own, such as `X-Api-Key: <value>`."""

    kind: Literal["header"]
    name: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$")
    value: Secret


class BasicAuth(_Auth):
    """`Authorization: Basic <username:password>`."""

    kind: Literal["basic"]
    username: Secret
    """Secret, since some CRMs want an API key here."""
    password: Secret


class _OAuth(_Auth):
    token_url: str | None = None
    """Where tokens come from; the adapter knows, unless it says otherwise."""
    scope: str | None = None


class ClientCredentialsAuth(_OAuth):
    """RFC 6749 section 4.4."""

    kind: Literal["client_credentials"]
    client_id: str
    client_secret: Secret


class PasswordAuth(_OAuth):
    """RFC 6749 section 4.3."""

    kind: Literal["password"]
    username: Secret
    password: Secret
    client_id: str
    client_secret: Secret | None = None


class RefreshTokenAuth(_OAuth):
    """RFC 6749 section 6. A server may give another refresh token with each access token."""

    kind: Literal["refresh_token"]
    client_id: str
    client_secret: Secret | None = None
    refresh_token: Secret


class JwtBearerAuth(_OAuth):
    """RFC 7523: a signed assertion. Needs the extra `jwt`."""

    kind: Literal["jwt_bearer"]
    issuer: str
    subject: str | None = None
    audience: str
    private_key: Secret
    """RSA, PEM."""
    key_id: str | None = None


OAuth = ClientCredentialsAuth | PasswordAuth | RefreshTokenAuth | JwtBearerAuth
Auth = Annotated[
    BearerAuth
    | HeaderAuth
    | BasicAuth
    | ClientCredentialsAuth
    | PasswordAuth
    | RefreshTokenAuth
    | JwtBearerAuth,
    Field(discriminator="kind"),
]


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """What an adapter knows of its CRM's tokens."""

    url: str | None = None
    """Absolute, or a path below the base URL; None = the operator has to say."""
    header: TokenHeader = BEARER
    scope: str | None = None
    """What to ask for unless `auth` says; `/...` is below the base URL, as Entra wants it."""
    basic: bool = False
    """Whether the client's id and secret stand in the header (RFC 6749, 2.3.1), not in the form."""
    takes_json: bool = False
    """Whether tokens are asked for with JSON, other than RFC 6749 has it."""

    def scope_at(self, base_url: str) -> str | None:
        if self.scope is None or not self.scope.startswith("/"):
            return self.scope
        return base_url.strip().rstrip("/") + self.scope


def authorizer(
    auth: Auth,
    http: aiohttp.ClientSession,
    base_url: str,
    *,
    name: str,
    place: TokenPlace = TokenPlace(),
) -> Authorizer:
    """Who lets our requests in. ConfigError if a secret cannot be one, or no token URL is known."""
    if isinstance(auth, BearerAuth):
        return FixedHeaders({place.header.name: place.header.of(_secret(auth.token))}, name=name)
    if isinstance(auth, HeaderAuth):
        return FixedHeaders({auth.name: _secret(auth.value)}, name=name)
    if isinstance(auth, BasicAuth):
        return basic_auth(_secret(auth.username), _secret(auth.password), name=name)
    origin, path = _token_url(auth.token_url or place.url, base_url, name)
    login = None
    if place.basic and not isinstance(auth, JwtBearerAuth) and auth.client_secret is not None:
        login = basic_auth(auth.client_id, _secret(auth.client_secret), name=f"{name} token")
        auth = auth.model_copy(update={"client_secret": None})
    client = JsonClient(http, origin, name=f"{name} token", auth=login)
    grant = _grant(auth, client, auth.scope or place.scope_at(base_url))
    return OAuthToken(client, path, grant, name=name, header=place.header, as_json=place.takes_json)


def basic_auth(username: str, password: str, *, name: str) -> FixedHeaders:
    """`Authorization: Basic` as RFC 7617 has it; ConfigError if it cannot stand in a header."""
    encoded = base64.b64encode(f"{username}:{password.strip()}".encode()).decode()
    return FixedHeaders({"Authorization": f"Basic {encoded}"}, name=name)


def _token_url(url: str | None, base_url: str, name: str) -> tuple[str, str]:
    """Origin and path."""
    if not url:
        raise ConfigError(f"{name}: auth.token_url is missing")
    if url.startswith("/"):
        return base_url, url
    parts = urlsplit(url.strip())
    if parts.query or parts.fragment or not parts.path:
        raise ConfigError(f"{name}: auth.token_url must be http(s)://host/path")
    return f"{parts.scheme}://{parts.netloc}", parts.path


def _grant(auth: OAuth, client: JsonClient, wanted: str | None) -> Grant:
    scope = {} if wanted is None else {"scope": wanted}
    if isinstance(auth, JwtBearerAuth):
        claims = {"iss": auth.issuer, "aud": auth.audience, **scope}
        subject = {"sub": auth.subject} if auth.subject else {}
        return JwtGrant({**claims, **subject}, _secret(auth.private_key), auth.key_id)
    fields = {"client_id": auth.client_id, **scope}
    if auth.client_secret is not None:
        fields["client_secret"] = _secret(auth.client_secret)
    if isinstance(auth, RefreshTokenAuth):
        return RefreshGrant(fields, _secret(auth.refresh_token), client.tokens)
    fields["grant_type"] = auth.kind
    if isinstance(auth, PasswordAuth):
        fields |= {"username": _secret(auth.username), "password": _secret(auth.password)}
    return FixedGrant(fields)


def _secret(value: SecretStr) -> str:
    return value.get_secret_value()

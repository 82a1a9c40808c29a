"""What an operator sets for babelforce, and the credentials that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator

from broker.sdk import Authorizer, FixedGrant, FixedHeaders, JsonClient, OAuthToken, Options

if TYPE_CHECKING:
    import aiohttp

NAME = "babelforce"


class PasswordAuth(Options):
    """The simplest grant for a first-party integration; the user needs manager rights."""

    kind: Literal["password"]
    username: SecretStr
    password: SecretStr
    client_id: str = "manager"
    """babelforce's public client, which has no secret."""


class ClientCredentialsAuth(Options):
    """Not generally available yet, says babelforce."""

    kind: Literal["client_credentials"]
    client_id: str
    client_secret: SecretStr


class TokenAuth(Options):
    """A token that does not expire, or that somebody else keeps fresh."""

    kind: Literal["token"]
    token: SecretStr


class LegacyHeadersAuth(Options):
    """Only for old environments: the API no longer accepts this pair (SDK changelog 0.38.0)."""

    kind: Literal["legacy_headers"]
    access_id: SecretStr
    access_token: SecretStr


Auth = Annotated[
    PasswordAuth | ClientCredentialsAuth | TokenAuth | LegacyHeadersAuth,
    Field(discriminator="kind"),
]


class BabelforceOptions(Options):
    """`[platform]` with `driver = "babelforce"`."""

    base_url: str = "https://services.babelforce.com"
    session_key: Literal["auto", "session_id", "call_id"] = "auto"
    """Where the session id comes from if the automation sent none. `auto`: ask the platform, and
    guess the call id if it does not tell; `session_id`: ask, never guess; `call_id`: take the call
    id without asking."""
    bool_encoding: Literal["json", "string"] = "json"
    """How `ivr.premium` is written: true or "true". Which of them a trigger compares equal to is
    not documented."""
    screen_pop: bool = False
    """Whether agents are shown who is calling."""
    log_back: bool = False
    """Whether the conversation of a call gets its outcome."""
    hook_timeout_ms: Annotated[int, Field(gt=0)] = 3000
    """The most that one of these two may take."""
    live_figures: bool = False
    """Whether the metrics and business hours of the account are read for the rules of offers."""
    wait_unit: Literal["s", "ms"] = "s"
    """What `queues.expected.wait-time.avg` is counted in, which is not documented."""
    business_hours: Mapping[Annotated[str, Field(pattern=r"^\+?[0-9]{1,15}$")], str] = {}
    """Called number, or how it begins -> the id or name of its business hours."""
    auth: Auth

    @field_validator("auth", mode="before")
    @classmethod
    def _with_a_kind(cls, auth: Any) -> Any:
        return {"kind": "password"} | auth if isinstance(auth, dict) else auth


def authorizer(options: BabelforceOptions, http: aiohttp.ClientSession) -> Authorizer:
    """Who lets our requests in; ConfigError if a secret cannot be one."""
    auth = options.auth
    if isinstance(auth, TokenAuth):
        return FixedHeaders.bearer(auth.token.get_secret_value(), name=NAME)
    if isinstance(auth, LegacyHeadersAuth):
        pair = {
            "X-Auth-Access-Id": auth.access_id.get_secret_value(),
            "X-Auth-Access-Token": auth.access_token.get_secret_value(),
        }
        return FixedHeaders(pair, name=NAME)
    client = JsonClient(http, options.base_url, name=f"{NAME} token")
    return OAuthToken(client, "/oauth/token", FixedGrant(_form(auth)), name=NAME)


def _form(auth: PasswordAuth | ClientCredentialsAuth) -> dict[str, str]:
    if isinstance(auth, PasswordAuth):
        return {
            "grant_type": "password",
            "username": auth.username.get_secret_value(),
            "password": auth.password.get_secret_value(),
            "client_id": auth.client_id,
        }
    return {
        "grant_type": "client_credentials",
        "client_id": auth.client_id,
        "client_secret": auth.client_secret.get_secret_value(),
    }

"""The `auth` option: every kind lets the right requests in, and a slip stops the start."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import jwt
import orjson
import pytest
from pydantic import TypeAdapter, ValidationError

from broker.domain.errors import ConfigError, PermanentError
from broker.http_client import (
    Auth,
    HttpCrmOptions,
    TokenHeader,
    TokenPlace,
    authorizer,
    open_session,
)
from broker.testing.loopback import LOOPBACK
from broker.testing.scripted_server import ScriptedServer, reply
from tests.unit.http_client.test_grants import KEY, PEM

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import aiohttp

AUTH: TypeAdapter[Any] = TypeAdapter(Auth)
CLIENT = {"client_secret": "s3cret\n", "client_id": "c1"}
TOKEN = reply({"access_token": "t1", "expires_in": 3600})
SHOP = {"kind": "client_credentials", "client_id": "broker", "client_secret": "hunter2"}
SECRETS = ("s3cret", "hunter2", "PRIVATE KEY", "agent@example.com")
OAUTH = TokenPlace("/oauth/token")
KINDS: list[dict[str, Any]] = [
    {"kind": "bearer", "token": "s3cret"},
    {"kind": "header", "name": "X-Api-Key", "value": "s3cret"},
    {"kind": "basic", "username": "u", "password": "s3cret"},
    {"kind": "client_credentials", **CLIENT},
    {"kind": "password", "username": "agent@example.com", "password": "hunter2", **CLIENT},
    {"kind": "refresh_token", "refresh_token": "hunter2", **CLIENT},
    {"kind": "jwt_bearer", "issuer": "i", "audience": "a", "private_key": PEM},
]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(LOOPBACK) as session:
        yield session


async def shown(
    auth: dict[str, Any], http: aiohttp.ClientSession, place: TokenPlace = OAUTH
) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The headers of a request, and the forms that were sent to get them."""
    async with ScriptedServer(otherwise=TOKEN) as server:
        made = authorizer(AUTH.validate_python(auth), http, server.url, name="shop", place=place)
        try:
            headers = dict(await made.headers())
        finally:
            await made.aclose()
        assert set(server.lines) <= {"POST /oauth/token"}
        return headers, [dict(parsed(asked.body)) for asked in server.asked]


def parsed(form: bytes) -> list[tuple[str, str]]:
    return parse_qsl(form.decode(), strict_parsing=True)


@pytest.mark.parametrize(
    ("auth", "headers"),
    [
        ({"kind": "bearer", "token": " s3cret\n"}, {"Authorization": "Bearer s3cret"}),
        (
            {"kind": "header", "name": "X-Api-Key", "value": "s3cret\n"},
            {"X-Api-Key": "s3cret"},
        ),
        (
            {"kind": "basic", "username": "u/token", "password": "s3cret\n"},
            {"Authorization": f"Basic {b64encode(b'u/token:s3cret').decode()}"},
        ),
    ],
    ids=lambda value: value.get("kind") if isinstance(value, dict) else None,
)
async def test_what_never_changes_is_shown_without_a_question(
    http: aiohttp.ClientSession, auth: dict[str, Any], headers: dict[str, str]
) -> None:
    assert await shown(auth, http) == (headers, [])


@pytest.mark.parametrize(
    ("auth", "form"),
    [
        (
            {"kind": "client_credentials", **CLIENT, "scope": "read"},
            {"client_id": "c1", "client_secret": "s3cret", "scope": "read"},
        ),
        (
            {"kind": "password", "username": "u", "password": "hunter2\n", "client_id": "c1"},
            {"client_id": "c1", "username": "u", "password": "hunter2"},
        ),
        (
            {"kind": "refresh_token", **CLIENT, "refresh_token": "hunter2\n"},
            {"client_id": "c1", "client_secret": "s3cret", "refresh_token": "hunter2"},
        ),
    ],
    ids=lambda value: value.get("kind") if isinstance(value, dict) else None,
)
async def test_a_token_is_asked_for_as_the_rfc_says(
    http: aiohttp.ClientSession, auth: dict[str, Any], form: dict[str, str]
) -> None:
    headers, forms = await shown(auth, http)
    assert headers == {"Authorization": "Bearer t1"}
    assert forms == [{"grant_type": auth["kind"], **form}]


async def test_a_signed_assertion_is_asked_with_alone(http: aiohttp.ClientSession) -> None:
    auth = {**KINDS[-1], "subject": "agent@example.com", "scope": "read", "key_id": "k1"}
    headers, (form,) = await shown(auth, http)
    assert headers == {"Authorization": "Bearer t1"}
    assert set(form) == {"grant_type", "assertion"}
    claims = jwt.decode(form["assertion"], KEY.public_key(), algorithms=["RS256"], audience="a")
    told = {key: claims[key] for key in claims.keys() - {"iat", "exp"}}
    assert told == {"iss": "i", "aud": "a", "sub": "agent@example.com", "scope": "read"}


async def test_a_token_is_shown_where_the_crm_wants_it(http: aiohttp.ClientSession) -> None:
    place = TokenPlace("/oauth/token", TokenHeader("X-Token", "Token "))
    headers, _ = await shown(KINDS[3], http, place)
    assert headers == {"X-Token": "Token t1"}
    headers, _ = await shown(KINDS[0], http, place)
    assert headers == {"X-Token": "Token s3cret"}


async def test_the_operator_may_say_where_tokens_come_from(http: aiohttp.ClientSession) -> None:
    async with ScriptedServer(otherwise=TOKEN) as server:
        auth = {**KINDS[3], "token_url": f"{server.url}/tenant/token"}
        read = AUTH.validate_python(auth)
        made = authorizer(read, http, "http://crm.test", name="shop", place=OAUTH)
        assert await made.headers() == {"Authorization": "Bearer t1"}
        await made.aclose()
        assert server.lines == ["POST /tenant/token"]


@pytest.mark.parametrize(
    "url", ["https://id.test", "https://id.test/token?tenant=1", "id.test/token", "ftp://id.test/t"]
)
async def test_a_token_url_that_cannot_be_stops_the_start(
    http: aiohttp.ClientSession, url: str
) -> None:
    auth = AUTH.validate_python({**KINDS[3], "token_url": url})
    with pytest.raises(ConfigError, match="shop"):
        authorizer(auth, http, "http://crm.test", name="shop")


async def test_without_a_place_for_tokens_the_operator_is_asked_for_one(
    http: aiohttp.ClientSession,
) -> None:
    with pytest.raises(ConfigError, match=r"shop: auth\.token_url is missing"):
        authorizer(AUTH.validate_python(KINDS[3]), http, "http://crm.test", name="shop")


@pytest.mark.parametrize("auth", KINDS, ids=lambda auth: auth["kind"])
def test_what_is_missing_or_too_much_is_named_without_any_value(auth: dict[str, Any]) -> None:
    for wrong in ({**auth, "secret": "s3cret"}, dict(list(auth.items())[:-1])):
        with pytest.raises(ValidationError) as caught:
            HttpCrmOptions.model_validate({"base_url": "http://crm.test", "auth": wrong})
        assert not [secret for secret in SECRETS if secret in str(caught.value)]


@pytest.mark.parametrize("auth", KINDS, ids=lambda auth: auth["kind"])
async def test_no_secret_is_in_the_repr(http: aiohttp.ClientSession, auth: dict[str, Any]) -> None:
    read = AUTH.validate_python(auth)
    made = authorizer(read, http, "http://crm.test", name="shop", place=OAUTH)
    assert not [secret for secret in SECRETS if secret in f"{read!r} {made!r}"]


@pytest.mark.parametrize("token", ["a\nX: y", "ä"])
async def test_a_token_that_cannot_stand_in_a_header_stops_the_start(
    http: aiohttp.ClientSession, token: str
) -> None:
    for auth in ({**KINDS[0], "token": token}, {**KINDS[1], "value": token}):
        with pytest.raises(ConfigError, match="shop"):
            authorizer(AUTH.validate_python(auth), http, "http://crm.test", name="shop")


@pytest.mark.parametrize("name", ["", "X-Key: 1\r\nX", "X Key", "a" * 65, "Schlüssel"])
def test_a_header_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        AUTH.validate_python({**KINDS[1], "name": name})


@pytest.mark.parametrize(
    ("auth", "secret"),
    [
        (KINDS[0], "token"),
        (KINDS[1], "value"),
        (KINDS[2], "password"),
        (KINDS[3], "client_secret"),
        (KINDS[4], "username"),
        (KINDS[4], "password"),
        (KINDS[5], "refresh_token"),
        (KINDS[6], "private_key"),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else value,
)
def test_an_empty_secret_stops_the_start(auth: dict[str, Any], secret: str) -> None:
    for empty in ("", "\n"):
        with pytest.raises(ValidationError, match=rf"{secret}\n +Value error, the secret is empty"):
            AUTH.validate_python({**auth, secret: empty})


async def scope_asked_for(auth: Mapping[str, Any], place: TokenPlace) -> str | None:
    """The scope in the form that was sent, with `HOST` for the CRM's address."""
    read: Auth = AUTH.validate_python(auth)
    async with ScriptedServer(reply({"access_token": "t"})) as server, open_session(LOOPBACK) as s:
        await authorizer(read, s, f"{server.url}/", name="crm", place=place).headers()
        form = dict(parse_qsl(server.asked[0].body.decode()))
        return form["scope"].replace(server.url, "HOST") if "scope" in form else None


@pytest.mark.parametrize(
    ("auth", "place", "scope"),
    [
        (SHOP, TokenPlace(url="/token", scope="/.default"), "HOST/.default"),
        (SHOP, TokenPlace(url="/token", scope="crm.read"), "crm.read"),
        (SHOP | {"scope": "mine"}, TokenPlace(url="/token", scope="/.default"), "mine"),
        (SHOP, TokenPlace(url="/token"), None),
    ],
    ids=["below the base URL", "of the adapter", "of the operator", "none"],
)
async def test_the_scope_of_the_operator_or_else_of_the_adapter_is_asked_for(
    auth: Mapping[str, Any], place: TokenPlace, scope: str | None
) -> None:
    assert await scope_asked_for(auth, place) == scope


async def test_a_client_logs_in_by_header_where_the_adapter_says_so() -> None:
    read: Auth = AUTH.validate_python(SHOP)
    place = TokenPlace(url="/token", basic=True)
    refusal = reply({"error": "invalid_client"}, status=401)
    async with (
        ScriptedServer(reply({"access_token": "t"}), otherwise=refusal) as server,
        open_session(LOOPBACK) as http,
    ):
        login = authorizer(read, http, server.url, name="crm", place=place)
        assert await login.headers() == {"Authorization": "Bearer t"}
        assert server.asked[0].headers["Authorization"] == "Basic YnJva2VyOmh1bnRlcjI="
        form = dict(parse_qsl(server.asked[0].body.decode()))
        assert form == {"grant_type": "client_credentials", "client_id": "broker"}
        login.reject()
        with pytest.raises(PermanentError, match=r"were refused \(invalid_client\)"):
            await login.headers()


async def test_a_server_that_wants_json_gets_json(http: aiohttp.ClientSession) -> None:
    place = TokenPlace(url="/token", takes_json=True)
    async with ScriptedServer(TOKEN) as server:
        await authorizer(
            AUTH.validate_python(SHOP), http, server.url, name="shop", place=place
        ).headers()
        (asked,) = server.asked
    assert asked.headers["Content-Type"] == "application/json"
    assert orjson.loads(asked.body) == {
        "grant_type": "client_credentials",
        "client_id": "broker",
        "client_secret": "hunter2",
    }

"""What is sent to a token endpoint: refresh tokens that rotate, and signed assertions."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from broker.domain.errors import ConfigError, PermanentError
from broker.http_client import OAuthToken, Reply
from broker.http_client.auth import REFUSED_S
from broker.http_client.grants import (
    ASSERTION_S,
    JWT_BEARER,
    FixedGrant,
    Grant,
    JwtGrant,
    RefreshGrant,
)
from broker.stores.connection import Store, open_store
from tests.unit.http_client.test_auth import Clock, Endpoint, bearer
from tests.unit.http_client.test_shared_token import ShakyTokens, StoreTime

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

HOUR_S = 3600
CLIENT = {"client_id": "c1", "client_secret": "s3cret"}
CLAIMS = {"iss": "app", "sub": "agent@example.com", "aud": "https://crm.test", "scope": "read"}


class RotatingEndpoint(Endpoint):
    """Takes the newest refresh token only, and gives another one each time if it rotates."""

    good = "first"
    rotates = True
    answers: asyncio.Event | None = None
    """The answer is held back until then."""

    async def request(self, method: str, path: str, **rest: Any) -> Reply:
        reply = await super().request(method, path, **rest)
        if rest["form"]["refresh_token"] != self.good:
            return Reply(400, {"error": "invalid_grant"}, {})
        if not self.rotates:
            return reply
        self.good = f"r{len(self.forms)}"
        if self.answers is not None:
            await self.answers.wait()
        return Reply(200, {**reply.body, "refresh_token": f"{self.good}\n"}, {})

    @property
    def shown(self) -> list[str]:
        return [form["refresh_token"] for form in self.forms]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def endpoint() -> RotatingEndpoint:
    return RotatingEndpoint(expires_in=HOUR_S)


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    store = Store(open_store("memory://", command_timeout_s=0.5), "test", timeout_s=0.5)
    yield store
    await store.aclose()


@pytest.fixture
def tokens(store: Store, clock: Clock) -> ShakyTokens:
    return ShakyTokens(store, StoreTime(clock))


@pytest.fixture
async def replica(
    endpoint: RotatingEndpoint, tokens: ShakyTokens, clock: Clock
) -> AsyncIterator[Callable[..., OAuthToken]]:
    """Another process with the same configuration, or with another refresh token."""
    made: list[OAuthToken] = []

    def make(refresh_token: str = "first", *, shared: bool = True) -> OAuthToken:
        store = tokens if shared else None
        grant = RefreshGrant(CLIENT, refresh_token, store)
        made.append(
            OAuthToken(endpoint, "/oauth/token", grant, name="p", monotonic=clock, tokens=store)
        )
        return made[-1]

    yield make
    for one in made:
        await one.aclose()


async def test_the_configured_refresh_token_is_shown_with_the_client(
    replica: Callable[..., OAuthToken], endpoint: RotatingEndpoint
) -> None:
    assert await replica(shared=False).headers() == bearer(1)
    assert endpoint.forms == [
        {**CLIENT, "grant_type": "refresh_token", "refresh_token": "first"},
    ]


@pytest.mark.parametrize("shared", [True, False])
async def test_a_refresh_token_that_the_server_replaced_is_not_shown_again(
    replica: Callable[..., OAuthToken], endpoint: RotatingEndpoint, clock: Clock, *, shared: bool
) -> None:
    one = replica(shared=shared)
    for number in (1, 2, 3):
        assert await one.headers() == bearer(number)
        clock.now += HOUR_S
    assert endpoint.shown == ["first", "r1", "r2"]


async def test_a_refresh_token_that_is_not_replaced_stays(
    replica: Callable[..., OAuthToken], endpoint: RotatingEndpoint, clock: Clock
) -> None:
    endpoint.rotates = False
    one = replica()
    await one.headers()
    clock.now += HOUR_S
    await one.headers()
    assert endpoint.shown == ["first", "first"]


async def test_a_configured_token_that_is_good_is_not_copied_into_the_store(
    replica: Callable[..., OAuthToken], endpoint: RotatingEndpoint, store: Store
) -> None:
    endpoint.rotates = False
    await replica().headers()
    (access,) = [key async for key in store.client.scan_iter()]
    assert "first" not in str(await store.client.get(access))


async def test_a_token_that_is_no_longer_replaced_stays_the_newest(
    replica: Callable[..., OAuthToken], endpoint: RotatingEndpoint, clock: Clock
) -> None:
    await replica().headers()
    endpoint.rotates = False
    for _ in range(2):
        clock.now += HOUR_S
        await replica().headers()
    assert endpoint.shown == ["first", "r1", "r1"]


async def test_the_newest_refresh_token_is_every_replicas(
    replica: Callable[..., OAuthToken], endpoint: RotatingEndpoint, clock: Clock
) -> None:
    first, second = replica(), replica()
    await first.headers()
    clock.now += HOUR_S
    assert await second.headers() == bearer(2)
    clock.now += HOUR_S
    for headers in await asyncio.gather(first.headers(), second.headers()):
        assert headers == bearer(3)
    assert endpoint.shown == ["first", "r1", "r2"]


async def test_a_process_that_ends_still_keeps_the_token_that_is_on_its_way(
    replica: Callable[..., OAuthToken], endpoint: RotatingEndpoint, clock: Clock
) -> None:
    """The server takes no other one from then on, so nobody would get in any more."""
    one = replica()
    await one.headers()
    clock.now += HOUR_S - 60
    endpoint.answers = asyncio.Event()
    await one.headers()  # and renews it behind
    while endpoint.good != "r2":
        await asyncio.sleep(0)
    closing = asyncio.create_task(one.aclose())
    await asyncio.sleep(0)
    endpoint.answers.set()
    await closing
    clock.now += HOUR_S
    assert await replica().headers() == bearer(3)
    assert endpoint.shown == ["first", "r1", "r2"]


async def test_a_process_that_starts_later_knows_the_newest(
    replica: Callable[..., OAuthToken], endpoint: RotatingEndpoint, clock: Clock
) -> None:
    await replica().headers()
    clock.now += HOUR_S
    assert await replica().headers() == bearer(2)
    assert endpoint.shown == ["first", "r1"]


async def test_a_kept_token_that_is_refused_gives_way_to_the_configured_one(
    replica: Callable[..., OAuthToken], endpoint: RotatingEndpoint, clock: Clock
) -> None:
    one = replica()
    await one.headers()
    endpoint.good = "first"  # somebody let it in again
    clock.now += HOUR_S
    assert await one.headers() == bearer(3)
    clock.now += HOUR_S
    assert await replica().headers() == bearer(4)
    assert endpoint.shown == ["first", "r1", "first", "r3"]


async def test_a_refused_token_is_not_tried_twice_and_not_for_ever(
    replica: Callable[..., OAuthToken], endpoint: RotatingEndpoint, clock: Clock
) -> None:
    one = replica()
    await one.headers()
    endpoint.good = "nothing that we know"
    clock.now += HOUR_S
    with pytest.raises(PermanentError, match="invalid_grant"):
        await one.headers()
    assert endpoint.shown == ["first", "r1", "first"]
    endpoint.good = "r1"
    clock.now += REFUSED_S
    assert await one.headers() == bearer(4)


async def test_while_the_store_is_away_a_replica_goes_on_with_what_it_has(
    replica: Callable[..., OAuthToken],
    endpoint: RotatingEndpoint,
    tokens: ShakyTokens,
    clock: Clock,
) -> None:
    one = replica()
    tokens.away = True
    for _ in range(2):
        await one.headers()
        clock.now += HOUR_S
    tokens.away = False
    await one.headers()
    assert endpoint.shown == ["first", "r1", "r2"]


async def test_a_token_that_could_not_be_kept_is_found_again_behind_the_older_one(
    replica: Callable[..., OAuthToken],
    endpoint: RotatingEndpoint,
    tokens: ShakyTokens,
    clock: Clock,
) -> None:
    one = replica()
    await one.headers()
    clock.now += HOUR_S
    tokens.away = True
    await one.headers()
    tokens.away = False
    clock.now += HOUR_S
    assert await one.headers() == bearer(4)
    assert endpoint.shown == ["first", "r1", "r1", "r2"]


async def test_a_replica_with_an_old_token_takes_the_kept_one_and_overwrites_it_not(
    replica: Callable[..., OAuthToken],
    endpoint: RotatingEndpoint,
    tokens: ShakyTokens,
    clock: Clock,
) -> None:
    behind = replica()
    await replica().headers()
    tokens.away = True
    with pytest.raises(PermanentError):
        await behind.headers()
    tokens.away = False
    clock.now += HOUR_S
    assert await behind.headers() == bearer(3)
    assert endpoint.shown == ["first", "first", "r1"]


async def test_a_newly_configured_token_starts_anew(
    replica: Callable[..., OAuthToken], endpoint: RotatingEndpoint
) -> None:
    await replica().headers()
    endpoint.good = "second"
    assert await replica("second").headers() == bearer(2)
    assert endpoint.shown == ["first", "second"]


KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


async def test_an_assertion_says_who_asks_for_whom_and_is_signed() -> None:
    grant = JwtGrant(CLAIMS, f"\n{PEM}\n", key_id="k1", more={"client_id": "c1"})
    form = await grant.form()
    assert (form["grant_type"], form["client_id"]) == (JWT_BEARER, "c1")
    claims = jwt.decode(
        form["assertion"], KEY.public_key(), algorithms=["RS256"], audience=CLAIMS["aud"]
    )
    assert {key: claims[key] for key in CLAIMS} == CLAIMS
    assert claims["exp"] - claims["iat"] == ASSERTION_S
    assert abs(claims["iat"] - time.time()) < 60
    assert jwt.get_unverified_header(form["assertion"])["kid"] == "k1"


async def test_an_assertion_of_another_key_is_told_apart() -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = await JwtGrant(CLAIMS, PEM).form()
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(
            form["assertion"], other.public_key(), algorithms=["RS256"], audience=CLAIMS["aud"]
        )


@pytest.mark.parametrize("key", ["", "no key", PEM[:200], PEM.replace("PRIVATE", "PUBLIC")])
def test_a_key_that_cannot_sign_stops_the_start_and_is_not_shown(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        JwtGrant(CLAIMS, key)
    assert str(caught.value) == "jwt_bearer: the private key is no RSA key in PEM form"
    assert caught.value.__cause__ is None


def test_without_the_extra_one_sentence_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(ConfigError, match='needs the extra "jwt" to be installed'):
        JwtGrant(CLAIMS, PEM)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            RefreshGrant(CLIENT, "account 1", None),
            RefreshGrant(CLIENT, "account 2", None),
        ),
        (
            FixedGrant(
                {**CLIENT, "grant_type": "client_credentials", "scope": "https://a/.default"}
            ),
            FixedGrant(
                {**CLIENT, "grant_type": "client_credentials", "scope": "https://b/.default"}
            ),
        ),
        (JwtGrant(CLAIMS, PEM), JwtGrant({**CLAIMS, "sub": "other@example.com"}, PEM)),
    ],
    ids=["refresh_token", "client_credentials", "jwt_bearer"],
)
def test_who_asks_for_something_else_shares_no_token(one: Grant, other: Grant) -> None:
    assert one.identity != other.identity


@pytest.mark.parametrize(
    "grant",
    [
        FixedGrant({**CLIENT, "grant_type": "password", "username": "a", "password": "hunter2"}),
        RefreshGrant(CLIENT, "hunter2", None),
        JwtGrant(CLAIMS, PEM),
    ],
    ids=["password", "refresh_token", "jwt_bearer"],
)
def test_no_secret_is_in_the_identity_or_repr_of_a_grant(grant: Grant) -> None:
    shown = f"{dict(grant.identity)} {grant!r}"
    assert not [secret for secret in ("s3cret", "hunter2", "PRIVATE KEY") if secret in shown]

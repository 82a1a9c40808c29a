"""One token for all replicas: fetched once, whoever needs it first."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from broker.domain.errors import StoreUnavailableError, TemporaryError
from broker.http_client import OAuthToken
from broker.http_client.auth import REJECTED_S
from broker.http_client.grants import FixedGrant
from broker.stores.clock import StoreClock
from broker.stores.connection import Store, open_store
from broker.stores.shared import RedisTokens
from tests.unit.http_client.test_auth import DAY_S, GRANT, Clock, Endpoint, bearer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from broker.ports import SharedToken


class ShakyTokens(RedisTokens):
    """The store's tokens; away when told so."""

    away = False

    async def find(self, name: str) -> SharedToken | None:
        self._look()
        return await super().find(name)

    async def keep(self, name: str, token: SharedToken) -> None:
        self._look()
        await super().keep(name, token)

    def _look(self) -> None:
        if self.away:
            raise StoreUnavailableError("store: away", 1.0)


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    store = Store(open_store("memory://", command_timeout_s=0.5), "test", timeout_s=0.5)
    yield store
    await store.aclose()


class StoreTime(StoreClock):
    """The store's time, moved with the test's clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def time(self) -> float:
        return self._clock.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(store: Store, clock: Clock) -> ShakyTokens:
    return ShakyTokens(store, StoreTime(clock))


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
async def replicas(
    endpoint: Endpoint, tokens: ShakyTokens, clock: Clock
) -> AsyncIterator[list[OAuthToken]]:
    """Three processes' worth of one authorizer."""
    made = [
        OAuthToken(
            endpoint, "/oauth/token", FixedGrant(GRANT), name="p", monotonic=clock, tokens=tokens
        )
        for _ in range(3)
    ]
    yield made
    for replica in made:
        await replica.aclose()


async def headers(replicas: Sequence[OAuthToken]) -> list[dict[str, str]]:
    return [dict(h) for h in await asyncio.gather(*(r.headers() for r in replicas))]


async def test_token_is_fetched_once_for_all_replicas(
    replicas: list[OAuthToken], endpoint: Endpoint
) -> None:
    assert await headers(replicas) == [bearer(1)] * 3
    assert len(endpoint.forms) == 1


async def test_token_that_is_rejected_everywhere_is_fetched_once_more(
    replicas: list[OAuthToken], endpoint: Endpoint, clock: Clock
) -> None:
    await headers(replicas)
    clock.now += REJECTED_S
    for replica in replicas:
        replica.reject()
    assert await headers(replicas) == [bearer(2)] * 3
    assert len(endpoint.forms) == 2


async def test_expired_token_is_fetched_once_per_expiry(
    endpoint: Endpoint, replicas: list[OAuthToken], clock: Clock
) -> None:
    await headers(replicas)
    for expiry in (2, 3):
        clock.now += DAY_S
        assert await headers(replicas) == [bearer(expiry)] * 3
    assert len(endpoint.forms) == 3


async def test_while_the_store_is_away_each_replica_fetches_its_own_once(
    replicas: list[OAuthToken], tokens: ShakyTokens, endpoint: Endpoint
) -> None:
    tokens.away = True
    await headers(replicas)
    await headers(replicas)
    assert len(endpoint.forms) == 3


async def test_replica_that_fails_to_fetch_leaves_the_turn_to_the_next(
    replicas: list[OAuthToken], endpoint: Endpoint
) -> None:
    endpoint.next = [TemporaryError("down"), TemporaryError("down")]
    results = await asyncio.gather(*(r.headers() for r in replicas), return_exceptions=True)
    assert [type(r) for r in results].count(TemporaryError) == 1
    assert len(endpoint.forms) == 3


async def test_store_holds_no_credentials_and_forgets_the_token_with_its_life(
    replicas: list[OAuthToken], store: Store
) -> None:
    await headers(replicas)
    (key,) = [key async for key in store.client.scan_iter()]  # and no lock is left
    held = key + await store.client.get(key)
    assert not [secret for secret in GRANT.values() if secret.strip().encode() in held]
    assert 0 < await store.client.pttl(key) <= DAY_S * 1000


async def test_other_credentials_have_another_token(
    replicas: list[OAuthToken], endpoint: Endpoint, tokens: ShakyTokens, clock: Clock
) -> None:
    await headers(replicas)
    grant = {**GRANT, "username": "other@example.com"}
    other = OAuthToken(
        endpoint, "/oauth/token", FixedGrant(grant), name="p", monotonic=clock, tokens=tokens
    )
    assert await other.headers() == bearer(2)
    await other.aclose()


async def test_other_server_has_another_token(
    replicas: list[OAuthToken], endpoint: Endpoint, tokens: ShakyTokens, clock: Clock
) -> None:
    await headers(replicas)
    elsewhere = Endpoint(base_url="https://sandbox.crm.test", forms=endpoint.forms)
    other = OAuthToken(
        elsewhere, "/oauth/token", FixedGrant(GRANT), name="p", monotonic=clock, tokens=tokens
    )
    assert await other.headers() == bearer(2)
    await other.aclose()

"""Where outbound requests get their credentials from, on a clock that the test moves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from broker.domain.errors import BrokerError, ConfigError, PermanentError, TemporaryError
from broker.http_client import FixedHeaders, JsonClient, OAuthToken, Reply
from broker.http_client.auth import FETCH_S, PAUSE_S, REFUSED_S, REJECTED_S
from broker.http_client.grants import FixedGrant
from broker.ports import set_deadline, time_left

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DAY_S = 43_200
GRANT = {"grant_type": "password", "username": "agent@example.com", "password": "hunter2\n"}


@dataclass
class Clock:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Endpoint(JsonClient):
    """A token endpoint: hands out t1, t2 ... or what `next` says; waits while it is closed."""

    tokens = None
    base_url: str = "https://crm.test"
    expires_in: Any = DAY_S
    next: list[Reply | BrokerError] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    left: list[float] = field(default_factory=list)
    """Seconds that each request could have waited for its turn."""
    budget: bool = True
    """Whether one more request may be sent."""

    def __post_init__(self) -> None:
        self.open.set()

    def may_repeat(self) -> bool:
        return self.budget

    async def request(self, method: str, path: str, **rest: Any) -> Reply:
        assert (method, path) == ("POST", "/oauth/token")
        self.forms.append(dict(rest["form"]))
        self.left.append(time_left(0.0))
        await self.open.wait()
        if self.next:
            answer = self.next.pop(0)
            if isinstance(answer, BrokerError):
                raise answer
            return answer
        body = {"access_token": f"t{len(self.forms)}\n", "expires_in": self.expires_in}
        return Reply(200, body, {})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
async def token(endpoint: Endpoint, clock: Clock) -> AsyncIterator[OAuthToken]:
    token = OAuthToken(
        endpoint, "/oauth/token", FixedGrant(GRANT), name="platform", monotonic=clock
    )
    yield token
    await token.aclose()


def bearer(number: int) -> dict[str, str]:
    return {"Authorization": f"Bearer t{number}"}


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_token_is_fetched_with_trimmed_secrets_and_kept(
    token: OAuthToken, endpoint: Endpoint
) -> None:
    assert await token.headers() == bearer(1)
    assert await token.headers() == bearer(1)
    assert endpoint.forms == [GRANT | {"password": "hunter2"}]


async def test_all_who_wait_for_a_token_share_one_fetch(
    token: OAuthToken, endpoint: Endpoint
) -> None:
    assert await asyncio.gather(*(token.headers() for _ in range(20))) == [bearer(1)] * 20
    assert len(endpoint.forms) == 1


async def test_a_caller_whose_deadline_ends_does_not_stop_the_fetch(
    token: OAuthToken, endpoint: Endpoint
) -> None:
    endpoint.open.clear()
    waiting = asyncio.create_task(token.headers())
    await settle()
    waiting.cancel()
    await settle()
    endpoint.open.set()
    assert await token.headers() == bearer(1)
    assert len(endpoint.forms) == 1


async def test_a_fetch_has_its_own_time_not_what_is_left_of_the_first_caller_s_lookup(
    token: OAuthToken, endpoint: Endpoint
) -> None:
    """It would never get its turn at a CRM with rate_per_s."""
    set_deadline(0.01)
    await token.headers()
    assert endpoint.left[0] == pytest.approx(FETCH_S, abs=5.0)


async def test_nobody_waits_for_a_renewal_while_the_old_token_is_good(
    token: OAuthToken, endpoint: Endpoint, clock: Clock
) -> None:
    await token.headers()
    clock.now += DAY_S - 200
    endpoint.open.clear()
    assert await token.headers() == bearer(1)
    assert await token.headers() == bearer(1)
    await settle()
    assert len(endpoint.forms) == 2
    endpoint.open.set()
    await settle()
    assert await token.headers() == bearer(2)


async def test_a_failed_renewal_is_not_tried_again_at_every_call(
    token: OAuthToken, endpoint: Endpoint, clock: Clock
) -> None:
    await token.headers()
    clock.now += DAY_S - 200
    endpoint.next = [TemporaryError("HTTP 503", retry_after=99.0)]
    for _ in range(3):
        assert await token.headers() == bearer(1)
        await settle()
    assert len(endpoint.forms) == 2
    clock.now += PAUSE_S
    await token.headers()
    await settle()
    assert await token.headers() == bearer(3)


async def test_an_expired_token_is_not_used(
    token: OAuthToken, endpoint: Endpoint, clock: Clock
) -> None:
    endpoint.expires_in = 60
    await token.headers()
    clock.now += 60
    assert await token.headers() == bearer(2)


async def test_a_short_lived_token_is_used_for_most_of_its_life(
    token: OAuthToken, endpoint: Endpoint, clock: Clock
) -> None:
    endpoint.expires_in = 60
    await token.headers()
    clock.now += 47
    await token.headers()
    await settle()
    assert len(endpoint.forms) == 1


@pytest.mark.parametrize("expires_in", [None, 0, -1, "soon", True, [], {}])
async def test_a_token_without_a_usable_end_does_not_expire(
    token: OAuthToken, endpoint: Endpoint, clock: Clock, expires_in: object
) -> None:
    endpoint.expires_in = expires_in
    await token.headers()
    clock.now += 10 * 365 * DAY_S
    assert await token.headers() == bearer(1)


async def test_a_life_time_spelled_as_text_counts(
    token: OAuthToken, endpoint: Endpoint, clock: Clock
) -> None:
    endpoint.expires_in = "60"
    await token.headers()
    clock.now += 60
    assert await token.headers() == bearer(2)


async def test_a_rejected_token_is_replaced(token: OAuthToken) -> None:
    await token.headers()
    token.reject()
    assert await token.headers() == bearer(2)


async def test_a_server_that_rejects_everything_starts_no_storm_of_renewals(
    token: OAuthToken, endpoint: Endpoint, clock: Clock
) -> None:
    await token.headers()
    for _ in range(10):
        token.reject()
        await token.headers()
    assert len(endpoint.forms) == 2
    clock.now += REJECTED_S
    token.reject()
    assert await token.headers() == bearer(3)


@pytest.mark.parametrize(
    ("reply", "named"),
    [
        (Reply(400, {"error": "invalid_grant", "error_description": "x"}, {}), "invalid_grant"),
        (Reply(400, {"error": "agent@example.com is locked"}, {}), "HTTP 400"),
        (Reply(401, None, {}), "HTTP 401"),
        (Reply(403, ["x"], {}), "HTTP 403"),
    ],
)
async def test_refused_credentials_are_named_without_values(
    token: OAuthToken, endpoint: Endpoint, reply: Reply, named: str
) -> None:
    endpoint.next = [reply]
    with pytest.raises(PermanentError) as caught:
        await token.headers()
    assert str(caught.value) == f"platform: the credentials were refused ({named})"


@pytest.mark.parametrize("status", [404, 405])
async def test_an_address_without_tokens_is_named_as_the_fault(
    token: OAuthToken, endpoint: Endpoint, status: int
) -> None:
    endpoint.next = [Reply(status, {"error": "x"}, {})]
    with pytest.raises(
        PermanentError, match="nothing gives tokens at this address: check base_url"
    ):
        await token.headers()


async def test_refused_credentials_are_left_alone_for_a_while(
    token: OAuthToken, endpoint: Endpoint, clock: Clock
) -> None:
    endpoint.next = [Reply(400, {"error": "invalid_grant"}, {})]
    for _ in range(3):
        with pytest.raises(PermanentError, match="invalid_grant"):
            await token.headers()
    assert len(endpoint.forms) == 1
    clock.now += REFUSED_S
    assert await token.headers() == bearer(2)


async def test_an_endpoint_that_is_down_is_asked_again_by_the_next_caller(
    token: OAuthToken, endpoint: Endpoint
) -> None:
    endpoint.next = [TemporaryError("HTTP 503", retry_after=99.0)]
    with pytest.raises(TemporaryError):
        await token.headers()
    assert await token.headers() == bearer(2)


async def test_a_refusal_is_one_whatever_its_status(token: OAuthToken, endpoint: Endpoint) -> None:
    endpoint.next = [Reply(200, {"error": "invalid_code"}, {})]
    with pytest.raises(PermanentError, match=r"the credentials were refused \(invalid_code\)"):
        await token.headers()


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"access_token": None},
        {"access_token": " "},
        {"access_token": "a b"},
        {"access_token": "a\r\nX: y"},
        {"access_token": "é"},
    ],
)
async def test_an_answer_without_a_usable_token_is_an_error(
    token: OAuthToken, endpoint: Endpoint, body: object
) -> None:
    endpoint.next = [Reply(200, body, {})]
    with pytest.raises(PermanentError, match="no usable access_token"):
        await token.headers()


async def test_fixed_headers_lose_the_newline_of_a_secret_file() -> None:
    assert await FixedHeaders.bearer(" abc\n", name="crm").headers() == {
        "Authorization": "Bearer abc"
    }
    assert await FixedHeaders({"X-Api-Key": "abc\r\n"}, name="crm").headers() == {
        "X-Api-Key": "abc"
    }


@pytest.mark.parametrize("secret", ["", "\n", "hunter2\nX: y", "hunter2\0", "hünter2"])
def test_a_secret_that_cannot_stand_in_a_header_stops_the_start(secret: str) -> None:
    with pytest.raises(ConfigError) as caught:
        FixedHeaders.bearer(secret, name="crm.shop")
    assert "crm.shop" in str(caught.value)
    assert "unter2" not in str(caught.value)


@pytest.mark.parametrize(("budget", "asked"), [(True, 2), (False, 1)])
async def test_fetch_is_repeated_only_within_the_retry_budget_of_its_dependency(
    endpoint: Endpoint, token: OAuthToken, *, budget: bool, asked: int
) -> None:
    endpoint.budget = budget
    endpoint.next = [TemporaryError("HTTP 503", retry_after=0.0)] * 2
    with pytest.raises(TemporaryError):
        await token.headers()
    assert len(endpoint.forms) == asked

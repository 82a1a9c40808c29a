"""The driver judged by a mock made from babelforce's own API description."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from broker.platforms.babelforce import BabelforceOptions, BabelforcePlatform
from broker.sdk import CallEndedError, CallRef, PermanentError, Session, TemporaryError
from broker.testing.platform_kit import POP
from broker.testing.platform_kit import REPORT as OF_THE_KIT
from tests.prism import START_S, mocks
from tests.timely import sometimes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(START_S + 30)

# The ids of the examples in the description; the mock has no others.
CALL = "7c3f9a2e4b5d6e8f9a0b1c2d3e4f5a6b"
REPORT = replace(OF_THE_KIT, call_id=CALL)
SESSION = Session("1a2b3c4d5e6f7a8b9c0d1e2f3a4b5c6d", "given")
WITHIN_S = 5.0
TOKEN = {"kind": "token", "token": "t1"}


@pytest.fixture(scope="module")
def mock_url(specs: Path, prism: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the mock listens. It checks every request against the description (422 if wrong)."""
    description = specs / "babelforce-subset.openapi.yaml"
    with mocks(prism, [description], tmp_path_factory.mktemp("prism")) as (url,):
        yield url


@pytest.fixture
async def driver(mock_url: str) -> AsyncIterator[Callable[..., BabelforcePlatform]]:
    """Makes a driver; `prefer` tells the mock which of the described answers to give."""
    sessions: list[aiohttp.ClientSession] = []

    def make(auth: dict[str, Any], prefer: str | None = None) -> BabelforcePlatform:
        headers = {} if prefer is None else {"Prefer": prefer}
        sessions.append(aiohttp.ClientSession(headers=headers))
        options = BabelforceOptions.model_validate({"base_url": mock_url, "auth": auth})
        return BabelforcePlatform(options, sessions[-1])

    yield make
    for session in sessions:
        await session.close()


@pytest.mark.parametrize(
    "auth",
    [
        {"username": "agent@example.com", "password": "secret"},
        {"kind": "client_credentials", "client_id": "c1", "client_secret": "secret"},
        TOKEN,
    ],
    ids=lambda auth: auth.get("kind", "password"),
)
async def test_a_described_sign_in_lets_a_described_write_through(
    driver: Callable[..., BabelforcePlatform], auth: dict[str, Any]
) -> None:
    platform = driver(auth)
    await platform.write(SESSION, {"ivr.email": "a@example.com", "ivr.premium": True}, within=5.0)
    assert await platform.ping()


async def test_the_session_of_a_call_is_read_where_it_is_described(
    driver: Callable[..., BabelforcePlatform],
) -> None:
    found = await driver(TOKEN, "example=active").find_session(CallRef(CALL), within=WITHIN_S)
    assert found == Session(SESSION.id, "resolved")


async def test_session_variables_are_read_where_they_are_described(
    driver: Callable[..., BabelforcePlatform],
) -> None:
    assert await driver(TOKEN, "example=found").read_session(SESSION, within=WITHIN_S) == {
        "ivr.email": "customer@example.com",
        "ivr.premium": True,
        "ivr.track_id": "TRK-0001",
    }


async def test_a_described_push_and_a_described_event_go_through(
    driver: Callable[..., BabelforcePlatform],
) -> None:
    """The mock refuses a body that is not as described; 200 is an answer to both."""
    platform = driver(TOKEN)
    await platform.pop_screen(POP, within=WITHIN_S)
    await platform.log_back(REPORT, within=WITHIN_S)


async def test_figures_are_read_where_they_are_described(
    driver: Callable[..., BabelforcePlatform],
) -> None:
    figures = await driver(TOKEN).figures(within=WITHIN_S)
    assert figures.missing == ()
    assert figures.ewt_seconds is not None


async def test_an_expired_session_is_over(driver: Callable[..., BabelforcePlatform]) -> None:
    with pytest.raises(CallEndedError):
        await driver(TOKEN, "example=expired").read_session(SESSION, within=WITHIN_S)


@pytest.mark.parametrize(
    ("code", "error"),
    [(401, PermanentError), (404, CallEndedError), (429, TemporaryError), (503, TemporaryError)],
)
async def test_the_assumed_errors_are_understood(
    driver: Callable[..., BabelforcePlatform], code: int, error: type[Exception]
) -> None:
    write = driver(TOKEN, f"code={code}").write
    within = 0.9 if code == 429 else WITHIN_S  # the mock wants a second, which is more

    async def understood() -> bool:
        with pytest.raises(error) as caught:
            await write(SESSION, {"ivr.lookup": "found"}, within=within)
        return code != 429 or getattr(caught.value, "retry_after", None) == 1.0

    assert await sometimes(understood)


async def test_the_old_pair_of_headers_is_not_part_of_the_description(
    driver: Callable[..., BabelforcePlatform],
) -> None:
    pair = {"kind": "legacy_headers", "access_id": "a", "access_token": "b"}
    with pytest.raises(PermanentError, match="401"):
        await driver(pair).ping()

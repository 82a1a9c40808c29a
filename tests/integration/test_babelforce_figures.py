"""Live figures of the babelforce driver: the exact requests, and odd or partial answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from broker.http_client import open_session
from broker.platforms.babelforce import BabelforceOptions, BabelforcePlatform
from broker.sandbox import credentials
from broker.sandbox.server import running_sandbox
from broker.sdk import Figures, PermanentError, TemporaryError
from broker.testing.loopback import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    Make = Callable[..., BabelforcePlatform]

WAIT = "/api/v2/metrics/queues.expected.wait-time.avg"
AGENTS = "/api/v2/metrics/agents.state.available.total"
HOURS = "/api/v2/business-hours"
WITHIN_S = 5.0
LINE, NIGHT = "b" * 32, "046b6c7f-0b8a-43b9-b35d-6489e6daee91"


def metric(value: object) -> dict[str, Any]:
    return {"metric": {"value": value}, "success": True}


def profile(name: str, active: object, **more: object) -> dict[str, object]:
    return {"id": LINE, "name": name, "timeZone": "UTC", "active": active, **more}


def hours(*profiles: dict[str, object]) -> dict[str, Any]:
    return {"items": list(profiles), "pagination": {"pages": 1}}


class Account:
    """Answers each path with a body, or with a status if it is a number."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, Any] = {
            WAIT: metric(45),
            AGENTS: metric(3),
            HOURS: hours(profile("Line", active=True)),
        }

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.path_qs}")
        answer = self.answers[request.path]
        if isinstance(answer, int):
            return web.json_response({"code": "NO"}, status=answer)
        return web.json_response(answer)


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
async def make(account: Account) -> AsyncIterator[Make]:
    async with TestServer(account.application()) as server, open_session(LOOPBACK) as http:

        def driver(**options: Any) -> BabelforcePlatform:
            auth = {"kind": "token", "token": "hunter2"}
            given = {"base_url": str(server.make_url("/")), "auth": auth, "live_figures": True}
            return BabelforcePlatform(BabelforceOptions.model_validate(given | options), http)

        yield driver


def test_they_are_off_unless_switched_on(make: Make) -> None:
    assert make().tells_figures
    assert not make(live_figures=False).tells_figures


async def test_two_metrics_and_the_business_hours_are_read(make: Make, account: Account) -> None:
    figures = await make().figures(within=WITHIN_S)
    assert figures == Figures(45.0, 3, {"": True})
    assert sorted(account.asked) == [f"GET {HOURS}?max=100", f"GET {AGENTS}", f"GET {WAIT}"]


async def test_the_wait_may_be_counted_in_milliseconds(make: Make, account: Account) -> None:
    account.answers[WAIT] = metric(45_000)
    assert (await make(wait_unit="ms").figures(within=WITHIN_S)).ewt_seconds == 45.0


@pytest.mark.parametrize(("value", "seconds"), [("12.5", 12.5), (0, 0.0), ("7", 7.0)])
async def test_a_metric_may_be_a_number_in_a_text(
    make: Make, account: Account, value: object, seconds: float
) -> None:
    account.answers[WAIT] = metric(value)
    assert (await make().figures(within=WITHIN_S)).ewt_seconds == seconds


@pytest.mark.parametrize(
    "answer",
    [
        *map(metric, (None, "", "soon", True, -1, "NaN", [45], {})),
        {"metric": 45, "success": True},
        {"metric": {"value": 45}, "success": False},
        [],
        403,
        404,
    ],
)
async def test_what_one_metric_does_not_tell_is_missing_and_the_rest_is_told(
    make: Make, account: Account, answer: object
) -> None:
    account.answers[WAIT] = answer
    figures = await make().figures(within=WITHIN_S)
    assert (figures.ewt_seconds, figures.agents_available, figures.open) == (None, 3, {"": True})
    assert len(figures.missing) == 1
    assert figures.missing[0].startswith("wait: babelforce")


async def test_called_numbers_have_the_business_hours_that_the_operator_names(
    make: Make, account: Account
) -> None:
    night = profile("Night", active=False) | {"id": NIGHT.replace("-", "")}
    account.answers[HOURS] = hours(profile("Line", active=True), night)
    named = make(business_hours={"+49": "Line", "+4930": NIGHT, "+44": "Night"})
    figures = await named.figures(within=WITHIN_S)
    told = [figures.is_open(number) for number in ("+4989", "+493012", "+4420", "+1", None)]
    assert told == [True, False, False, None, None]


async def test_one_profile_is_that_of_all_numbers_and_of_several_none_is_guessed(
    make: Make, account: Account
) -> None:
    closed, disabled = profile("A", active=False), profile("B", active=True, enabled=False)
    account.answers[HOURS] = hours(closed, disabled)
    assert (await make().figures(within=WITHIN_S)).is_open("+49") is False
    account.answers[HOURS] = hours(closed, profile("B", active=True))
    assert (await make().figures(within=WITHIN_S)).is_open("+49") is None


@pytest.mark.parametrize(
    "answer", [hours(), hours(profile("Line", active=None)), {}, {"items": {}}, [], 403]
)
async def test_business_hours_that_are_not_told_are_missing(
    make: Make, account: Account, answer: object
) -> None:
    account.answers[HOURS] = answer
    figures = await make(business_hours={"+49": "Line"}).figures(within=WITHIN_S)
    assert (figures.ewt_seconds, figures.is_open("+49")) == (45.0, None)
    assert figures.missing[0].startswith("business hours: babelforce")


@pytest.mark.parametrize(("status", "error"), [(403, PermanentError), (503, TemporaryError)])
async def test_an_account_that_tells_nothing_at_all_is_an_error(
    make: Make, account: Account, status: int, error: type[Exception]
) -> None:
    account.answers = dict.fromkeys(account.answers, status)
    with pytest.raises(error):
        await make().figures(within=WITHIN_S)


async def test_the_sandbox_tells_figures_too() -> None:
    async with running_sandbox() as sandbox, open_session(LOOPBACK) as http:
        auth = {"kind": "token", "token": credentials.PLATFORM_TOKEN}
        given = {"base_url": sandbox.base_url, "auth": auth, "live_figures": True}
        driver = BabelforcePlatform(BabelforceOptions.model_validate(given), http)
        assert await driver.figures(within=WITHIN_S) == Figures(45.0, 3, {"": True})

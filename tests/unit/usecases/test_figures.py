"""Live figures: young enough, asked for once, and never waited for long."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from broker.domain.errors import PermanentError, TemporaryError
from broker.domain.figures import Figures
from broker.testing.fake_clock import FakeClock
from broker.testing.fake_platform import FakePlatform
from broker.usecases.figures import LATE, NOT_TOLD, LiveFigures

QUIET, BUSY = Figures(5.0, 9), Figures(600.0, 0)


@pytest.fixture
def platform() -> FakePlatform:
    return FakePlatform(FakeClock(), tells_figures=True, now=QUIET)


@pytest.fixture
def figures(platform: FakePlatform) -> LiveFigures:
    return LiveFigures(platform, platform.clock, fresh_s=5.0, wait_s=0.3)


async def test_figures_are_told_again_while_they_are_fresh(
    platform: FakePlatform, figures: LiveFigures
) -> None:
    assert await figures.now() == QUIET
    platform.now = BUSY
    await asyncio.sleep(4.9)
    assert await figures.now() == QUIET
    await asyncio.sleep(0.2)
    assert await figures.now() == BUSY
    assert platform.asked_figures == 2


async def test_all_calls_of_one_moment_share_one_question(
    platform: FakePlatform, figures: LiveFigures
) -> None:
    platform.delay_s = 0.1
    assert await asyncio.gather(*(figures.now() for _ in range(50))) == [QUIET] * 50
    assert platform.asked_figures == 1


async def test_a_slow_platform_is_not_waited_for_and_its_answer_serves_the_next_call(
    platform: FakePlatform, figures: LiveFigures
) -> None:
    platform.delay_s = 1.0
    began = platform.clock.monotonic()
    assert await figures.now() == LATE
    assert platform.clock.monotonic() - began == pytest.approx(0.3)
    await asyncio.sleep(1.0)
    assert await figures.now() == QUIET
    assert platform.asked_figures == 1


async def test_who_goes_away_takes_nothing_from_the_others(
    platform: FakePlatform, figures: LiveFigures
) -> None:
    platform.delay_s = 0.2
    first, second = (asyncio.create_task(figures.now()) for _ in range(2))
    await asyncio.sleep(0.1)
    first.cancel()
    assert await second == QUIET
    assert platform.asked_figures == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (TemporaryError("babelforce: 503"), "babelforce: 503"),
        (PermanentError("babelforce: 403"), "babelforce: 403"),
        (RuntimeError("Ada, +493023125001"), "RuntimeError"),
    ],
)
async def test_a_platform_that_fails_is_told_and_not_asked_by_every_call(
    platform: FakePlatform, figures: LiveFigures, fault: Exception, said: str
) -> None:
    platform.fail_figures(fault)
    with capture_logs() as logs:
        for _ in range(3):
            assert await figures.now() == Figures(missing=(said,))
    assert platform.asked_figures == 1
    assert [(line["event"], line["detail"]) for line in logs] == [("dependency_away", said)]
    await asyncio.sleep(5.0)
    assert await figures.now() == QUIET


async def test_a_platform_without_figures_is_never_asked(platform: FakePlatform) -> None:
    platform.tells_figures = False
    assert await LiveFigures(platform, platform.clock).now() == NOT_TOLD
    assert platform.asked_figures == 0


async def test_a_question_that_still_runs_ends_with_the_service(
    platform: FakePlatform, figures: LiveFigures
) -> None:
    platform.delay_s = 2.0
    assert await figures.now() == LATE
    await figures.aclose()
    await figures.aclose()
    assert len(asyncio.all_tasks()) == 1


def test_the_longest_beginning_of_a_called_number_says_whether_it_is_open() -> None:
    told = Figures(open={"": True, "+49": False, "+4930": True})
    assert [told.is_open(number) for number in ("+4930", "+4989", "+1", None)] == [
        True,
        False,
        True,
        True,
    ]
    assert Figures(open={"+49": True}).is_open("+1") is None

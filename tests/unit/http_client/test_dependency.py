"""One dependency as its clients share it, on a clock that the test moves."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from broker.http_client.breaker import BreakerState
from broker.http_client.dependency import Dependency, NotAskedError
from broker.presence import Presence


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def platform(clock: Clock) -> Dependency:
    return Dependency("platform", presence=Presence(clock), monotonic=clock)


def fail(platform: Dependency, times: int = 5) -> None:
    for _ in range(times):
        platform.attempt("babelforce").failed("HTTP 500")


def test_an_open_breaker_refuses_at_once_and_says_when_it_probes(platform: Dependency) -> None:
    fail(platform)
    with pytest.raises(NotAskedError, match=r"babelforce: not asked, as it failed") as caught:
        platform.attempt("babelforce")
    assert caught.value.retry_after == 2.0


@pytest.mark.parametrize(
    ("seconds", "state"), [(0.4, BreakerState.CLOSED), (0.6, BreakerState.OPEN)]
)
def test_a_cut_counts_only_if_there_was_time_for_an_answer(
    platform: Dependency, clock: Clock, seconds: float, state: BreakerState
) -> None:
    for _ in range(5):
        attempt = platform.attempt("babelforce")
        clock.now += seconds
        attempt.cut()
    assert platform.state is state


def test_a_retry_after_is_kept_to_but_not_for_ever(platform: Dependency, clock: Clock) -> None:
    platform.attempt("babelforce").declined(30.0)
    clock.now += 29.0
    with pytest.raises(NotAskedError, match="Retry-After") as caught:
        platform.attempt("babelforce")
    assert caught.value.retry_after == 1.0
    clock.now += 1.0
    platform.attempt("babelforce").declined(86_400.0)
    clock.now += 60.0
    platform.attempt("babelforce").answered()
    assert platform.state is BreakerState.CLOSED


def test_a_shorter_retry_after_takes_nothing_back(platform: Dependency, clock: Clock) -> None:
    first, second = platform.attempt("babelforce"), platform.attempt("babelforce")
    first.declined(30.0)
    second.declined(None)
    clock.now += 29.0
    with pytest.raises(NotAskedError):
        platform.attempt("babelforce")


def test_an_outage_is_told_with_two_lines(platform: Dependency, clock: Clock) -> None:
    with capture_logs() as lines:
        fail(platform, 4)
        clock.now += 30.0
        fail(platform, 3)
        platform.attempt("babelforce").answered()
        fail(platform, 1)
        clock.now += 2.0
        platform.attempt("babelforce").answered()
        platform.attempt("babelforce").answered()
    assert [(line["event"], line["dependency"]) for line in lines] == [
        ("dependency_away", "platform"),
        ("dependency_back", "platform"),
    ]
    assert lines[0]["detail"] == "HTTP 500"


def test_minute_of_outage_costs_a_probe_every_two_seconds_and_one_line(
    platform: Dependency, clock: Clock
) -> None:
    sent = 0
    with capture_logs() as lines:
        for _ in range(3000):  # 50 requests per second
            try:
                platform.attempt("babelforce").failed("HTTP 500")
                sent += 1
            except NotAskedError:
                pass
            clock.now += 0.02
        assert 5 + 60 / 2 - 2 <= sent <= 5 + 60 / 2
        assert [line["event"] for line in lines] == ["dependency_away"]
        clock.now += 2.0
        platform.attempt("babelforce").answered()
    assert platform.state is BreakerState.CLOSED
    assert [line["event"] for line in lines] == ["dependency_away", "dependency_back"]

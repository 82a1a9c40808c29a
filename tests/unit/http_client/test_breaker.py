"""When a dependency is left alone, on a clock that the test passes in."""

from __future__ import annotations

import pytest

from broker.http_client.breaker import (
    PROBED_S,
    Admission,
    Breaker,
    BreakerLimits,
    BreakerState,
    RetryBudget,
)

SENT, PROBE, REFUSED = Admission.SENT, Admission.PROBE, Admission.REFUSED


@pytest.fixture
def breaker() -> Breaker:
    return Breaker(BreakerLimits(failures=5, window_s=10.0, probe_s=2.0))


def opened(breaker: Breaker, at: float = 0.0) -> Breaker:
    for _ in range(5):
        breaker.failed(SENT, at)
    assert breaker.state is BreakerState.OPEN
    return breaker


def test_five_failures_in_ten_seconds_open_it(breaker: Breaker) -> None:
    for at in (0.0, 2.5, 5.0, 7.5):
        breaker.failed(SENT, at)
    assert breaker.admit(9.0) is SENT
    breaker.failed(SENT, 10.0)
    assert breaker.state is BreakerState.OPEN
    assert breaker.admit(10.0) is REFUSED


def test_five_failures_in_more_than_ten_seconds_do_not(breaker: Breaker) -> None:
    for at in (0.0, 2.5, 5.0, 7.5, 10.1):
        breaker.failed(SENT, at)
    assert breaker.admit(10.1) is SENT


def test_a_success_in_between_begins_the_count_anew(breaker: Breaker) -> None:
    for _ in range(4):
        breaker.failed(SENT, 0.0)
    breaker.succeeded()
    for _ in range(4):
        breaker.failed(SENT, 1.0)
    assert breaker.state is BreakerState.CLOSED


def test_after_two_seconds_one_probe_goes_out_and_nobody_else(breaker: Breaker) -> None:
    opened(breaker)
    assert breaker.admit(1.9) is REFUSED
    assert breaker.admit(2.0) is PROBE
    assert breaker.state is BreakerState.HALF_OPEN
    assert [breaker.admit(at) for at in (2.0, 3.0, 60.0)] == [REFUSED] * 3


def test_a_probe_that_succeeds_closes_it_at_once(breaker: Breaker) -> None:
    opened(breaker).admit(2.0)
    breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED
    assert breaker.admit(2.0) is SENT
    breaker.failed(SENT, 2.0)
    assert breaker.admit(2.0) is SENT


def test_a_probe_that_fails_opens_it_for_two_more_seconds(breaker: Breaker) -> None:
    opened(breaker).admit(2.0)
    breaker.failed(PROBE, 3.0)
    assert breaker.admit(4.9) is REFUSED
    assert breaker.admit(5.0) is PROBE


def test_a_probe_that_was_given_up_leaves_its_turn_to_the_next(breaker: Breaker) -> None:
    opened(breaker).admit(2.0)
    breaker.dropped(PROBE)
    assert breaker.admit(2.1) is PROBE


def test_what_was_sent_before_it_opened_neither_prolongs_nor_ends_a_probe(
    breaker: Breaker,
) -> None:
    opened(breaker)
    breaker.failed(SENT, 1.9)
    assert breaker.admit(2.0) is PROBE
    breaker.failed(SENT, 2.1)
    breaker.dropped(SENT)
    assert breaker.admit(2.2) is REFUSED


def test_who_is_refused_hears_when_to_ask_again(breaker: Breaker) -> None:
    opened(breaker)
    assert breaker.wait(0.5) == 1.5
    breaker.admit(2.0)
    assert breaker.wait(2.5) == PROBED_S


def test_retries_are_a_tenth_of_the_requests_and_one_per_second() -> None:
    budget, requests, retries = RetryBudget(), 0, 0
    for tick in range(10_000):  # 1,000 requests per second for 10 s, and all fail
        now = tick / 1000
        requests += 1
        budget.earn(now)
        if budget.spend(now):
            retries += 1
            budget.earn(now)
    assert requests * 0.1 <= retries <= requests * 0.1 + 10 * 1.1 + 10 * 1.1


def test_where_little_is_asked_every_failure_may_be_repeated() -> None:
    budget = RetryBudget()
    for now in range(0, 1000, 2):
        budget.earn(now)
        assert budget.spend(now)


def test_a_burst_of_failures_gets_ten_retries() -> None:
    budget = RetryBudget()
    assert [budget.spend(0.0) for _ in range(12)] == [True] * 10 + [False] * 2

"""When a replica says that it has too much to do."""

from __future__ import annotations

from contextlib import ExitStack

from broker.web.load import ACCEPT_S, ACCEPTS, CROWD, FEW, LATE_S, Load


def test_one_late_turn_of_the_loop_may_be_anything() -> None:
    load = Load(lambda: FEW, most=FEW * 2)
    load.measure(LATE_S * 10)
    assert not load.full


def test_late_turns_in_a_row_mean_too_much_work_until_one_is_in_time() -> None:
    load = Load(lambda: FEW, most=FEW * 2)
    load.measure(LATE_S * 2)
    load.measure(LATE_S * 2)
    assert load.full
    load.measure(0.0)
    assert not load.full


def test_as_many_calls_as_allowed_are_enough() -> None:
    calls = 9
    load = Load(lambda: calls, most=10)
    load.measure(0.0)
    assert not load.full
    calls = 10
    load.measure(0.0)
    assert load.full


def test_late_turns_with_few_calls_are_somebody_elses() -> None:
    load = Load(lambda: FEW - 1, most=FEW * 2)
    for _ in range(5):
        load.measure(LATE_S * 2)
    assert not load.full


def test_burst_of_accepts_is_bounded_at_once() -> None:
    load = Load(lambda: 0, most=10)
    with ExitStack() as crowd:
        for _ in range(ACCEPTS):
            assert not load.full
            crowd.enter_context(load.accepting())
        assert load.full
    assert not load.full


def test_slow_accept_among_many_stops_new_ones_until_it_is_done() -> None:
    now = 0.0
    load = Load(lambda: 0, most=10, monotonic=lambda: now)
    with ExitStack() as crowd:
        for _ in range(CROWD):
            crowd.enter_context(load.accepting())
        load.measure(0.0)
        assert not load.full
        now = ACCEPT_S * 1.1
        load.measure(0.0)
        assert load.full
    load.measure(0.0)
    assert not load.full


def test_slow_accept_by_itself_says_nothing_about_load() -> None:
    now = 0.0
    load = Load(lambda: 0, most=10, monotonic=lambda: now)
    with load.accepting():
        now = ACCEPT_S * 1.1
        load.measure(0.0)
        assert not load.full

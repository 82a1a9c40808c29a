"""When it is quiet where a number is, and when that ends."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.call import Phone
from broker.domain.quiet_hours import QuietHours, zones_of

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
NIGHT = QuietHours(time(21), time(8), NEW_YORK)
BERLINER, MADRILENIAN = "+4915123456789", "+34600111222"
TOLL_FREE, RUSSIAN, SATELLITE = "+18005550199", "+79161234567", "+881612345678"


def _at(text: str, zone: ZoneInfo = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def _until(hours: QuietHours, now: str, number: str | None = BERLINER) -> str | None:
    phone = Phone.from_e164(number) if number else None
    ends = hours.until(_at(now), phone)
    return datetime.fromtimestamp(ends, BERLIN).isoformat() if ends is not None else None


@pytest.mark.parametrize(
    ("now", "ends"),
    [
        ("2026-01-10T20:59:59", None),
        ("2026-01-10T21:00", "2026-01-11T08:00:00+01:00"),
        ("2026-01-10T23:59:59", "2026-01-11T08:00:00+01:00"),
        ("2026-01-11T00:00", "2026-01-11T08:00:00+01:00"),
        ("2026-01-11T07:59:59", "2026-01-11T08:00:00+01:00"),
        ("2026-01-11T08:00", None),
        ("2026-12-31T22:00", "2027-01-01T08:00:00+01:00"),
    ],
)
def test_night_spans_midnight_in_the_zone_of_the_number(now: str, ends: str | None) -> None:
    assert _until(NIGHT, now) == ends


def test_hours_within_a_day_and_no_hours_at_all() -> None:
    noon = QuietHours(time(12), time(14), NEW_YORK)
    assert _until(noon, "2026-01-10T13:00") == "2026-01-10T14:00:00+01:00"
    assert _until(noon, "2026-01-10T11:59") is None
    assert _until(QuietHours(time(8), time(8), NEW_YORK), "2026-01-10T08:00") is None


@pytest.mark.parametrize(
    ("now", "ends"),
    [
        ("2026-03-28T22:00", "2026-03-29T08:00:00+02:00"),
        ("2026-10-24T22:00", "2026-10-25T08:00:00+01:00"),
    ],
)
def test_clock_change_in_the_night_does_not_move_its_end(now: str, ends: str) -> None:
    assert _until(NIGHT, now) == ends


def test_end_that_the_clock_leaves_out_or_shows_twice_is_the_later_one() -> None:
    short = QuietHours(time(21), time(2, 30), NEW_YORK)
    assert _until(short, "2026-03-28T23:00") == "2026-03-29T03:30:00+02:00"
    assert _until(short, "2026-03-29T01:45") == "2026-03-29T03:30:00+02:00"
    assert _until(short, "2026-10-24T23:00") == "2026-10-25T02:30:00+01:00"


def test_number_of_several_zones_is_left_alone_while_it_is_quiet_in_one() -> None:
    """Spain's mobiles may be on the Canary Islands, an hour behind."""
    assert _until(NIGHT, "2026-01-10T21:30", MADRILENIAN) == "2026-01-11T09:00:00+01:00"
    assert _until(NIGHT, "2026-01-11T08:30", MADRILENIAN) == "2026-01-11T09:00:00+01:00"
    assert _until(NIGHT, "2026-01-11T09:00", MADRILENIAN) is None


def test_long_country_has_few_hours_left_and_they_are_found() -> None:
    hours = QuietHours(time(21), time(8), BERLIN)
    ends = hours.until(_at("2026-01-10T12:00"), Phone.from_e164(RUSSIAN))
    assert ends is not None
    zones = zones_of(Phone.from_e164(RUSSIAN))
    clocks = [datetime.fromtimestamp(ends, zone).time() for zone in zones]
    assert len(clocks) > 10
    assert all(time(8) <= clock < time(21) for clock in clocks)


def test_number_for_which_it_is_always_quiet_somewhere_goes_by_the_operators_clock() -> None:
    long = QuietHours(time(16), time(12), BERLIN)
    assert _until(long, "2026-01-10T13:00", RUSSIAN) is None
    assert _until(long, "2026-01-10T11:00", RUSSIAN) == "2026-01-10T12:00:00+01:00"


@pytest.mark.parametrize("number", [None, TOLL_FREE, SATELLITE])
def test_number_of_nowhere_goes_by_the_operators_clock(number: str | None) -> None:
    assert _until(NIGHT, "2026-01-11T03:00", number) == "2026-01-11T14:00:00+01:00"
    assert _until(NIGHT, "2026-01-11T14:00", number) is None


@pytest.mark.parametrize(
    ("hours", "concerned"),
    [
        (NIGHT, ["sms", "push"]),
        (QuietHours(time(21), time(8), BERLIN, channels=frozenset({"email"})), ["email"]),
    ],
)
def test_email_wakes_nobody_unless_it_is_named(hours: QuietHours, concerned: list[str]) -> None:
    places = {"sms": BERLINER, "push": "token", "email": "ada@shop.example"}
    assert [name for name, to in places.items() if hours.concern(name, to)] == concerned


@given(
    st.integers(round(_at("2024-01-01")), round(_at("2028-01-01"))),
    st.times(),
    st.times(),
    st.sampled_from([BERLINER, MADRILENIAN, TOLL_FREE, "+12125551234", "+61412345678"]),
)
def test_quiet_hours_end_within_two_days_and_then_it_is_not_quiet(
    now: int, begins: time, ends: time, number: str
) -> None:
    hours, phone = QuietHours(begins, ends, NEW_YORK), Phone.from_e164(number)
    until = hours.until(now, phone)
    if until is not None:
        assert 0 < until - now < 2 * 86_400
        assert hours.until(until, phone) is None


def test_nobody_loads_the_zones_of_numbers_without_need() -> None:
    script = "import broker.domain.quiet_hours, sys; print('phonenumbers.timezone' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"

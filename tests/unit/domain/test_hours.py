"""When a line is open: zones, holidays, the nights when clocks change, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.hours import Hours, parse_zone

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = "Mo-Fr 08:00-18:00; PH off"


def utc(*when: int) -> datetime:
    return datetime(*when, tzinfo=UTC)  # type: ignore[arg-type,misc] # year, month, ...


@pytest.mark.parametrize(
    ("now", "is_open"),
    [
        (utc(2026, 11, 23, 6, 59), False),  # a Monday; Berlin is an hour ahead in winter
        (utc(2026, 11, 23, 7, 0), True),
        (utc(2026, 11, 23, 16, 59), True),
        (utc(2026, 11, 23, 17, 0), False),
        (utc(2026, 7, 20, 6, 0), True),  # and two in summer
        (utc(2026, 7, 20, 5, 59), False),
        (utc(2026, 11, 22, 10, 0), False),  # a Sunday
        (utc(2026, 12, 25, 10, 0), False),  # Christmas, a Friday
        (utc(2026, 5, 14, 10, 0), False),  # Ascension, 39 days after Easter
    ],
)
def test_a_line_is_open_by_its_own_clock_and_not_on_holidays(now: datetime, is_open: bool) -> None:
    assert Hours.parse(OFFICE, BERLIN, "DE").open_at(now) is is_open


def test_holidays_are_those_of_the_country() -> None:
    boxing_day = utc(2025, 12, 26, 10, 0)
    assert Hours.parse(OFFICE, ZoneInfo("Europe/London"), "GB").open_at(boxing_day) is False
    assert Hours.parse(OFFICE, ZoneInfo("Europe/Paris"), "FR").open_at(boxing_day) is True


def test_any_zone_of_now_is_the_same_moment() -> None:
    hours = Hours.parse(OFFICE, BERLIN, "DE")
    now = datetime(2026, 11, 23, 1, 0, tzinfo=ZoneInfo("America/Chicago"))
    assert hours.open_at(now) is hours.open_at(now.astimezone(UTC)) is True


def test_the_hour_that_an_autumn_night_has_twice_is_open_twice() -> None:
    hours = Hours.parse("Mo-Su 02:00-03:00", BERLIN)
    midnight = utc(2026, 10, 24, 22, 0)
    open_minutes = sum(
        hours.open_at(midnight + timedelta(minutes=minute)) is True for minute in range(6 * 60)
    )
    assert open_minutes == 120


def test_the_hour_that_a_spring_night_leaves_out_never_comes() -> None:
    hours = Hours.parse("Mo-Su 02:00-03:00", BERLIN)
    midnight = utc(2026, 3, 28, 23, 0)
    assert not any(hours.open_at(midnight + timedelta(minutes=minute)) for minute in range(6 * 60))


@pytest.mark.parametrize("day", [utc(2026, 3, 29), utc(2026, 10, 25)])
def test_who_is_always_open_is_open_in_every_minute_of_such_a_day(day: datetime) -> None:
    hours = Hours.parse("24/7", BERLIN)
    assert all(hours.open_at(day + timedelta(minutes=minute)) for minute in range(24 * 60))


@pytest.mark.parametrize("day", [utc(2026, 3, 29), utc(2026, 10, 25)])
def test_the_day_after_the_clocks_changed_opens_at_eight(day: datetime) -> None:
    hours = Hours.parse("Mo-Su 08:00-18:00", BERLIN)
    minutes = (day + timedelta(minutes=minute) for minute in range(24 * 60))
    first = next(minute for minute in minutes if hours.open_at(minute))
    assert first.astimezone(BERLIN).time().isoformat() == "08:00:00"


def test_a_night_shift_goes_past_midnight() -> None:
    hours = Hours.parse("Mo-Fr 22:00-06:00", BERLIN)
    assert hours.open_at(utc(2026, 11, 28, 4, 59)) is True  # Saturday morning, of Friday's shift
    assert hours.open_at(utc(2026, 11, 28, 5, 0)) is False


def test_hours_that_say_unknown_are_neither_open_nor_closed() -> None:
    assert Hours.parse("24/7 unknown", BERLIN).open_at(utc(2026, 11, 23)) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Mo-Fr 08.00-18.00", "is not understood at character 7"),
        ("Mo-Fr 08:00-18:00; PX off", "is not understood at character 20"),
        ("", "is not understood at character 1"),
        ("Mo-Fr 08:00-18:00; SH off", "school holidays"),
        ("Mo-Fr sunrise-sunset", "where the sun rises"),
    ],
)
def test_hours_that_are_not_understood_say_where(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Hours.parse(text, BERLIN, "DE")


def test_public_holidays_need_a_country_that_is_known() -> None:
    with pytest.raises(ValueError, match="PH needs to know the country"):
        Hours.parse(OFFICE, BERLIN)
    with pytest.raises(ValueError, match="holidays of this country"):
        Hours.parse(OFFICE, BERLIN, "XX")
    assert Hours.parse('Mo-Fr 08:00-18:00 "PH by phone"', BERLIN).open_at(utc(2026, 11, 23, 9))


_WORDS = """Mo Tu-Fr Sa,Su PH off 24/7 08:00-18:00 22:00-30:00 week 53 easter +1 day Feb 30 Mo[5]
; , || "x" 2026 9999 -"""
_PIECES = st.sampled_from(_WORDS.split())


@given(st.lists(_PIECES, max_size=8).map(" ".join) | st.text(max_size=40))
def test_whatever_an_operator_writes_is_read_or_refused(text: str) -> None:
    try:
        hours = Hours.parse(text, BERLIN, "DE")
    except ValueError:
        return
    assert hours.open_at(utc(2024, 2, 29, 23, 59)) in (True, False, None)


@pytest.mark.parametrize("key", ["Europe/Berln", "Europe", "", "../etc/passwd", "/etc/localtime"])
def test_a_zone_that_does_not_exist_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="no such time zone"):
        parse_zone(key)

"""What a Retry-After header is worth."""

from __future__ import annotations

import pytest

from broker.http_client.retry_after import retry_after

NOON = 1_782_302_400.0  # Wed, 24 Jun 2026 12:00:00 GMT


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("1", 1.0),
        (" 86400 ", 86400.0),
        ("Wed, 24 Jun 2026 12:00:30 GMT", 30.0),
        ("Wednesday, 24-Jun-26 12:00:30 GMT", 30.0),
    ],
)
def test_seconds_and_dates_are_understood(header: str, seconds: float) -> None:
    assert retry_after(header, now=NOON) == seconds


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "abc",
        "-5",
        "1.5",
        "1,5",
        "٣",  # an Arabic three
        "9" * 400,
        "nan",
        "Wed, 24 Jun 2026 11:59:59 GMT",
        "Wed, 99 Jun 2026 12:00:30 GMT",
        "Wed, 24 Jun 99999 12:00:30 GMT",
    ],
)
def test_garbage_negatives_and_the_past_are_ignored(header: str | None) -> None:
    assert retry_after(header, now=NOON) is None

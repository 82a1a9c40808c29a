"""What is left of personal data for who may not see it."""

from __future__ import annotations

import pytest

from broker.domain.masking import mask


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("+493023125678", "+49*****678"),
        ("030 23125678", "030*****678"),
        ("(513) 555-7611", "513*****611"),
        ("1234567", "***"),
        ("Erika", "E***"),
        ("erika@example.com", "e***@***"),
        ("TRK-1001", "T***"),
        ("", "***"),
    ],
)
def test_a_number_keeps_both_ends_and_a_text_its_first_letter(value: str, shown: str) -> None:
    assert mask(value) == shown

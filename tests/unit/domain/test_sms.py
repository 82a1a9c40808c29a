"""How many segments a text takes, which is what it costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.sms import Alphabet, alphabet_of, segments


@pytest.mark.parametrize(
    ("text", "alphabet"),
    [
        ("Hello @ £5, 100 % äöüß", Alphabet.GSM7),
        ("Preis: 5 €", Alphabet.GSM7),
        ("naïve", Alphabet.UCS2),
        ("“quoted”", Alphabet.UCS2),
        ("\u00e7a va", Alphabet.UCS2),  # GSM-7 has the capital only
        ("📦", Alphabet.UCS2),
        ("", Alphabet.GSM7),
    ],
)
def test_one_character_outside_gsm7_changes_the_alphabet(text: str, alphabet: Alphabet) -> None:
    assert alphabet_of(text) is alphabet


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 159 + "€", 2),
        ("a" * 152 + "€" + "a" * 152, 3),  # the euro sign is not torn apart
        ("ж" * 70, 1),
        ("ж" * 71, 2),
        ("ж" * 134, 2),
        ("ж" * 135, 3),
        ("📦" * 35, 1),
        ("📦" * 36, 2),
        ("📦" * 66, 2),
        ("📦" * 67, 3),
    ],
)
def test_segments_are_counted_as_a_provider_bills_them(text: str, count: int) -> None:
    assert segments(text) == count


@given(st.text(max_size=700), st.text(max_size=20))
def test_a_longer_text_never_takes_fewer_segments(text: str, more: str) -> None:
    assert segments(text + more) >= segments(text)

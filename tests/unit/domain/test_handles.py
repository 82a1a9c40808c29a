"""A handle is found again in whatever words a person sends it with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.handles import handles_in, is_handle
from broker.domain.link_targets import HANDLE, Rcs, WhatsApp

ONE, OTHER = "abcDEF0123456789-_xyzABC", "_" + "a" * 22 + "-"
handles = st.from_regex(r"[A-Za-z0-9_-]{24}", fullmatch=True)
WORDS = [
    *WhatsApp(number="+493023125000").default_words.values(),
    *Rcs(agent="shop@rbm.goog").default_words.values(),
    "/start {handle}",
    "{handle}",
    "({handle})",
    "Mein Code ist „{handle}“.\nDanke!",
]


@given(handles, st.sampled_from(WORDS))
def test_a_handle_is_found_in_the_words_that_carry_it(handle: str, words: str) -> None:
    assert is_handle(handle)
    assert handles_in(words.replace(HANDLE, handle)) == (handle,)


@pytest.mark.parametrize("text", ["", "Hello!", ONE[:-1], f"{ONE}x", f"x{ONE}", "ä" * 24])
def test_other_words_hold_none(text: str) -> None:
    assert not is_handle(text)
    assert handles_in(text) == ()


def test_of_several_the_first_three_are_looked_at() -> None:
    text = " ".join([ONE, OTHER, "b" * 24, "c" * 24])
    assert handles_in(text) == (ONE, OTHER, "b" * 24)
    assert not is_handle(text)


def test_a_handle_with_a_line_break_is_none() -> None:
    assert not is_handle(f"{ONE}\n")

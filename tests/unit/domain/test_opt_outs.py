"""Which texts say STOP, START or HELP, and which only contain the word."""

from __future__ import annotations

import pytest

from broker.domain.opt_outs import Keyword, OptOutWords, spelled

WORDS = OptOutWords()


@pytest.mark.parametrize(
    "text",
    [
        *("STOP", " stop ", "Stop.", "STOPALL", "stop all", "opt-out", "OPT OUT", "s.t.o.p"),
        *("Arr\N{LATIN SMALL LETTER E WITH CIRCUMFLEX}t", "ARRET", "Baja", "Stopp!", "abmelden"),
        *("\N{FULLWIDTH LATIN CAPITAL LETTER T}D", "unsubscribe\n", "Revoke", "REMOVE"),
    ],
)
def test_stop_is_understood_in_every_spelling_and_language(text: str) -> None:
    assert WORDS.keyword(text) is Keyword.STOP


@pytest.mark.parametrize(
    "text",
    [
        "please stop",
        "don't stop",
        "the end",
        "stop it",
        "stopping",
        "",
        " ",
        "!",
        "1",
        "end of may",
    ],
)
def test_text_that_only_contains_a_word_means_nothing(text: str) -> None:
    assert WORDS.keyword(text) is None


def test_start_and_help_are_told_apart() -> None:
    assert [WORDS.keyword(text) for text in ("Unstop", "yes", "HELP", "hilfe?", "info")] == [
        *(Keyword.START,) * 2,
        *(Keyword.HELP,) * 3,
    ]


def test_the_operators_own_words_come_on_top() -> None:
    words = OptOutWords(stop=frozenset({spelled("Keine Post!")}), help=frozenset({"hä"}))
    assert words.keyword("keine post") is Keyword.STOP
    assert words.keyword("stop") is Keyword.STOP
    assert WORDS.keyword("keine post") is None


def test_word_that_the_operator_gives_another_meaning_still_stops() -> None:
    assert OptOutWords(start=frozenset({"stop"})).keyword("STOP") is Keyword.STOP

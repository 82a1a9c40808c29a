"""What is said in whose language."""

from __future__ import annotations

import pytest

from broker.domain.languages import nearest, nearest_or_any, spoken


@pytest.mark.parametrize(
    ("language", "text"),
    [("de-AT", "de"), ("DE_at", "de"), ("fr", "en"), (None, "en"), ("", "en"), ("pt-BR", "br")],
)
def test_what_is_there_in_the_nearest_language(language: str | None, text: str) -> None:
    assert nearest({"de": "de", "en": "en", "pt-BR": "br"}, language) == text


def test_a_foreign_language_is_better_than_none_where_something_has_to_be_said() -> None:
    assert nearest_or_any({"fr": "oui"}, "de") == "oui"
    assert nearest({"fr": "oui"}, "de") is None


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (("de-AT",), "de"),
        (("de_at_wien",), "de"),
        ((" DE ",), "de"),
        (("pt-BR",), "br"),
        (("pt",), None),  # a language is no example of its variants
        (("fr", "de"), "de"),
        (("fr-CA", "pt-BR"), "br"),
        (("de-CH", "en"), "de"),  # near in the first before exact in the second
        ((None, "", "de"), "de"),
        (("fr",), None),
        ((None,), None),
        ((), None),
    ],
)
def test_the_first_of_several_languages_is_spoken_that_has_anything(
    wanted: tuple[str | None, ...], text: str | None
) -> None:
    assert spoken({"de": "de", "en": "en", "pt-br": "br"}, *wanted) == text


def test_english_comes_after_every_wanted_language_and_the_first_there_is_after_that() -> None:
    assert nearest({"de": "de", "en": "en"}, "fr", "de") == "de"
    assert nearest({"de": "de", "en": "en"}, "fr", "pt") == "en"
    assert nearest_or_any({"es": "es", "de": "de"}, "fr", "de") == "de"
    assert nearest_or_any({"es": "es", "de": "de"}, "fr", "pt") == "es"
    assert nearest_or_any({"es": "es", "en": "en"}, "fr", None) == "en"
    assert nearest_or_any({"es": "es"}) == "es"


def test_empty_words_are_words() -> None:
    assert spoken({"de": "", "en": "en"}, "de") == ""
    assert nearest({"de": "", "en": "en"}, "de") == ""
    assert nearest_or_any({"de": "", "en": "en"}, "de") == ""

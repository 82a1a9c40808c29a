"""What is said in whose language."""

from __future__ import annotations

import pytest

from broker.domain.languages import nearest, nearest_or_any


@pytest.mark.parametrize(
    ("language", "text"),
    [("de-AT", "de"), ("DE_at", "de"), ("fr", "en"), (None, "en"), ("", "en"), ("pt-BR", "br")],
)
def test_what_is_there_in_the_nearest_language(language: str | None, text: str) -> None:
    assert nearest({"de": "de", "en": "en", "pt-BR": "br"}, language) == text


def test_a_foreign_language_is_better_than_none_where_something_has_to_be_said() -> None:
    assert nearest_or_any({"fr": "oui"}, "de") == "oui"
    assert nearest({"fr": "oui"}, "de") is None

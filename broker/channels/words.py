"""Words: the nearest language, what fits into a message, and what a provider says."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import AfterValidator

from broker.sdk import PermanentError, values_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

T = TypeVar("T")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*", re.ASCII)


def _language(value: str) -> str:
    if _LANGUAGE.fullmatch(value) is None:
        raise ValueError("a language is like de or pt-br")
    return value


Language = Annotated[str, AfterValidator(_language)]


def checked_words(text: str) -> str:
    """`text`; PermanentError if it is empty, or has what no message can show, such as a NUL."""
    if not text.strip() or any(_hidden(char) for char in text):
        raise PermanentError("the text is empty or has a character that cannot be sent")
    return text


def _hidden(char: str) -> bool:
    return char != "\n" and unicodedata.category(char) in {"Cc", "Cs"}


def one_line(text: str) -> str:
    """One line with single blanks: no control characters, no direction marks, no lone surrogates.

    Empty if nothing can be shown.
    """
    shown = (letter for letter in text if letter.isprintable() or letter.isspace())
    return " ".join("".join(shown).split())


def lines(text: str) -> str:
    """The same, line by line, as they stand."""
    return "\n".join(one_line(line) for line in text.splitlines()).strip()


def objects_at(node: object, path: str) -> Iterator[Mapping[str, Any]]:
    """Every JSON object that `path` leads to."""
    return (found for found in values_at(node, path) if isinstance(found, dict))


def texts_in(found: Iterable[object]) -> Iterator[str]:
    """What of it is text, and not empty."""
    return (text for text in found if isinstance(text, str) and text)

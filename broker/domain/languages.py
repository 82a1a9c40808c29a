"""What is there in the language that somebody speaks, or in the nearest one."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FALLBACK = "en"
"""What most people understand whose language has nothing."""
T = TypeVar("T")


def spoken(by_language: Mapping[str, T], *wanted: str | None) -> T | None:
    """What is there in the first of the `wanted` languages that has it: `de-AT`, else `de`.

    None if none of them has it.
    """
    known = {tag.lower(): value for tag, value in by_language.items()}
    tags = (tag for language in wanted for tag in _tags(language))
    return next((known[tag] for tag in tags if tag in known), None)


def nearest(by_language: Mapping[str, T], *wanted: str | None) -> T | None:
    """The same, and English if none of them has it; None if there is no English either."""
    return spoken(by_language, *wanted, FALLBACK)


def nearest_or_any(by_language: Mapping[str, T], *wanted: str | None) -> T:
    """The same, and the first there is rather than none; there has to be one."""
    found = nearest(by_language, *wanted)
    return found if found is not None else next(iter(by_language.values()))


def _tags(language: str | None) -> Iterator[str]:
    tag = (language or "").strip().replace("_", "-").lower()
    while tag:
        yield tag
        tag = tag.rpartition("-")[0]

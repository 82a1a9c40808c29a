"""What is there in the language that somebody speaks, or in the nearest one."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FALLBACK = "en"
T = TypeVar("T")


def nearest(by_language: Mapping[str, T], wanted: str | None) -> T | None:
    """What is there for `wanted`: `de-AT`, else `de`, else English; None if there is nothing."""
    known = {tag.lower(): value for tag, value in by_language.items()}
    return next((known[tag] for tag in _tags(wanted) if tag in known), None)


def nearest_or_any(by_language: Mapping[str, T], wanted: str | None) -> T:
    """The same, and any of them rather than none; there has to be one."""
    found = nearest(by_language, wanted)
    return found if found is not None else next(iter(by_language.values()))


def _tags(wanted: str | None) -> Iterator[str]:
    tag = (wanted or "").strip().replace("_", "-").lower()
    while tag:
        yield tag
        tag = tag.rpartition("-")[0]
    yield FALLBACK

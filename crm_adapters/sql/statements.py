"""SQL with named parameters: what may be bound, how it is found, how a driver wants it spelled."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from broker.sdk import Phone, Reference

SUFFIX = 9
"""Digits at the end of a number by which it is found: the length that index and caller share."""
LISTS = {"suffixes": 4, "spellings": 8, "references": 2}
"""Parameters for `IN (...)` and how many values they have; short lists repeat a value."""
EXACT = frozenset({"e164", "digits"})
"""Who is found by one of these alone needs no second look at his number."""
BY_PHONE = EXACT | {"national", "suffix", "suffixes", "spellings"}
BY_REFERENCE = frozenset({"reference", "references"})
ROWS_READ = 10
"""Enough to show that a number is ambiguous. One row more tells that there are too many."""

_TOKEN = re.compile(
    r"""
      '(?:[^']|'')*' | "(?:[^"]|"")*" | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$   # texts and names
    | --[^\n]* | /\*.*?\*/                                               # comments
    | ::                                                                 # a cast
    | :(?P<name>[a-z_][a-z0-9_]*)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL as one driver wants it, and the parameters in the order of their numbers."""

    text: str
    slots: tuple[str, ...]

    def bound(self, values: Mapping[str, str]) -> list[str]:
        return [values[slot] for slot in self.slots]


def parameters(sql: str) -> frozenset[str]:
    """The names after a colon, outside of texts, quoted names and comments."""
    return frozenset(match["name"] for match in _TOKEN.finditer(sql) if match["name"])


def statement(sql: str, spell: Callable[[int], str]) -> Statement:
    """`sql` limited in rows, each parameter replaced by `spell(its number, from 1 on)`."""
    slots: list[str] = []

    def number(slot: str) -> int:
        if slot not in slots:
            slots.append(slot)
        return slots.index(slot) + 1

    def replaced(match: re.Match[str]) -> str:
        if not match["name"]:
            return match.group()
        return ", ".join(spell(number(slot)) for slot in _slots(match["name"]))

    text = _TOKEN.sub(replaced, sql.strip().removesuffix(";"))
    # The line end closes a comment on the last line. Nothing of a caller's is in the text.
    limited = f"SELECT * FROM (\n{text}\n) AS found LIMIT {ROWS_READ + 1}"  # noqa: S608
    return Statement(limited, tuple(slots))


def phone_values(phone: Phone) -> dict[str, str]:
    """What can be bound when a number is looked up."""
    spellings = phone.spellings
    suffixes = list(dict.fromkeys(_digits(spelling)[-SUFFIX:] for spelling in spellings))
    return {
        "e164": phone.e164,
        "digits": phone.digits,
        "national": phone.national,
        "suffix": phone.digits[-SUFFIX:],
        **_filled("suffixes", suffixes),
        **_filled("spellings", spellings),
    }


def reference_values(reference: Reference) -> dict[str, str]:
    """What can be bound when a reference is looked up."""
    cases = (reference.value, reference.value.lower())
    return {"reference": reference.value, **_filled("references", cases)}


def _slots(name: str) -> list[str]:
    return [f"{name}_{i}" for i in range(LISTS[name])] if name in LISTS else [name]


def _filled(name: str, values: Sequence[str]) -> dict[str, str]:
    """As many values as the list has, however many there are."""
    return {slot: values[i % len(values)] for i, slot in enumerate(_slots(name))}


def _digits(text: str) -> str:
    return "".join(char for char in text if char in "0123456789")

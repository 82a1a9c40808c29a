"""What Dataverse understands of OData: `$filter` with eq, and, or; `$select`; `$expand`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
Fits = Callable[[Row], bool]
_TOKEN = re.compile(
    r" *(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+)|(?P<word>[A-Za-z_][\w/]*)|(?P<sign>[()]))",
    re.ASCII,
)
_EXPANDED = re.compile(r"(\w+)\(\$select=([\w,]+)\)(?:,|$)", re.ASCII)


@dataclass(frozen=True)
class Filter:
    """One `$filter`."""

    fits: Fits
    names: frozenset[str]
    """`telephone1`, or `parentcustomerid_account/telephone1` in a related row."""
    shape: str
    """Without the values, and without repeats of one comparison."""

    @classmethod
    def parse(cls, text: str) -> Filter:
        """ValueError if it is none."""
        reader = _Reader(list(_tokens(text)))
        fits = reader.either()
        if reader.left:
            raise ValueError("something follows the expression")
        shape = " ".join("?" if kind == "text" else word for kind, word in _tokens(text))
        shape = re.sub(r"([\w/]+ eq \?)( or \1)+", r"\1", shape)
        return cls(fits, frozenset(reader.names), shape)


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.left = tokens
        self.names: set[str] = set()

    def either(self) -> Fits:
        parts = [self.both()]
        while self._takes("word", "or"):
            parts.append(self.both())
        return lambda row: any(part(row) for part in parts)

    def both(self) -> Fits:
        parts = [self.one()]
        while self._takes("word", "and"):
            parts.append(self.one())
        return lambda row: all(part(row) for part in parts)

    def one(self) -> Fits:
        if self._takes("sign", "("):
            inner = self.either()
            self._needs("sign", ")")
            return inner
        name = self._needs("word")
        self.names.add(name)
        self._needs("word", "eq")
        if self.left and self.left[0][0] == "number":
            number = int(self._needs("number"))
            return lambda row: value_at(row, name) == number
        text = self._needs("text")[1:-1].replace("''", "'").casefold()
        return lambda row: str(value_at(row, name) or "").casefold() == text

    def _takes(self, *token: str) -> bool:
        found = bool(self.left) and self.left[0] == token
        if found:
            del self.left[0]
        return found

    def _needs(self, kind: str, text: str | None = None) -> str:
        if not self.left or self.left[0][0] != kind or text not in {None, self.left[0][1]}:
            raise ValueError(f"expected {text or kind}")
        return self.left.pop(0)[1]


def value_at(row: Row, path: str) -> Any:
    link, _, column = path.rpartition("/")
    holder = row.get(link) if link else row
    return holder.get(column) if isinstance(holder, Mapping) else None


def expanded(text: str) -> dict[str, list[str]]:
    """Link -> columns. ValueError if it is anything but links with a `$select` each."""
    if _EXPANDED.sub("", text):
        raise ValueError("no $expand")
    return {link: columns.split(",") for link, columns in _EXPANDED.findall(text)}


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise ValueError("no token")
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found

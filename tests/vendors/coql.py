"""What Zoho understands of COQL: one module, `in`, `=` and `like`, criteria in pairs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
Fits = Callable[[Row], bool]
MOST_VALUES = 100
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>\d+)|(?P<word>[A-Za-z_][\w.]*)|(?P<sign>[(),=]))",
    re.ASCII,
)
_WORDS = {"select", "from", "where", "limit", "in", "like", "and", "or"}


@dataclass(frozen=True)
class Query:
    """One `select`."""

    columns: tuple[str, ...]
    module: str
    fits: Fits
    named: frozenset[str]
    """Every field in it."""
    limit: int
    shape: str
    """Without the values."""

    @classmethod
    def parse(cls, text: str) -> Query:
        """ValueError if Zoho would not take it."""
        reader = _Reader(_tokens(text))
        reader.needs("word", "select")
        columns = [reader.needs("word")]
        while reader.takes("sign", ","):
            columns.append(reader.needs("word"))
        reader.needs("word", "from")
        module = reader.needs("word")
        reader.needs("word", "where")
        fits = reader.condition()
        reader.needs("word", "limit")
        limit = int(reader.needs("number"))
        if reader.left or _WORDS & {column.lower() for column in columns}:
            raise ValueError("something is where it should not be")
        shape = " ".join("?" if kind == "text" else word for kind, word in _tokens(text))
        shape = re.sub(r"\?( , \?)+", "?", shape)
        return cls(tuple(columns), module, fits, frozenset({*columns, *reader.named}), limit, shape)


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.left = tokens
        self.named: set[str] = set()

    def condition(self) -> Fits:
        """One criterion, or a pair of them: a third needs brackets of its own."""
        one = self.criterion()
        if self.takes("word", "or"):
            other = self.criterion()
            return lambda row: one(row) or other(row)
        if self.takes("word", "and"):
            other = self.criterion()
            return lambda row: one(row) and other(row)
        return one

    def criterion(self) -> Fits:
        if self.takes("sign", "("):
            inner = self.condition()
            self.needs("sign", ")")
            return inner
        name = self.needs("word")
        self.named.add(name)
        if self.takes("word", "in"):
            values = self.values()
            return lambda row: row.get(name) in values
        if self.takes("word", "like"):
            pattern = re.escape(self.text()).replace("%", ".*").replace("_", ".")
            return lambda row: re.fullmatch(pattern, str(row.get(name))) is not None
        self.needs("sign", "=")
        value = self.text()
        return lambda row: row.get(name) == value

    def values(self) -> set[str]:
        self.needs("sign", "(")
        values = [self.text()]
        while self.takes("sign", ","):
            values.append(self.text())
        self.needs("sign", ")")
        if len(values) > MOST_VALUES:
            raise ValueError("too many values")
        return set(values)

    def text(self) -> str:
        return self.needs("text")[1:-1].replace("''", "'")

    def takes(self, *token: str) -> bool:
        found = bool(self.left) and self.left[0] == token
        if found:
            del self.left[0]
        return found

    def needs(self, kind: str, text: str | None = None) -> str:
        if not self.left or self.left[0][0] != kind or text not in {None, self.left[0][1]}:
            raise ValueError(f"expected {text or kind}")
        return self.left.pop(0)[1]


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

"""Enough of SOQL and SOSL to judge an adapter: parsed and evaluated, not matched by pattern."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_LITERAL = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_CONTROL = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_SELECT = re.compile(r"SELECT ([\w., ]+) FROM (\w+) WHERE (.+) LIMIT (\d+)")
_FIND = re.compile(
    r"FIND \{((?:[^{}\\]|\\.)*)\} IN PHONE FIELDS RETURNING (.+) LIMIT (\d+)", re.DOTALL
)
_PHRASE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_RETURNED = re.compile(r"(\w+)\(([\w., ]+?)(?: WHERE (.+))?\)")
_COMPARED = re.compile(r"([\w.]+) = (\?\d+|true|false)")
_RESERVED = re.compile(r"[?&|!{}\[\]()^~*:\"'+-]")
_WORD = re.compile(r"[^\W_]+")
_MOST_CHARACTERS = 10_000
"""Of a search string; a longer one finds nothing (SOSL reference, "SOSL Syntax")."""


class MalformedError(Exception):
    """The statement cannot be read."""


@dataclass(frozen=True)
class Wanted:
    """What to return of one object."""

    kind: str
    fields: tuple[str, ...]
    where: str
    """With `?0` for the first literal, and so on; empty = all."""
    literals: tuple[str, ...]
    most: int

    def __post_init__(self) -> None:
        """MalformedError if the condition cannot be read."""
        self.fits({})

    @property
    def names(self) -> set[str]:
        """Every field that it mentions."""
        return {*self.fields, *(name for name, _ in _COMPARED.findall(self.where))}

    def fits(self, record: dict[str, Any]) -> bool:
        return not self.where or _true(self.where, record, self.literals)

    def shown(self, record: dict[str, Any]) -> dict[str, Any]:
        """The fields asked for; those of a parent inside the parent's own record."""
        result: dict[str, Any] = {"attributes": {"type": self.kind}}
        for field in self.fields:
            parent, _, name = field.rpartition(".")
            if not parent:
                result[name] = record.get(name)
            elif record.get(parent) is None:
                result[parent] = None
            else:
                held = result.setdefault(parent, {"attributes": {"type": parent}})
                held[name] = record[parent].get(name)
        return result


@dataclass(frozen=True)
class Search:
    """A SOSL search for whole words of phone fields."""

    phrases: tuple[tuple[str, ...], ...]
    returning: tuple[Wanted, ...]

    def finds(self, text: str) -> bool:
        words = _WORD.findall(text.casefold())
        return any(_follow(phrase, words) for phrase in self.phrases)


def select(statement: str) -> Wanted:
    """A query. MalformedError if it is none."""
    bare, literals = _without_literals(statement)
    match = _SELECT.fullmatch(bare)
    if match is None:
        raise MalformedError(bare)
    fields, kind, where, most = match.groups()
    return Wanted(kind, _listed(fields), where, literals, int(most))


def search(statement: str) -> Search:
    """A search. MalformedError if it is none."""
    match = _FIND.fullmatch(statement)
    if match is None:
        raise MalformedError("FIND {...} IN PHONE FIELDS RETURNING ... LIMIT n")
    sought, returning, most = match.groups()
    bare, literals = _without_literals(returning)
    objects = [_RETURNED.fullmatch(part) for part in _split(bare, ", ")]
    if None in objects:
        raise MalformedError(bare)
    wanted = [
        Wanted(one[1], _listed(one[2]), one[3] or "", literals, int(most)) for one in objects if one
    ]
    phrases = _phrases(sought) if len(sought) <= _MOST_CHARACTERS else ()
    return Search(phrases, tuple(wanted))


def bare_of(statement: str) -> str:
    """The statement without its values: any list of phrases is one, any literal is another."""
    sought = _FIND.fullmatch(statement)
    if sought and not _PHRASE.sub("", sought[1]).replace(" OR ", ""):
        statement = statement.replace(sought[1], "phrases", 1)
    return _without_literals(statement)[0]


def _without_literals(statement: str) -> tuple[str, tuple[str, ...]]:
    literals: list[str] = []

    def taken(match: re.Match[str]) -> str:
        literals.append(_ESCAPED.sub(lambda m: _CONTROL.get(m[1], m[1]), match[1]))
        return f"?{len(literals) - 1}"

    bare = _LITERAL.sub(taken, statement)
    if "'" in bare:
        raise MalformedError("a quotation mark too many")
    return bare, tuple(literals)


def _phrases(sought: str) -> tuple[tuple[str, ...], ...]:
    """The words of each phrase; reserved characters have to be escaped inside quotes too."""
    parts = _PHRASE.findall(sought)
    if not parts or _PHRASE.sub("", sought) != " OR " * (len(parts) - 1):
        raise MalformedError("not a list of phrases")
    if any(_RESERVED.search(_ESCAPED.sub("", part)) for part in parts):
        raise MalformedError("mismatched character")
    phrases = tuple(tuple(_WORD.findall(_ESCAPED.sub(r"\1", part).casefold())) for part in parts)
    if not any(phrases):
        raise MalformedError("search term must be longer than one character")
    return phrases


def _follow(phrase: tuple[str, ...], words: list[str]) -> bool:
    """Whether the words of `phrase` stand in `words`, one after the other."""
    size = len(phrase)
    return size > 0 and any(
        tuple(words[at : at + size]) == phrase for at in range(len(words) - size + 1)
    )


def _true(condition: str, record: dict[str, Any], literals: tuple[str, ...]) -> bool:
    either, both = _split(condition, " OR "), _split(condition, " AND ")
    if len(either) > 1 and len(both) > 1:
        raise MalformedError("AND and OR need parentheses")
    if len(either) > 1:
        judged = [_true(part, record, literals) for part in either]
        return any(judged)
    if len(both) > 1:
        judged = [_true(part, record, literals) for part in both]
        return all(judged)
    if condition.startswith("(") and condition.endswith(")"):
        return _true(condition[1:-1], record, literals)
    match = _COMPARED.fullmatch(condition)
    if match is None:
        raise MalformedError(condition)
    value = record.get(match[1])
    if match[2].startswith("?"):
        wanted = literals[int(match[2][1:])]
        return isinstance(value, str) and value.casefold() == wanted.casefold()
    return value is (match[2] == "true")


def _split(text: str, separator: str) -> list[str]:
    """`text` at the separators that stand in no parentheses."""
    parts, depth, begin = [], 0, 0
    for at, char in enumerate(text):
        depth += {"(": 1, ")": -1}.get(char, 0)
        if depth == 0 and text.startswith(separator, at):
            parts.append(text[begin:at])
            begin = at + len(separator)
    return [*parts, text[begin:]]


def _listed(fields: str) -> tuple[str, ...]:
    return tuple(field.strip() for field in fields.split(","))

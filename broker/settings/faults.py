"""What is wrong with a setting, told by key path and problem and never by its value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from broker.settings.shapes import names_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_SHOULD = re.compile(r"^(Input|String|Value) should")
_PLAIN = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be a table",
    "mapping_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "float_parsing": "must be a number",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "string_type": "must be a text",
    "missing": "is missing",
    "path_not_directory": "must be a directory that exists",
    "path_not_file": "must be a file that exists",
}
_TAGS = {
    "union_tag_invalid": "must be one of {expected_tags}",
    "union_tag_not_found": "is missing",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing the operator has to change."""

    path: tuple[str, ...]
    problem: str

    def under(self, *parents: str) -> Fault:
        return Fault((*parents, *self.path), self.problem)

    def __str__(self) -> str:
        return f"{'.'.join(self.path)}: {self.problem}"


def told(error: ValidationError, model: Any, data: Any, parents: Sequence[str] = ()) -> list[Fault]:
    """The faults that pydantic found in `data`, the table at `parents`."""
    return [_told(detail, model, data, parents) for detail in error.errors(include_url=False)]


def _told(detail: ErrorDetails, model: Any, data: Any, parents: Sequence[str]) -> Fault:
    kind = detail["type"]
    path = _keys(detail["loc"], data, missing=kind == "missing")
    whole = (*parents, *path)
    if kind == "extra_forbidden":
        return Fault(whole, unknown(whole, names_at(model, path[:-1])))
    if kind in _TAGS:
        return Fault((*whole, *_tag_key(detail)), _TAGS[kind].format(**detail["ctx"]))
    return Fault(whole, _PLAIN.get(kind) or _without_input(detail))


def unknown(path: Sequence[str], names: frozenset[str]) -> str:
    """What to say of a key that does not exist, among the `names` that do."""
    near = get_close_matches(path[-1], sorted(names), 1, cutoff=0.5)
    if near:
        return f"unknown key; did you mean {near[0]}?"
    return f"unknown key; known here: {', '.join(sorted(names)) or 'none'}"


def _tag_key(detail: ErrorDetails) -> tuple[str, ...]:
    """The key that says which of several tables it is; none if a function decides that."""
    name = detail["ctx"]["discriminator"].strip("'")
    return (name,) if name.isidentifier() else ()


def _without_input(detail: ErrorDetails) -> str:
    """Pydantic's or a validator's text, unless it repeats what was given."""
    text = _SHOULD.sub("must", detail["msg"].removeprefix("Value error, "))
    given = detail["input"]
    repeats = isinstance(given, str | int | float) and len(str(given)) > 1 and str(given) in text
    return "is not valid" if repeats else text[:1].lower() + text[1:]


def _keys(loc: Sequence[int | str], data: Any, *, missing: bool) -> tuple[str, ...]:
    """`loc` without what pydantic adds to it, such as the names of a union's members."""
    parts = [part for part in loc if part != "[key]"]
    keys: list[str] = []
    for place, part in enumerate(parts):
        rest = parts[place + 1 :]
        if _is_key(part, data) and not _is_tag(part, rest, data, missing=missing):
            data = data[part]
            keys.append(str(part))
        elif missing and not rest:
            keys.append(str(part))
    return tuple(keys)


def _is_key(part: int | str, data: Any) -> bool:
    return isinstance(part, int) if isinstance(data, list) else _has(data, part)


def _has(data: Any, part: int | str) -> bool:
    return isinstance(data, Mapping) and part in data


def _is_tag(part: int | str, rest: Sequence[int | str], data: Any, *, missing: bool) -> bool:
    """Whether `part` is a union member's name although the table has a key of that name too."""
    if not rest or isinstance(data[part], Mapping | list):
        return False
    return _has(data, rest[0]) or (missing and len(rest) == 1)

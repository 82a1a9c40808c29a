"""What the models say about a raw table: which keys it may have, and what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel, SecretStr

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Fields = dict[str, list[Any]]
"""Key -> its type, or its types where a table may be one of several."""


def names_at(annotation: Any, path: Sequence[str]) -> frozenset[str]:
    """The keys that the table at `path` below something of this type may have."""
    if not path:
        return frozenset(_fields(annotation))
    found: set[str] = set()
    for inner in _inner(annotation, path[0]):
        found |= names_at(inner, path[1:])
    return frozenset(found)


def tables_in(
    annotation: Any, table: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Any], Fields]]:
    """`table` and every table in it that a model describes: path, table, and what it may hold."""
    if not isinstance(table, dict):
        return
    yield path, table, _fields(annotation)
    for key, value in list(table.items()):
        for inner in _inner(annotation, key):
            yield from tables_in(inner, value, (*path, key))


def holds_secret(types: Sequence[Any]) -> bool:
    return _any_is(SecretStr, types)


def holds_path(types: Sequence[Any]) -> bool:
    return _any_is(Path, types)


def _any_is(wanted: type, types: Sequence[Any]) -> bool:
    """Whether a value of one of these types may be a `wanted` itself, not only contain one."""
    return any(
        kind is wanted or (not _is_table(kind) and _any_is(wanted, get_args(kind)))
        for kind in types
    )


def _is_table(annotation: Any) -> bool:
    return get_origin(annotation) in (Mapping, dict, list, tuple)


def _inner(annotation: Any, key: str) -> Sequence[Any]:
    """The types that the value of `key` may have."""
    if get_origin(annotation) in (Mapping, dict):
        return get_args(annotation)[1:]
    return _fields(annotation).get(key, [])


def _fields(annotation: Any) -> Fields:
    fields: Fields = {}
    for model in _models(annotation):
        for name, field in model.model_fields.items():
            fields.setdefault(field.alias or name, []).append(field.annotation)
    return fields


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a value of this type may be itself."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif not _is_table(annotation):
        for part in get_args(annotation):
            yield from _models(part)

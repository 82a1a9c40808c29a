"""Statements for the simple case: one table, one column for each field."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from crm_adapters.sql.statements import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SEPARATORS = " -/.()+"

Ending = Callable[[str], str]
"""Quoted column -> SQL for the last SUFFIX digits of the number in it."""


def postgres_ending(column: str) -> str:
    return f"right(regexp_replace({column}, '[^0-9]', '', 'g'), {SUFFIX})"


def sqlite_ending(column: str) -> str:
    for separator in _SEPARATORS:
        column = f"replace({column}, '{separator}', '')"
    return f"substr({column}, -{SUFFIX})"


def by_phone(table: str, read: Iterable[str], phones: Sequence[str], ending: Ending) -> str:
    """Finds numbers in any spelling by their last digits; the country is for Python to check."""
    conditions = [f"{ending(quoted(column))} IN (:suffixes)" for column in phones]
    return f"{_select(table, read)} WHERE {' OR '.join(conditions)}"


def by_reference(table: str, read: Iterable[str], reference: str) -> str:
    return f"{_select(table, read)} WHERE {quoted(reference)} IN (:references)"


def quoted(name: str) -> str:
    """One name, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def _select(table: str, read: Iterable[str]) -> str:
    columns = ", ".join(quoted(column) for column in dict.fromkeys(read))
    where = ".".join(quoted(part) for part in table.split("."))
    return f"SELECT {columns} FROM {where}"  # noqa: S608 - quoted names of the operator's

"""The SOSL and SOQL that is sent: names come from the operator, values are always quoted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.sdk import soql_text, sosl_term

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker.sdk import Reference
    from crm_adapters.salesforce.options import Object, SalesforceOptions

SEARCH_READS = 50
"""Records of one search: a company's number may be in some field of everybody who works there."""
_QUERY_READS = 2
"""Enough to be ambiguous; a query finds nobody else."""


def search(options: SalesforceOptions, spellings: Iterable[str]) -> str:
    """All objects by any spelling of a number."""
    numbers = " OR ".join(f'"{sosl_term(spelling)}"' for spelling in spellings)
    returning = ", ".join(_returning(options, kind) for kind in options.objects)
    return f"FIND {{{numbers}}} IN PHONE FIELDS RETURNING {returning} LIMIT {SEARCH_READS}"


def by_reference(options: SalesforceOptions, reference: Reference) -> tuple[str, ...]:
    """A query for each object that has references."""
    place = options.fields.reference
    if place is None:
        return ()
    own = [(kind, options.own_name(kind, place)) for kind in options.objects]
    return tuple(_query(options, kind, name, reference) for kind, name in own if name is not None)


def one_id(kind: str, **equal: str) -> str:
    """The id of one record whose fields have these values."""
    where = " AND ".join(f"{name} = {soql_text(value)}" for name, value in equal.items())
    return f"SELECT Id FROM {kind} WHERE {where} LIMIT 1"  # noqa: S608 - values are quoted


def _returning(options: SalesforceOptions, kind: Object) -> str:
    where = " AND ".join(options.conditions(kind))
    return f"{kind}({', '.join(options.own_names(kind))}{f' WHERE {where}' if where else ''})"


def _query(options: SalesforceOptions, kind: Object, field: str, reference: Reference) -> str:
    where = " AND ".join([f"{field} = {soql_text(reference.value)}", *options.conditions(kind)])
    names = ", ".join(options.own_names(kind))
    select = f"SELECT {names} FROM {kind}"  # noqa: S608 - names the operator has given
    return f"{select} WHERE {where} LIMIT {_QUERY_READS}"

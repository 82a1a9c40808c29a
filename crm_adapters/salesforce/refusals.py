"""What the error codes of Salesforce mean for the operator, and which pass by themselves."""

from __future__ import annotations

from collections.abc import Mapping

_NO_API = "the API is switched off: by the edition, or the user lacks the right `API Enabled`"
_HIDDEN = "is unknown, or hidden from the user"

PASSING = {
    "REQUEST_LIMIT_EXCEEDED": "the org has used up its API requests of the last 24 hours",
    "QUERY_TIMEOUT": "the query took too long",
    "SERVER_UNAVAILABLE": "the server is busy",
    "UNABLE_TO_LOCK_ROW": "somebody else is changing the record",
}
"""Refused now and taken later, whatever the HTTP status says (403 for the first)."""
ADVICE = {
    "API_CURRENTLY_DISABLED": _NO_API,
    "API_DISABLED_FOR_ORG": _NO_API,
    "INVALID_FIELD": (
        "a field named in `fields`, `names`, `premium`, `where` or `ticket_reference` "
        f"{_HIDDEN} (field-level security), or is no text field"
    ),
    "INVALID_TYPE": f"one of the `objects`, or Case or Task, {_HIDDEN}",
    "MALFORMED_QUERY": "the query was refused: check `where`",
    "MALFORMED_SEARCH": "the search was refused: check `where`",
    "REQUIRED_FIELD_MISSING": "the org wants more fields of a ticket: see `ticket_fields`",
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": "a validation rule of the org refuses the record",
}


def code_of(body: object) -> str:
    """The first `errorCode` of an error answer; empty if it has none."""
    first = body[0] if isinstance(body, list) and body else None
    code = first.get("errorCode") if isinstance(first, Mapping) else None
    return code if isinstance(code, str) else ""

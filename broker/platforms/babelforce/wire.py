"""How babelforce spells ids, session variables and answers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from broker.sdk import PermanentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.sdk import Variable

_HYPHENATED = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", re.ASCII)


def wire_id(any_id: str) -> str:
    """An id as the API takes it: a hyphenated UUID as 32 hex characters, all else as it is.

    The API answers 404 to hyphens (babelforce/manager-sdk changelog, 0.42.2 and 0.46.0), although
    its specification says `format: uuid`.
    """
    if _HYPHENATED.fullmatch(any_id):
        return any_id.replace("-", "").lower()
    return any_id


def same_id(one: str, other: str) -> bool:
    return wire_id(one).lower() == wire_id(other).lower()


def encoded(variables: Mapping[str, Variable], bool_encoding: str) -> dict[str, Variable]:
    """`variables` as the flat map that PUT /sessions/{id} takes."""
    if bool_encoding == "json":
        return dict(variables)
    return {
        key: str(value).lower() if isinstance(value, bool) else value
        for key, value in variables.items()
    }


def item_of(body: Any) -> dict[str, Any]:
    """The `item` of an answer; PermanentError if the answer says or shows that it failed.

    Every member is optional in the specification, so only what contradicts is an error.
    """
    if not isinstance(body, dict) or not ("item" in body or "success" in body):
        raise PermanentError("babelforce: the answer is not one of its API")
    if body.get("success") is False:
        raise PermanentError("babelforce: the answer says success=false")
    item = body.get("item")
    return item if isinstance(item, dict) else {}


def variables_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """The session variables in a session's `item`, under their full names.

    Whether `data` is an object or JSON in a string, and whether `ivr.email` comes back flat or as
    `{"ivr": {"email": ...}}`, is not documented: all are read.
    """
    data = item.get("data")
    if isinstance(data, str):
        try:
            data = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise PermanentError("babelforce: item.data is a text that is no JSON") from None
    if not isinstance(data, dict):
        return {}
    return dict(_flat(data))


def _flat(data: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in data.items():
        found += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else []
        found += [] if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return found

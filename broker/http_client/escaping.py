"""Values inside query languages: quoted so that none of them can become part of the query."""

from __future__ import annotations

import re

from broker.domain.errors import BadInputError

_SOQL = str.maketrans(
    {
        "\\": "\\\\",
        "'": "\\'",
        '"': '\\"',
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        "\b": "\\b",
        "\f": "\\f",
    }
)
_SOSL_RESERVED = re.compile(r"([?&|!{}\[\]()^~*:\\\"'+-])")

_NEEDS_ESCAPE = re.compile(r"['\"\\\x00-\x1f\x7f]")


def soql_text(value: str) -> str:
    """A SOQL string literal with its quotes.

    Salesforce, SOQL and SOSL Reference, "Quoted String Escape Sequences".
    """
    return f"'{value.translate(_SOQL)}'"


def sosl_term(value: str) -> str:
    """What stands in the braces of a SOSL `FIND {...}`.

    Salesforce, SOQL and SOSL Reference, "FIND {SearchQuery}", reserved characters.
    """
    return _SOSL_RESERVED.sub(r"\\\1", value)


def odata_text(value: str) -> str:
    """An OData string literal with its quotes: OData 4.01 URL conventions, 5.1.1.6.1."""
    return "'" + value.replace("'", "''") + "'"


def plain_text(value: str, quote: str = "'") -> str:
    """A literal in quotes, for a language that documents no way to escape them.

    BadInputError if the value holds quotes, backslashes or control characters.
    """
    if _NEEDS_ESCAPE.search(value):
        raise BadInputError("the value cannot be looked up: it holds quotes or control characters")
    return f"{quote}{value}{quote}"

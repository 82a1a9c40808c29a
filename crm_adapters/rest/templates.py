"""Request templates: what of a lookup goes where in the URL and in the body."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from broker.sdk import BadInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

BY_PHONE = frozenset({"e164", "digits", "national"})
BY_REFERENCE = frozenset({"reference"})
SPELLINGS = "spellings"
"""Only in a body and only alone: the JSON list of all that a CRM may have stored."""

_PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_]+)\}", re.ASCII)
_VALUE = re.compile(r"\+?[0-9A-Z]{1,64}", re.ASCII)
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@{}/-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Filled:
    """One request, ready to be sent."""

    path: str
    params: Mapping[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Template:
    """A request with placeholders."""

    path: str
    params: Mapping[str, str]
    body: Any
    lists_spellings: bool = False

    @classmethod
    def parse(cls, url: str, body: Mapping[str, Any] | None, known: frozenset[str]) -> Template:
        """`url` is path and query. ValueError says what is wrong with it or with `body`."""
        path, _, query = url.partition("?")
        if _PATH.fullmatch(path) is None:
            raise ValueError("a path begins with / and has neither escapes nor other characters")
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
        params = dict(pairs)
        if len(params) < len(pairs) or "#" in query:
            raise ValueError("a query names each parameter once, and has no #")
        used = {name for text in (path, *params.values()) for name in _names(text)}
        in_body = {name for text in _texts(body) for name in _names(text)}
        if used - known or in_body - known - {SPELLINGS} or not used | in_body:
            listed = ", ".join(f"{{{name}}}" for name in sorted(known))
            raise ValueError(f"a request needs a placeholder, and knows {listed}")
        return cls(path, params, body, SPELLINGS in in_body)

    def filled(self, values: Mapping[str, str], spellings: tuple[str, ...] = ()) -> Filled:
        """BadInputError for a value that could change more than itself; nothing is sent then."""
        if not all(_VALUE.fullmatch(value) for value in values.values()):
            raise BadInputError("a value to look up has characters that no lookup has")
        return Filled(
            _put(self.path, values),
            {key: _put(text, values) for key, text in self.params.items()},
            _body(self.body, values, spellings),
        )


def _names(text: str) -> list[str]:
    return _PLACEHOLDER.findall(text)


def _put(text: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text)


def _texts(body: object) -> list[str]:
    """Every text value in `body`, at any depth."""
    if isinstance(body, str):
        return [body]
    parts = body.values() if isinstance(body, dict) else body if isinstance(body, list) else ()
    return [text for part in parts for text in _texts(part)]


def _body(body: Any, values: Mapping[str, str], spellings: tuple[str, ...]) -> Any:
    if isinstance(body, dict):
        return {key: _body(part, values, spellings) for key, part in body.items()}
    if isinstance(body, list):
        return [_body(part, values, spellings) for part in body]
    if body == f"{{{SPELLINGS}}}":
        return list(spellings)
    return _put(body, values) if isinstance(body, str) else body

"""What a log line may show: by key where the key tells, by pattern everywhere else."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from enum import Enum, StrEnum, auto
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from broker.domain.masking import HIDDEN, masked_number

if TYPE_CHECKING:
    from structlog.typing import EventDict


class Rule(StrEnum):
    """How the value of a key is shown."""

    NUMBER = auto()
    """A telephone number: masked, or hashed with `privacy.hash_key`."""
    NEVER = auto()
    HOST = auto()
    """Of an address only scheme and host: paths and queries carry numbers and keys."""
    PLAIN = auto()
    """As it is, with all below it: ids look like telephone numbers, a CRM may be called `mail`."""


_NUMBERS = """
    ani called caller digits dnis e164 from national number numbers phone phones recipient to
"""
_NEVER = """
    address addresses authorization body cookie credentials customer customers data digest dtmf
    email emails extra headers input key keys link mail name names params password payload query
    reference references secret secrets session signature subject text texts token tokens track_id
    username value values variables
"""
TABLE: Mapping[str, Rule] = {
    **dict.fromkeys(_NUMBERS.split(), Rule.NUMBER),
    **dict.fromkeys(_NEVER.split(), Rule.NEVER),
    **dict.fromkeys(("dsn", "uri", "url"), Rule.HOST),
    **dict.fromkeys(("call", "call_id", "crms", "host", "version"), Rule.PLAIN),
}
"""A key, or the last words of a longer one (`customer_email`) -> how its value is shown."""

_PLAINLY = (None, Rule.PLAIN)
_OURS = ("timestamp", "level", "logger", "exception")
_EVENT_LENGTH = 200
_EMAIL = re.compile(r"[^\s@<>\"'=:,;()]+@[A-Za-z0-9.-]+")
_DIGITS = r"[0-9](?:[ ()./-]{0,3}[0-9]){6,18}"
_NUMBER = re.compile(rf"\+\(?{_DIGITS}|(?<![A-Za-z0-9])\(?{_DIGITS}(?![A-Za-z0-9])")
_SUSPECT = re.compile(r"@|(?:[0-9][ ()./-]{0,3}){6}[0-9]")
"""Cheap to look for: most lines have neither an address nor seven digits in a row."""
_NO_NUMBER = re.compile(r"\d{1,3}(\.\d{1,3}){3}|\d{4}-\d{2}-\d{2}", re.ASCII)
_ADDRESS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[^/?#\s]*@)?(?P<host>[^/?#\s]*)")


class Redaction:
    """The last processor that looks at a line: nothing personal and no secret passes it."""

    def __init__(self, hash_key: str | None = None) -> None:
        self._hash_key = hash_key.encode() if hash_key else None

    def __call__(self, _logger: Any, _method: str, event: EventDict) -> EventDict:
        line: dict[str, Any] = {"event": event_text(event.pop("event", ""))}
        line |= {key: event.pop(key) for key in _OURS if key in event}
        for key, value in event.items():
            kind, rule = type(value), _rule_of(key)
            if kind is bool or value is None or (kind is int and rule is None):
                line[key] = value
            elif kind is str and rule in _PLAINLY:  # most of all values
                line[key] = scrubbed(value) if rule is None else value
            else:
                line[key] = self._shown(key, value)
        return line

    def _shown(self, key: str, value: Any) -> Any:
        rule = _rule_of(key)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, list | tuple | set | frozenset):
            return [self._shown(key, item) for item in value]
        if rule is Rule.NEVER:
            return HIDDEN
        if isinstance(value, Mapping):
            inherited = key if rule is Rule.PLAIN else None
            return {
                scrubbed(str(name)): self._shown(inherited or str(name), item)
                for name, item in value.items()
            }
        return self._scalar(rule, value.value if isinstance(value, Enum) else value)

    def _scalar(self, rule: Rule | None, value: Any) -> str | int | float:
        if isinstance(value, int | float) and rule is not Rule.NUMBER:
            return value
        if not isinstance(value, str | int | float):
            return f"<{type(value).__name__}>"
        text = str(value)
        if rule is Rule.NUMBER:
            return self._number(text)
        if rule is Rule.HOST:
            return _host(text)
        return text if rule is Rule.PLAIN else scrubbed(text)

    def _number(self, text: str) -> str:
        if self._hash_key is None:
            return masked_number(text)
        digits = "".join(char for char in text if char.isdigit())
        return "h:" + hmac.digest(self._hash_key, digits.encode(), "sha256").hex()[:16]


@lru_cache(maxsize=1024)
def _rule_of(key: str) -> Rule | None:
    words = key.lower().strip("_").split("_")
    endings = ("_".join(words[start:]) for start in range(len(words)))
    return next((TABLE[ending] for ending in endings if ending in TABLE), None)


def event_text(text: object) -> str:
    """The first line of `text`, without personal data, at most 200 characters."""
    return scrubbed(str(text).partition("\n")[0])[:_EVENT_LENGTH]


def scrubbed(text: str) -> str:
    """`text` without what looks like an email address or a telephone number."""
    if _SUSPECT.search(text) is None:
        return text
    return _NUMBER.sub(_unless_harmless, _EMAIL.sub("[email]", text))


def _unless_harmless(match: re.Match[str]) -> str:
    """IP addresses and dates have as many digits as numbers."""
    return match.group() if _NO_NUMBER.fullmatch(match.group()) else "[number]"


def _host(text: str) -> str:
    found = _ADDRESS.match(text)
    return f"{found['scheme']}://{found['host']}" if found else HIDDEN

"""How personal data is shown to who need not know it, but has to tell one from another."""

from __future__ import annotations

import re

_DIGITS = re.compile(r"[0-9]", re.ASCII)
_NUMBER = re.compile(r"\+?[0-9 ()./-]+", re.ASCII)
_KEPT = 3
_SHORTEST = 8
HIDDEN = "***"


def mask(text: str) -> str:
    """`text` as who may not see it gets it: recognisable next to itself, and nothing more."""
    return masked_number(text) if _NUMBER.fullmatch(text) else masked_text(text)


def masked_number(text: str) -> str:
    """`+493023125678` as `+49*****678`; what is too short to be masked is hidden."""
    digits = "".join(_DIGITS.findall(text))
    if len(digits) < _SHORTEST:
        return HIDDEN
    sign = "+" if text.lstrip().startswith("+") else ""
    return f"{sign}{digits[: _KEPT - len(sign)]}*****{digits[-_KEPT:]}"


def masked_text(text: str) -> str:
    """`Erika` as `E***`, `erika@example.com` as `e***@***`."""
    at = "@***" if "@" in text else ""
    return f"{text[:1]}{HIDDEN}{at}"

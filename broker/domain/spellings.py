"""How one CRM spells telephone numbers: patterns like `(***) ***-****` that an operator sets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, StringConstraints

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.domain.call import Phone

DIGIT = "*"
_ALLOWED = re.compile(r"(\+[1-9][0-9]{0,2})?[*0-9 ()./-]*", re.ASCII)
_CODE = re.compile(r"\+([1-9][0-9]{0,2})(?![0-9])", re.ASCII)


def _pattern(text: str) -> str:
    if DIGIT not in text or _ALLOWED.fullmatch(text) is None:
        raise ValueError("a pattern is like (***) ***-****, with * for each national digit")
    if text.startswith("+") and _CODE.match(text) is None:
        raise ValueError("a pattern's country code is followed by something else than a digit")
    return text


Pattern = Annotated[str, StringConstraints(max_length=40), AfterValidator(_pattern)]
"""Each `*` stands for one digit of the national number; all else is written as it is."""


def formatted(phone: Phone, pattern: str) -> str | None:
    """`phone` in this spelling; None if it has another number of digits or another country code."""
    code = _CODE.match(pattern)
    if pattern.count(DIGIT) != len(phone.national):
        return None
    if code and f"{code[1]}{phone.national}" != phone.digits:
        return None
    digits = iter(phone.national)
    return "".join(next(digits) if char == DIGIT else char for char in pattern)


def spelled(phone: Phone, patterns: Sequence[str]) -> tuple[str, ...]:
    """`phone` in all those spellings that fit it, without repeats."""
    written = (formatted(phone, pattern) for pattern in patterns)
    return tuple(dict.fromkeys(text for text in written if text is not None))

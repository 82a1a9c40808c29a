"""What an SMS costs: its alphabet, and into how many segments it falls."""

from __future__ import annotations

from enum import StrEnum

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""GSM 03.38 default alphabet (3GPP TS 23.038, 6.2.1), without its escape."""
_EXTENSION = frozenset("\f^{}\\[~]|€")
"""Two septets each: the escape and another (3GPP TS 23.038, 6.2.1.1)."""


class Alphabet(StrEnum):
    """How the characters of a message are sent."""

    GSM7 = "gsm7"
    UCS2 = "ucs2"


_SINGLE = {Alphabet.GSM7: 160, Alphabet.UCS2: 70}
_PART = {Alphabet.GSM7: 153, Alphabet.UCS2: 67}
"""Units in one of several parts; the header that joins them takes the rest (3GPP TS 23.040,
9.2.3.24)."""


def alphabet_of(text: str) -> Alphabet:
    """GSM-7 if every character is in it, else UCS-2: one other character doubles the price."""
    fits = all(char in _BASIC or char in _EXTENSION for char in text)
    return Alphabet.GSM7 if fits else Alphabet.UCS2


def segments(text: str) -> int:
    """How many messages a provider bills for `text`; 0 for an empty one.

    A character that takes two units is never torn apart, so a part may end one unit early.
    """
    alphabet = alphabet_of(text)
    widths = [_width(char, alphabet) for char in text]
    if sum(widths) <= _SINGLE[alphabet]:
        return int(bool(text))
    parts, room = 1, _PART[alphabet]
    for width in widths:
        if width > room:
            parts, room = parts + 1, _PART[alphabet]
        room -= width
    return parts


def _width(char: str, alphabet: Alphabet) -> int:
    """Units that one character takes."""
    if alphabet is Alphabet.GSM7:
        return 2 if char in _EXTENSION else 1
    return 2 if ord(char) > 0xFFFF else 1  # noqa: PLR2004 - beyond it UTF-16 takes a pair

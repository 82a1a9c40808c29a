"""What a handle looks like, and where in a person's words one stands."""

from __future__ import annotations

import re

_LETTER = "[A-Za-z0-9_-]"
_HANDLE = re.compile(rf"{_LETTER}{{24}}", re.ASCII)
"""What 18 random bytes look like in URL-safe base64."""
_IN_TEXT = re.compile(rf"(?<!{_LETTER}){_LETTER}{{24}}(?!{_LETTER})", re.ASCII)
_MOST = 3


def is_handle(text: str) -> bool:
    """Whether it could be one; only the store knows whether it is."""
    return _HANDLE.fullmatch(text) is not None


def handles_in(text: str) -> tuple[str, ...]:
    """What in `text` could be a handle, the first three: the others are somebody trying.

    A person sends the words that WhatsApp or RCS had ready for him, or a bot is started with
    `/start <handle>`; what stands around it is his own.
    """
    found = (match[0] for match in _IN_TEXT.finditer(text))
    return tuple(handle for handle, _ in zip(found, range(_MOST), strict=False))

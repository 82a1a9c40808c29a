"""The Retry-After header."""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime

_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)


def retry_after(header: str | None, now: float | None = None) -> float | None:
    """Seconds from a Retry-After header (RFC 9110: seconds or an HTTP date).

    None if it is absent, garbage, negative or in the past. `now` is in seconds since the epoch,
    by default the wall clock's.
    """
    text = (header or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        when = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    seconds = when - (time.time() if now is None else now)
    return seconds if seconds > 0 else None

"""Which telephone number stands behind a WhatsApp id: some are an older one."""

from __future__ import annotations

import re

_RENUMBERED = (
    (re.compile(r"521([0-9]{10})", re.ASCII), r"52\1"),
    (re.compile(r"55([1-9]{2})([689][0-9]{7})", re.ASCII), r"55\g<1>9\2"),
)


def number_of(whatsapp_id: str) -> str:
    """E.164 of who goes by these digits in WhatsApp, a plus before them or not.

    Accounts keep the number they began with. In Mexico that had a 1 after the country code until
    2019: +52 1 55 ... is +52 55 ... now. In Brazil mobiles had eight digits, and have a 9 before
    them now: +55 71 8... is +55 71 98...; eight digits from 2 to 5 are fixed lines, and those from
    7 (trunked radio) are valid as they are, says libphonenumber. Source: Gupshup, "A brief note on
    the inconsistencies for mobile numbers and their WhatsApp IDs in Brazil (digit 9) & Mexico
    (digit 1)"; WAHA's documentation, "Phone numbers: Mexico", has the year.
    """
    digits = whatsapp_id.removeprefix("+")
    for old, new in _RENUMBERED:
        if (known := old.fullmatch(digits)) is not None:
            return "+" + known.expand(new)
    return "+" + digits

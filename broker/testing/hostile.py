"""What no caller can get as far as an adapter, and what has to be harmless there all the same."""

from __future__ import annotations

HOSTILE = (
    "' OR '1'='1",
    "1000001' --",
    "1000001; DROP TABLE customers",
    '1000001" or ""="',
    "1000001) OR (1=1",
    "../1000001",
    "1000001/../..",
    "%2e%2e%2f",
    "1000001?x=1",
    "1000001&reference=1000002",
    "1000001#",
    "%",
    "_______",
    "*",
    "{reference}",
    "${jndi:x}",
    "[$ne]",
    "1000001\r\nX-Evil: 1",
    "1000001\x00",
    "1000001\n",
    "💥",
    "",
    "9" * 10_000,
)

"""The one aiohttp session of the process, with everything switched off that surprises."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

CONNECTIONS_PER_HOST = 100
"""No limit over all hosts: one dead CRM must not use up the connections of the others."""


@asynccontextmanager
async def open_session(
    nameservers: Sequence[str] | None = None,
) -> AsyncIterator[aiohttp.ClientSession]:
    """A session for all outbound clients, closed with the context.

    Names are looked up at `nameservers` (`host:port`), by default those of the system.
    It has no timeouts of its own (each caller has one deadline, outside), keeps no cookies and
    ignores proxy variables and netrc.
    """
    # c-ares asks without threads: aiohttp's threaded resolver lets a few look-ups of one dead
    # name hold up every other host until they time out.
    resolver = aiohttp.AsyncResolver(nameservers=nameservers)
    try:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=resolver, limit=0, limit_per_host=CONNECTIONS_PER_HOST
            ),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        ) as session:
            yield session
    finally:
        await resolver.close()

"""The aiohttp session of one dependency, with everything switched off that surprises."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

from broker.http_client.addresses import Connector
from broker.http_client.dependency import Dependency

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from broker.http_client.addresses import Addresses

CONNECTIONS = 100
"""Of one dependency: a dead CRM must not use up the connections of the others."""


@asynccontextmanager
async def open_session(
    addresses: Addresses,
    dependency: Dependency | None = None,
    *,
    nameservers: Sequence[str] | None = None,
) -> AsyncIterator[aiohttp.ClientSession]:
    """A session for the clients of one dependency, closed with the context.

    It connects only to what `addresses` allow; all who use it share `dependency`. Names are looked
    up at `nameservers` (`host:port`), by default those of the system. It has no timeouts of its own
    (each caller has one deadline, outside), keeps no cookies and ignores proxy variables and netrc.
    """
    # c-ares asks without threads: aiohttp's threaded resolver lets a few look-ups of one dead
    # name hold up every other host until they time out.
    resolver = aiohttp.AsyncResolver(nameservers=nameservers)
    try:
        async with aiohttp.ClientSession(
            connector=Connector(
                addresses,
                dependency or Dependency("unnamed"),
                resolver=resolver,
                limit=CONNECTIONS,
            ),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        ) as session:
            yield session
    finally:
        await resolver.close()


def dependency_of(http: aiohttp.ClientSession, name: str) -> Dependency:
    """What the users of `http` share; a session of another make has a fresh one, called `name`."""
    connector = http.connector
    return connector.dependency if isinstance(connector, Connector) else Dependency(name)

"""A client that asks Redis Sentinel which server is the master now."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any

import redis.asyncio as aioredis
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from broker.stores.address import SentinelAddress

ASK_EVERY_S = 0.5
"""How often the sentinels are asked who the master is, while connections are open."""


class _Sentinels(Sentinel):
    """Asks all sentinels at once, so that one that hangs or is cut off decides nothing."""

    def __init__(self, members: Any, *, answer_within_s: float, **sentinel_kwargs: Any) -> None:
        super().__init__(members, sentinel_kwargs=sentinel_kwargs)  # type: ignore[no-untyped-call]
        self._answer_within_s = answer_within_s

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """The master that the newest configuration names (each failover raises its epoch)."""
        asked = [asyncio.create_task(_masters(sentinel)) for sentinel in self.sentinels]
        try:
            answered, silent = await asyncio.wait(asked, timeout=self._answer_within_s)
        finally:
            for task in asked:
                task.cancel()
        await asyncio.gather(*silent, return_exceptions=True)
        named = [state for task in answered if (state := _named(task, service_name))]
        usable = [state for state in named if self.check_master_state(state, service_name)]
        if not usable:
            known = "is down" if named else "is unknown"
            raise MasterNotFoundError(f"{len(answered)} sentinels answered: the master {known}")
        newest = max(usable, key=lambda state: int(state.get("config-epoch", 0)))
        return newest["ip"], newest["port"]


async def _masters(sentinel: aioredis.Redis) -> dict[str, dict[str, Any]]:
    masters: Any = await sentinel.sentinel_masters()
    return dict(masters)


def _named(task: asyncio.Task[Any], service_name: str) -> dict[str, Any] | None:
    error = task.exception()
    if error is None:
        state: dict[str, Any] | None = task.result().get(service_name)
        return state
    if isinstance(error, RedisError | OSError | TimeoutError):
        return None
    raise error


class _MasterPool(SentinelConnectionPool):
    """Connections to the master, and none to one that the sentinels have replaced.

    A master that was replaced while it ran takes writes for some 10 s more, which nobody will
    ever see again; only the sentinels tell.
    """

    _asking: asyncio.Task[None] | None = None

    async def ensure_connection(self, connection: Any) -> None:
        if self._asking is None:
            self._asking = asyncio.create_task(self._keep_asking(), context=Context())
        if (connection.host, connection.port) != self.master_address:
            await connection.disconnect()
        await super().ensure_connection(connection)

    async def _keep_asking(self) -> None:
        while True:
            await asyncio.sleep(ASK_EVERY_S)
            with suppress(RedisError, OSError):
                await self.get_master_address()  # type: ignore[no-untyped-call]

    async def aclose(self) -> None:
        """Closes those to the sentinels as well."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        await super().aclose()
        await self.sentinel_manager.aclose()


def open_master(
    address: SentinelAddress, *, answer_within_s: float, **options: Any
) -> aioredis.Redis:
    """A client for whoever is the master; `options` are those of a connection."""
    node: dict[str, Any] = {**parse_url(address.node)}
    del node["host"]  # the sentinels say
    ssl = node.pop("connection_class", None) is SSLConnection
    tls = {name: value for name, value in node.items() if name.startswith("ssl_")}
    sentinels = _Sentinels(
        address.members,
        answer_within_s=answer_within_s,
        socket_timeout=answer_within_s,
        socket_connect_timeout=answer_within_s,
        socket_keepalive=True,
        retry=options["retry"],
        ssl=ssl,
        **tls,
        **address.login,
    )
    pool = _MasterPool(address.service, sentinels, ssl=ssl, **node, **options)  # type: ignore[no-untyped-call]
    return aioredis.Redis.from_pool(pool)

"""One connection to the store, and the scripts that run on it."""

from __future__ import annotations

import asyncio
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import redis.asyncio as aioredis  # aioredis lives on here; the old package cannot be imported
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import NoScriptError, RedisError

from broker.domain.errors import ConfigError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

MEMORY = "memory://"
SCRIPTS = ("accept", "commit", "claim", "extend", "reserve", "refund")


def open_store(url: str, *, command_timeout_s: float) -> aioredis.Redis:
    """A client for `url` (`memory://`, `redis://`, `rediss://`, `unix://`); connects on first use.

    Its timeouts and its one retry together end within `command_timeout_s`: the defaults of
    redis-py hang for minutes on a server that is stopped but not dead.
    """
    if url == MEMORY:
        return _memory_store()
    per_try = command_timeout_s / 2
    return aioredis.Redis.from_url(
        url,
        socket_timeout=per_try,
        socket_connect_timeout=per_try,
        socket_keepalive=True,
        health_check_interval=15,
        retry=Retry(ConstantBackoff(0.01), 1),
    )


def _memory_store() -> aioredis.Redis:
    try:
        from fakeredis import FakeAsyncRedis, FakeServer  # noqa: PLC0415 - an extra package
    except ImportError:
        raise ConfigError('store.url memory:// needs the extra "embedded"') from None
    store: aioredis.Redis = FakeAsyncRedis(server=FakeServer())
    return store


class Store:
    """Runs our scripts and single commands under a time limit, with one kind of error."""

    def __init__(self, client: aioredis.Redis, prefix: str, *, timeout_s: float) -> None:
        self.client = client
        self.prefix = f"{{{prefix}}}:"
        """In braces: one hash tag, so that every script may touch every key."""
        self._timeout_s = timeout_s
        self._sources = {name: _source(name) for name in SCRIPTS}
        self._digests = {
            name: sha1(source, usedforsecurity=False).hexdigest()
            for name, source in self._sources.items()
        }
        self._embedded = type(client).__module__.startswith("fakeredis")

    def key(self, *parts: str) -> str:
        return self.prefix + ":".join(parts)

    async def run(
        self,
        script: str,
        keys: Sequence[str],
        args: Sequence[str | bytes | float],
        *,
        within: float | None = None,
    ) -> Any:
        """The script's answer; StoreUnavailableError if it does not come `within` seconds."""
        return await self.call(self._evaluate(script, keys, args), within=within)

    async def call(self, command: Awaitable[Any], *, within: float | None = None) -> Any:
        """The command's answer; StoreUnavailableError if it does not come `within` seconds."""
        try:
            async with asyncio.timeout(within or self._timeout_s):
                if self._embedded:
                    await asyncio.sleep(0)  # fakeredis never yields to the loop by itself
                return await command
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailableError(f"store: {type(error).__name__}", 1.0) from error

    async def _evaluate(
        self, script: str, keys: Sequence[str], args: Sequence[str | bytes | float]
    ) -> Any:
        arguments: tuple[Any, ...] = (*keys, *args)
        try:
            return await self.client.evalsha(self._digests[script], len(keys), *arguments)
        except NoScriptError:
            source = self._sources[script].decode()
            return await self.client.eval(source, len(keys), *arguments)

    async def aclose(self) -> None:
        await self.client.aclose()


def _source(name: str) -> bytes:
    return (files("broker.stores") / "scripts" / f"{name}.lua").read_bytes()

"""One connection to the store, and the scripts that run on it."""

from __future__ import annotations

import asyncio
from contextvars import Context
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import redis.asyncio as aioredis  # aioredis lives on here; the old package cannot be imported
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import NoScriptError, RedisError

from broker.domain.errors import ConfigError, StoreUnavailableError
from broker.ports import store_patience

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
    """Runs our scripts and single commands under a time limit, with one kind of error.

    Scripts that are called in one turn of the event loop travel together, in one pipeline.
    """

    def __init__(self, client: aioredis.Redis, prefix: str, *, timeout_s: float) -> None:
        self.client = client
        self.prefix = f"{{{prefix}}}:"
        """In braces: one hash tag, so that every script may touch every key."""
        self._timeout_s = timeout_s
        self._scripts = {name: _Script(name) for name in SCRIPTS}
        self._waiting: list[_Call] = []
        self._batches: set[asyncio.Task[None]] = set()

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
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        if not self._waiting:
            batch = asyncio.create_task(self._send_batch(), context=Context())
            self._batches.add(batch)
            batch.add_done_callback(self._batches.discard)
        self._waiting.append(_Call(self._scripts[script], (len(keys), *keys, *args), answer))
        patience = store_patience(within or self._timeout_s)
        timer = loop.call_later(patience, _out_of_time, answer)
        try:
            return await answer
        except (RedisError, OSError) as error:
            raise _unavailable(error) from error
        finally:
            timer.cancel()

    async def call(self, command: Awaitable[Any], *, within: float | None = None) -> Any:
        """The command's answer; StoreUnavailableError if it does not come `within` seconds."""
        try:
            async with asyncio.timeout(store_patience(within or self._timeout_s)):
                return await command
        except (RedisError, OSError, TimeoutError) as error:
            raise _unavailable(error) from error

    async def _send_batch(self) -> None:
        """Everything that waits, in one pipeline; a script that the server forgot is sent again."""
        await asyncio.sleep(0)  # whoever else is ready in this turn comes along
        calls, self._waiting = self._waiting, []
        try:
            answers = await self._pipeline(calls, by_source=False)
            forgotten = [
                call for call, a in zip(calls, answers, strict=True) if isinstance(a, NoScriptError)
            ]
            if forgotten:
                again = dict(
                    zip(forgotten, await self._pipeline(forgotten, by_source=True), strict=True)
                )
                answers = [again.get(c, a) for c, a in zip(calls, answers, strict=True)]
        except (RedisError, OSError) as error:
            answers = [error] * len(calls)
        for call, answer in zip(calls, answers, strict=True):
            call.settle(answer)

    async def _pipeline(self, calls: Sequence[_Call], *, by_source: bool) -> list[Any]:
        pipeline = self.client.pipeline(transaction=False)
        for call in calls:
            if by_source:
                pipeline.execute_command("EVAL", call.script.source, *call.arguments)
            else:
                pipeline.execute_command("EVALSHA", call.script.digest, *call.arguments)
        return await pipeline.execute(raise_on_error=False)

    async def aclose(self) -> None:
        await asyncio.gather(*self._batches, return_exceptions=True)
        await self.client.aclose()


def _out_of_time(answer: asyncio.Future[Any]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())


def _unavailable(error: Exception) -> StoreUnavailableError:
    return StoreUnavailableError(f"store: {type(error).__name__}", 1.0)


class _Script:
    """One of our scripts."""

    def __init__(self, name: str) -> None:
        self.source = (files("broker.stores") / "scripts" / f"{name}.lua").read_bytes()
        self.digest = sha1(self.source, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    """One script call on its way, and who waits for its answer."""

    script: _Script
    arguments: tuple[str | bytes | float, ...]
    answer: asyncio.Future[Any]

    def settle(self, answer: Any) -> None:
        """Hand over what came back, unless nobody waits any more."""
        if self.answer.done():
            return
        if isinstance(answer, Exception):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)

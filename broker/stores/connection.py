"""One connection to the store, and the scripts that run on it."""

from __future__ import annotations

import asyncio
import math
import re
import time
from contextvars import Context
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import redis.asyncio as aioredis  # aioredis lives on here; the old package cannot be imported
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from broker.domain.errors import ConfigError, StoreUnavailableError
from broker.ports import store_patience
from broker.stores import durability
from broker.stores.address import MEMORY, is_sentinel, parse_sentinel
from broker.stores.exchange import exchange
from broker.stores.sentinel import open_master
from broker.timing import time_limit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from broker.stores.exchange import Command

SCRIPTS = (
    *("accept", "find", "commit", "claim", "extend", "restore"),
    *("reserve", "refund", "release", "link", "erase", "turn", "shadow", "tiers"),
    *("recall", "remember", "forget", "opt", "seen", "talk", "learn", "unlearn"),
)
PROMISES = frozenset(
    {"accept", "commit", "claim", "extend", "restore", "link", "erase", "forget", "opt"}
)
"""Scripts whose effect somebody acts on: with `durable` their answer needs a proof.

A master that was replaced while it hung still gives leases when it wakes, and nobody keeps them.
"""
PIPELINES = 8
"""On the way at most. What is asked meanwhile travels together in the next one."""
EXAMINE_S = 10.0
PROOFS = 10
"""How often a server may fail to prove that writes last before it stops the start."""
_CODE = re.compile(r"[A-Z]{3,20}(?= )", re.ASCII)


def open_store(url: str, *, command_timeout_s: float) -> aioredis.Redis:
    """A client for any address of `broker.stores.address`; connects on first use.

    Each wait for the network is bounded; `Store` bounds the whole: the defaults of redis-py hang
    for minutes on a server that is stopped but not dead.
    """
    if url == MEMORY:
        return _memory_store()
    per_try = command_timeout_s / 2
    options: dict[str, Any] = {
        "socket_timeout": per_try,
        "socket_connect_timeout": per_try,
        "socket_keepalive": True,
        "health_check_interval": 15,
        "retry": Retry(ConstantBackoff(0.01), 1),
        # Three commands less before the first one of ours, when a connection is opened.
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    if is_sentinel(url):
        return open_master(parse_sentinel(url), answer_within_s=per_try / 2, **options)
    return aioredis.Redis.from_url(url, **options)


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

    def __init__(
        self,
        client: aioredis.Redis,
        prefix: str,
        *,
        timeout_s: float | None,
        profile: durability.Profile = "fast",
        fails_over: bool = False,
    ) -> None:
        """`timeout_s` None: a store in this process cannot be away, so nobody gives it up.

        `fails_over`: another server may take over, so no disk of this one is a proof.
        """
        self.client = client
        self.prefix = f"{{{prefix}}}:"
        """In braces: one hash tag, so that every script may touch every key."""
        self._timeout_s = timeout_s
        self._profile = profile
        self._fails_over = fails_over
        self._proof: durability.Proof | None = None
        self._refuses = False
        """Whether the server has refused a write, and has taken none of `confirm` since."""
        self._examined_at = -math.inf
        self._scripts = {name: _Script(name) for name in SCRIPTS}
        self._waiting: list[_Call] = []
        self._batches: set[asyncio.Task[None]] = set()
        self._lanes = asyncio.Semaphore(PIPELINES)

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
            batch = loop.create_task(self._send_batch(), context=Context())
            self._batches.add(batch)
            batch.add_done_callback(self._batches.discard)
        arguments = (len(keys), *keys, *args)
        self._waiting.append(_Call(self._scripts[script], arguments, answer, script in PROMISES))
        patience = self._patience(within)
        timer = None if patience is None else loop.call_later(patience, _out_of_time, answer)
        try:
            return await answer
        except (RedisError, OSError) as error:
            self._refuses |= isinstance(error, ResponseError)
            raise _unavailable(error) from error
        finally:
            if timer is not None:
                timer.cancel()

    async def call(self, command: Awaitable[Any], *, within: float | None = None) -> Any:
        """The command's answer; StoreUnavailableError if it does not come `within` seconds."""
        try:
            with time_limit(self._patience(within)):
                return await command
        except (RedisError, OSError, TimeoutError) as error:
            raise _unavailable(error) from error

    def _patience(self, within: float | None) -> float | None:
        return None if self._timeout_s is None else store_patience(within or self._timeout_s)

    async def confirm(self) -> None:
        """A write that the store has to take, and with `durable` the proof of all before it.

        StoreUnavailableError if the store is away, full, read-only or proves nothing.
        """
        mark = ("SET", self.key("mark"), "", "PX", durability.MARK_MS)
        answers, doubt = await self.call(self._exchanged([mark], durable=True))
        for fault in (*answers, doubt):
            if isinstance(fault, RedisError):
                self._refuses |= isinstance(fault, ResponseError)
                raise _unavailable(fault) from fault
        self._refuses = False

    async def stand_by_reads(self) -> None:
        """With `durable`: what was read outlives the server, whoever wrote it.

        Else that the server takes writes again, if it has refused one.
        """
        if self._profile == "durable" or self._refuses:
            await self.confirm()

    async def ready(self) -> None:
        """StoreUnavailableError if the promise cannot be kept now, by what the server is or does.

        Its settings are read again every EXAMINE_S: another server may have taken over.
        """
        await self.confirm()
        if self._profile != "volatile" and time.monotonic() >= self._examined_at + EXAMINE_S:
            try:
                await self.check()
            except ConfigError as error:
                raise StoreUnavailableError(f"store: {error}", EXAMINE_S) from error

    async def check(self) -> list[str]:
        """Whether the server can keep what the profile promises; what the operator should know.

        ConfigError: it never will. StoreUnavailableError: it cannot be told now.
        """
        server: durability.Server = await self.call(durability.examine(self.client))
        self._examined_at = time.monotonic()
        if server.evicts:
            self._examined_at = -math.inf
            raise ConfigError(
                f"maxmemory-policy is {server.maxmemory_policy}: Redis would throw accepted calls "
                "away, set it to noeviction"
            )
        if self._profile == "durable":
            self._proof = self._proof_of(server)
            try:
                await self._prove()
            except StoreUnavailableError as error:
                if self._fails_over or not isinstance(error.__cause__, durability.NotProvedError):
                    raise
                raise ConfigError(
                    'profile = "durable" needs appendonly yes with appendfsync always, or a '
                    "replica: the server says no to the first, and no replica confirmed a write"
                ) from None
        return server.warnings(self._profile)

    async def _prove(self) -> None:
        """`confirm`, and again if the proof is missing: a replica may be slow for a moment."""
        for _ in range(PROOFS - 1):
            try:
                return await self.confirm()
            except StoreUnavailableError as error:
                if not isinstance(error.__cause__, durability.NotProvedError):
                    raise
        return await self.confirm()

    async def _send_batch(self) -> None:
        """Everything that waits, in one pipeline; a script that the server forgot is sent again."""
        await asyncio.sleep(0)  # whoever else is ready in this turn comes along
        async with self._lanes:
            waiting, self._waiting = self._waiting, []
            calls = [call for call in waiting if not call.answer.done()]
            try:
                with time_limit(self._timeout_s):
                    answers = await self._answers(calls) if calls else []
            except (RedisError, OSError, TimeoutError) as error:
                answers = [error] * len(calls)
        for call, answer in zip(calls, answers, strict=True):
            call.settle(answer)

    async def _answers(self, calls: Sequence[_Call]) -> list[Any]:
        answers = await self._pipeline(calls, by_source=False)
        forgotten = [
            call for call, a in zip(calls, answers, strict=True) if isinstance(a, NoScriptError)
        ]
        if forgotten:
            again = dict(
                zip(forgotten, await self._pipeline(forgotten, by_source=True), strict=True)
            )
            answers = [again.get(c, a) for c, a in zip(calls, answers, strict=True)]
        if any(isinstance(answer, ReadOnlyError) for answer in answers):
            # A demoted master: the name may lead to another server by now.
            await self.client.connection_pool.disconnect(inuse_connections=False)
        return answers

    async def _pipeline(self, calls: Sequence[_Call], *, by_source: bool) -> list[Any]:
        commands: list[Command] = [
            ("EVAL", call.script.source, *call.arguments)
            if by_source
            else ("EVALSHA", call.script.digest, *call.arguments)
            for call in calls
        ]
        durable = any(call.durable for call in calls)
        answers, doubt = await self._exchanged(commands, durable=durable)
        if doubt is None:
            return answers
        return [
            doubt if call.durable and not isinstance(answer, NoScriptError) else answer
            for call, answer in zip(calls, answers, strict=True)
        ]

    async def _exchanged(
        self, commands: list[Command], *, durable: bool
    ) -> tuple[list[Any], durability.NotProvedError | None]:
        """The answers, and what is wrong with them if the profile wants a proof that is missing."""
        if not durable or self._profile != "durable":
            return await exchange(self.client, commands), None
        if self._proof is None:
            self._proof = self._proof_of(await durability.examine(self.client))
        proof, asked = self._proof, len(commands)
        answers = await exchange(self.client, [*commands, *proof.commands])
        if proof.holds(answers[asked:]):
            return answers[:asked], None
        self._proof = None  # another server may prove it otherwise
        return answers[:asked], durability.NotProvedError(proof.lacking)

    def _proof_of(self, server: durability.Server) -> durability.Proof:
        if server.syncs_always and not self._fails_over:
            return durability.by_fsync()
        return durability.by_replica()

    async def aclose(self) -> None:
        await asyncio.gather(*self._batches, return_exceptions=True)
        await self.client.aclose()


def _out_of_time(answer: asyncio.Future[Any]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())


def _unavailable(error: Exception) -> StoreUnavailableError:
    """Says which kind of error it was: the code of the server's answer, not its text."""
    what = type(error).__name__
    if isinstance(error, durability.NotProvedError):
        what = str(error)
    elif type(error) is ResponseError and (code := _CODE.match(str(error))):
        what = code[0]
    return StoreUnavailableError(f"store: {what}", 1.0)


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
    durable: bool
    """Whether its answer needs the proof of the profile."""

    def settle(self, answer: Any) -> None:
        """Hand over what came back, unless nobody waits any more."""
        if self.answer.done():
            return
        if isinstance(answer, Exception):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)

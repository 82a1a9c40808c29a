"""What a store survives: read from the server, and proved again with every durable write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from redis.exceptions import RedisError, ResponseError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import redis.asyncio as aioredis

REPLICAS = 1
REPLICA_WITHIN_MS = 100
"""How long a write waits for a replica. Shorter than what an accept may take."""
MARK_MS = 60_000
Profile = Literal["volatile", "fast", "durable"]


class NotProvedError(RedisError):
    """The write was made, but nothing says that it would outlive the server."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What is asked behind durable writes, in the same pipeline and on the same connection."""

    commands: tuple[tuple[str | int, ...], ...]
    holds: Callable[[Sequence[Any]], bool]
    """Whether the answers to `commands` prove it."""
    lacking: str
    """Said when they do not."""


def by_fsync() -> Proof:
    """The server writes its append-only file to the disk before it answers."""
    return Proof(
        (("CONFIG GET", "appendonly"), ("CONFIG GET", "appendfsync")),
        lambda answers: [_values(answer) for answer in answers] == [["yes"], ["always"]],
        "the server no longer has appendonly yes and appendfsync always",
    )


def by_replica() -> Proof:
    """A replica has everything up to here.

    WAIT counts from where the master stood at the connection's last command, a reading one as
    well: a repeated request is not confirmed by what it has merely read.
    """
    return Proof(
        (("WAIT", REPLICAS, REPLICA_WITHIN_MS),),
        lambda answers: isinstance(answers[0], int) and answers[0] >= REPLICAS,
        f"no replica confirmed a write within {REPLICA_WITHIN_MS} ms",
    )


@dataclass(frozen=True, slots=True)
class Server:
    """What a server says about itself; None = it does not say."""

    appendonly: bool | None
    appendfsync: str | None
    maxmemory_policy: str | None

    @property
    def evicts(self) -> bool:
        return self.maxmemory_policy not in (None, "noeviction")

    @property
    def syncs_always(self) -> bool:
        return self.appendonly is True and self.appendfsync == "always"

    def warnings(self, profile: Profile) -> list[str]:
        """What the operator should know; nothing of it stops the start."""
        if profile == "volatile":
            return []
        found = []
        if self.maxmemory_policy is None:
            found.append("maxmemory-policy cannot be read: see to it that it is noeviction")
        if profile == "durable":
            return found
        if self.appendonly is None:
            found.append("appendonly cannot be read: without an append-only file calls are lost")
        elif not self.appendonly:
            found.append("appendonly is no: when Redis restarts, accepted calls are lost")
        elif self.appendfsync == "no":
            found.append("appendfsync is no: a lost host loses far more than one second of calls")
        return found


async def examine(client: aioredis.Redis) -> Server:
    """Ask CONFIG, and INFO where a managed service or an ACL forbids CONFIG."""
    try:
        config = {}
        for pattern in ("append*", "maxmemory-policy"):
            config.update(await client.config_get(pattern))
    except ResponseError:
        return await _from_info(client)
    told = {_text(name): _text(value) for name, value in config.items()}
    appendonly = told.get("appendonly")
    return Server(
        None if appendonly is None else appendonly == "yes",
        told.get("appendfsync"),
        told.get("maxmemory-policy"),
    )


async def _from_info(client: aioredis.Redis) -> Server:
    try:
        told = {**await client.info("persistence"), **await client.info("memory")}
    except ResponseError:
        return Server(None, None, None)
    enabled = told.get("aof_enabled")
    return Server(None if enabled is None else bool(enabled), None, told.get("maxmemory_policy"))


def _values(answer: Any) -> list[str]:
    """Of an answer to CONFIG GET: a map, or with RESP2 names and values in turn."""
    if isinstance(answer, list):
        return [_text(value) for value in answer[1::2]]
    return [_text(value) for value in answer.values()] if isinstance(answer, dict) else []


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)

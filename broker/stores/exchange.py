"""Commands and their answers in one round trip, with less ado than a pipeline of redis-py."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from broker.timing import time_limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis.asyncio as aioredis

Command = tuple[str | bytes | float, ...]


async def exchange(client: aioredis.Redis, commands: Sequence[Command]) -> list[Any]:
    """The answers, untouched; one that is an error stands among them.

    What the connection allows for one wait is enough for all of them: redis-py would start a task
    for the sending and a timer for each answer (docs/performance.md). It is tried again as redis-py
    does it, so every command must be safe to repeat.
    """
    pool: Any = client.connection_pool
    connection = await pool.get_connection()
    seconds, connection.socket_timeout = connection.socket_timeout, None
    try:
        answers: list[Any] = await connection.retry.call_with_retry(
            partial(_once, connection, commands, seconds), lambda _: connection.disconnect()
        )
        return answers
    finally:
        connection.socket_timeout = seconds
        await pool.release(connection)


async def _once(connection: Any, commands: Sequence[Command], seconds: float | None) -> list[Any]:
    answers: list[Any] = []
    try:
        with time_limit(seconds):
            await connection.send_packed_command(connection.pack_commands(commands))
            for _ in commands:
                try:
                    answers.append(await connection.read_response())
                except ResponseError as error:
                    answers.append(error)
    except TimeoutError:
        raise RedisTimeoutError("no answer in time") from None
    return answers

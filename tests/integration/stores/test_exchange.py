"""Several commands in one round trip: each has its own answer, and a stuck connection is left."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import RedisError, ResponseError

from broker.stores.connection import open_store
from broker.stores.exchange import exchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio as aioredis

    from tests.conftest import RedisServer

TIMEOUT_S = 1.2


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[aioredis.Redis]:
    client = open_store(url, command_timeout_s=TIMEOUT_S)
    try:
        yield client
    finally:
        await client.aclose()


class Swallowing:
    """Leads to a server, until what is connected is `stuck`: then nothing comes back on it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []
        self._stuck: set[asyncio.StreamWriter] = set()

    def stick(self) -> None:
        self._stuck.update(self._writers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        answers, server = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            await asyncio.gather(self._pump(reader, server, writer), self._pump(answers, writer))
        except OSError:
            pass
        finally:
            server.close()
            writer.close()

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        asker: asyncio.StreamWriter | None = None,
    ) -> None:
        while data := await source.read(65_536):
            if asker not in self._stuck:
                sink.write(data)
        sink.close()


async def test_refused_command_stands_among_the_answers_of_the_others(
    private_redis: RedisServer,
) -> None:
    async with client_of(private_redis.url) as client:
        answers = await exchange(client, [("SET", "k", "word"), ("INCR", "k"), ("GET", "k")])
        again = await exchange(client, [("GET", "k")])
    assert isinstance(answers[1], ResponseError)
    assert (answers[2], again) == (b"word", [b"word"])


async def test_stuck_connection_is_left_for_another(private_redis: RedisServer) -> None:
    way = Swallowing(int(private_redis.url.rpartition(":")[2].partition("/")[0]))
    server = await asyncio.start_server(way.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, client_of(f"redis://127.0.0.1:{port}/0") as client:
        await exchange(client, [("SET", "k", "word")])
        way.stick()
        began = time.monotonic()
        answers = await exchange(client, [("GET", "k"), ("GET", "k")])
        assert time.monotonic() - began < TIMEOUT_S
    assert answers == [b"word", b"word"]


async def test_hung_server_is_given_up_and_leaves_no_answer_behind_for_the_next(
    private_redis: RedisServer,
) -> None:
    async with client_of(private_redis.url) as client:
        await exchange(client, [("SET", "k", "word")])
        with private_redis.hung(), pytest.raises(RedisError):
            await exchange(client, [("INCR", "n"), ("INCR", "n")])
        assert await exchange(client, [("GET", "k")]) == [b"word"]

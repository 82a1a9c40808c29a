"""Real processes: a Redis with an append-only file, and brokers."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import redis.asyncio as aioredis
from redis.exceptions import RedisError

from tests.servers import REDIS_SERVER, free_port

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Mapping, Sequence

_UP_WITHIN_S = 20.0
_LOOK_EVERY_S = 0.02
ROOT = Path(__file__).parents[2]
BROKER = ("-m", "broker", "serve")


@dataclass(eq=False)
class Program:
    """Something that listens on a port until it is killed; what it says is appended to a file."""

    command: Sequence[str]
    port: int
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    """Besides ours, of which nothing for a broker is passed on."""
    _process: Process | None = field(default=None, repr=False)

    async def start(self) -> None:
        """Returns once it listens; RuntimeError if it ends instead."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith("BROKER_")}
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.command,
                cwd=ROOT,
                env={**clean, **self.environment},
                stdout=log,
                stderr=log,
            )
        async with asyncio.timeout(_UP_WITHIN_S):
            while not await self.listens():
                if self._process.returncode is not None:
                    raise RuntimeError(f"ended at once: {self.log.read_text()[-2000:]}")
                await asyncio.sleep(_LOOK_EVERY_S)

    async def listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.transport.abort()
        return True

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def kill(self) -> None:
        """SIGKILL, also to one that is stopped; returns once it is gone."""
        await self._signal(signal.SIGKILL)

    async def terminate(self) -> int | None:
        """SIGTERM; its exit code, once it has ended. None if it never ran."""
        return await self._signal(signal.SIGTERM)

    async def _signal(self, number: int) -> int | None:
        if self._process is None:
            return None
        if self._process.returncode is None:
            self._process.send_signal(number)
        return await self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: it stands still and notices nothing."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGCONT)


def redis_program(folder: Path, *, fsync: str = "everysec") -> Program:
    """A private Redis whose data outlives its process."""
    port = free_port()
    command = (
        *(REDIS_SERVER, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)),
        *("--save", "", "--appendonly", "yes", "--appendfsync", fsync),
        *("--maxmemory-policy", "noeviction"),
    )
    return Program(command, port, folder / "redis.log")


async def until_answers(port: int) -> None:
    """Returns once the Redis on `port` has loaded its data."""
    async with asyncio.timeout(_UP_WITHIN_S), aioredis.Redis(port=port) as client:
        while True:
            try:
                await client.ping()
            except (RedisError, OSError):
                await asyncio.sleep(_LOOK_EVERY_S)
            else:
                return


def broker_command(config: Path, command: Sequence[str] = BROKER) -> tuple[str, ...]:
    """What starts one replica."""
    return (sys.executable, *command, "--config", str(config))

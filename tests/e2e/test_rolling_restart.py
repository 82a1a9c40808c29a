"""Two replicas behind the proxy of `deploy/compose`, restarted one by one under load."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientError, ClientSession

from tests.e2e.conftest import Program, until
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.conftest import SandboxProcess, Story

_PROXY = Path(__file__).parents[2] / "deploy" / "compose" / "haproxy.cfg"
_PAUSE_S = 0.02
_ACTIVE = re.compile(r"([0-9]) active and")


@pytest.fixture
def replica(
    sandbox_process: SandboxProcess, in_redis: dict[str, str], tmp_path: Path
) -> Iterator[Callable[[int], Program]]:
    """Starts a replica on a port; all share one Redis."""
    config = tmp_path / "broker.toml"
    config.write_text(sandbox_process.config)
    started: list[Program] = []

    def start(port: int) -> Program:
        address = {"BROKER_SERVER__PORT": str(port), "BROKER_SERVER__DRAIN_DELAY_S": "2"}
        program = Program(tmp_path, "serve", "--config", str(config), **address, **in_redis)
        started.append(program)
        program.wait_until_said('"serving"')
        return program

    yield start
    for program in started:
        program.kill()


@dataclass(frozen=True)
class Proxy:
    """The proxy of `deploy/compose`, and the ports that its two replicas have to take."""

    url: str
    ports: tuple[int, int]
    log: Path

    async def both_serve(self) -> bool:
        """Whether its newest look found two replicas ready."""
        looks = _ACTIVE.findall(self.log.read_text())
        return bool(looks) and looks[-1] == "2"


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy is not installed")
    listen, first, second = (free_port() for _ in range(3))
    addresses = {
        "LISTEN": f"127.0.0.1:{listen}",
        "REPLICA_1": f"127.0.0.1:{first}",
        "REPLICA_2": f"127.0.0.1:{second}",
    }
    log = tmp_path / "haproxy.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["haproxy", "-f", str(_PROXY)], env={**os.environ, **addresses}, stdout=output
        )
    try:
        yield Proxy(f"http://127.0.0.1:{listen}", (first, second), log)
    finally:
        process.kill()
        process.wait()


class _Load:
    """Callers that ring again and again until told to stop; what each was answered."""

    def __init__(self, story: Story, url: str) -> None:
        self._story = story
        self._url = url
        self.refused: list[str] = []
        self.answered = 0
        self.over = asyncio.Event()

    async def run(self) -> None:
        async with ClientSession() as http:
            while not self.over.is_set():
                await self._ring(http)
                await asyncio.sleep(_PAUSE_S)

    async def _ring(self, http: ClientSession) -> None:
        call = await self._story.rings("standard")
        body = {name: call[name] for name in ("call_id", "session_id", "from", "to")}
        try:
            async with http.post(f"{self._url}/v1/calls", json=body) as answer:
                said = await answer.text()
                # A starved machine may miss the store's 150 ms; that is not what is tested here.
                if answer.status != 202 and "store_unavailable" not in said:
                    self.refused.append(f"{answer.status} {said}")
        except ClientError as error:
            self.refused.append(type(error).__name__)
        self.answered += 1


async def test_no_request_fails_while_the_replicas_are_restarted_one_by_one(
    proxy: Proxy, replica: Callable[[int], Program], story: Story
) -> None:
    running = [await asyncio.to_thread(replica, port) for port in proxy.ports]
    await until(proxy.both_serve)
    load = _Load(story, proxy.url)
    callers = [asyncio.create_task(load.run()) for _ in range(4)]
    for old, port in zip(running, proxy.ports, strict=True):
        old.terminate()
        assert await old.ended() == 0, old.said
        await asyncio.to_thread(replica, port)
        await until(proxy.both_serve)
    load.over.set()
    await asyncio.gather(*callers)
    assert load.answered > 100
    assert load.refused == []

"""Real processes for the end-to-end tests: a sandbox, brokers in front of it, and a customer."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from aiohttp import ClientSession
from yarl import URL

from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

_SOON_S = 40.0
_LOOK_EVERY_S = 0.05


async def until(reached: Callable[[], Awaitable[bool]], within: float = _SOON_S) -> None:
    """Returns once `reached` says True; TimeoutError otherwise."""
    async with asyncio.timeout(within):
        while not await reached():
            await asyncio.sleep(_LOOK_EVERY_S)


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Ours, without what a developer may have set for a broker of his own."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith("BROKER_")}
    return {**plain, **settings}


def broker_command(
    folder: Path, *arguments: str, **settings: str
) -> subprocess.CompletedProcess[str]:
    """A `broker` command that ends by itself, run in `folder`; its output goes into pipes."""
    return subprocess.run(
        [sys.executable, "-m", "broker", *arguments],
        cwd=folder,
        env=_environment(settings),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


@pytest.fixture
def run_broker(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`broker_command` in an empty folder."""
    return partial(broker_command, tmp_path)


class Program:
    """A `broker` command that serves until it is stopped; what it says goes into a file."""

    def __init__(self, folder: Path, *arguments: str, **settings: str) -> None:
        self._output = folder / f"{arguments[0]}-{uuid4().hex}.log"
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "broker", *arguments],
                cwd=folder,
                env=_environment(settings),
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        """All of its output until now."""
        return self._output.read_text()

    def wait_until_said(self, text: str) -> None:
        """Returns once its output contains `text`; fails if it ended before."""
        until = time.monotonic() + _SOON_S
        while text not in self.said:
            assert self._process.poll() is None, self.said
            assert time.monotonic() < until, self.said
            time.sleep(_LOOK_EVERY_S)

    def kill(self) -> None:
        """SIGKILL: it gets no chance to tidy up. Nothing happens if it has ended."""
        self._process.kill()
        self._process.wait()

    def terminate(self) -> None:
        """SIGTERM; see `ended`."""
        self._process.send_signal(signal.SIGTERM)

    def hang_up(self) -> None:
        """SIGHUP: it reads its clients' secrets again."""
        self._process.send_signal(signal.SIGHUP)

    @property
    def cpu_s(self) -> float:
        """Seconds of processor time that it has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def ended(self) -> int:
        """Its exit code, once it has ended."""
        return await asyncio.to_thread(self._process.wait, _SOON_S)


@dataclass(frozen=True, slots=True)
class SandboxProcess:
    """A running `broker sandbox`."""

    base_url: str
    config: str
    """What `--print-config` says for it: the broker.toml of a broker in front of it."""


@dataclass(frozen=True, slots=True)
class BrokerProcess:
    """A running `broker serve`."""

    base_url: str
    program: Program


@pytest.fixture(scope="session")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    folder = tmp_path_factory.mktemp("sandbox")
    port, smtp_port = free_port(), free_port()
    options = ("sandbox", "--port", str(port), "--smtp-port", str(smtp_port))
    printed = broker_command(folder, *options, "--print-config")
    assert printed.returncode == 0, printed.stderr
    program = Program(folder, *options)
    try:
        program.wait_until_said("stop with Ctrl-C")
        yield SandboxProcess(f"http://127.0.0.1:{port}", printed.stdout)
    finally:
        program.kill()


@pytest.fixture
def serve(
    sandbox_process: SandboxProcess, tmp_path: Path
) -> Iterator[Callable[..., BrokerProcess]]:
    """Starts a broker in front of the sandbox; arguments are `BROKER_*` settings for it."""
    config = tmp_path / "broker.toml"
    config.write_text(sandbox_process.config)
    started: list[Program] = []

    def start(**settings: str) -> BrokerProcess:
        port = free_port()
        base_url = f"http://127.0.0.1:{port}"
        address = {"BROKER_SERVER__PORT": str(port), "BROKER_SERVER__PUBLIC_URL": base_url}
        program = Program(tmp_path, "serve", "--config", str(config), **address, **settings)
        started.append(program)
        program.wait_until_said('"serving"')
        return BrokerProcess(base_url, program)

    yield start
    for program in started:
        program.kill()


@pytest.fixture
def in_redis(redis_url: str, prefix: str) -> dict[str, str]:
    """The settings of brokers that share a ledger on Redis."""
    return {"BROKER_STORE__URL": redis_url, "BROKER_STORE__PREFIX": prefix}


@dataclass(frozen=True, slots=True)
class Story:
    """Calls, and what is seen of them from outside. `broker` is a broker's base URL."""

    http: ClientSession
    sandbox: str

    async def slow_crm(self, milliseconds: int) -> None:
        """From now on the CRM takes so long to answer, whoever is asked for."""
        await self._ask(
            "PUT", f"{self.sandbox}/_sandbox/faults", {"crm": {"delay_ms": milliseconds}}
        )

    async def rings(self, persona: str) -> dict[str, Any]:
        """A call of docs/demo-data.md, with its ids and what is to be expected of it."""
        return await self._ask("POST", f"{self.sandbox}/_sandbox/calls", {"persona": persona})

    async def starts(self, broker: str, call: dict[str, Any]) -> dict[str, Any]:
        """The call-start automation, which asks again as IVRs do; the broker's answer."""
        body = {name: call[name] for name in ("call_id", "session_id", "from", "to")}
        return await self._persists(f"{broker}/v1/calls", body)

    async def ends(self, broker: str, call: dict[str, Any]) -> str:
        """Hang-up and call-ended; how the broker says that the call ended."""
        await self._ask("POST", f"{self.sandbox}/_sandbox/calls/{call['call_id']}/hangup", {})
        answer = await self._persists(f"{broker}/v1/calls/{call['call_id']}/end", {})
        state: str = answer["state"]
        return state

    async def lookups(self, call: dict[str, Any]) -> list[str]:
        """`ivr.lookup` of every write into the call's session, in order."""
        seen = await self._ask("GET", f"{self.sandbox}/_sandbox/calls/{call['call_id']}")
        return [write["variables"]["ivr.lookup"] for write in seen["writes"]]

    async def emails(self, call: dict[str, Any]) -> int:
        """How many emails the caller got."""
        box = await self._ask("GET", f"{self.sandbox}/_sandbox/outbox?to={call['email']}")
        return len(box["messages"])

    async def until_found(self, call: dict[str, Any]) -> None:
        """Waits until the session shows the customer."""

        async def found() -> bool:
            return "found" in await self.lookups(call)

        await until(found)

    async def until_emailed(self, call: dict[str, Any]) -> None:
        """Waits until the caller has his email."""

        async def emailed() -> bool:
            return await self.emails(call) > 0

        await until(emailed)

    async def until_draining(self, broker: str) -> None:
        """Waits until the broker tells its load balancer to send nothing more."""

        async def draining() -> bool:
            return await self.readiness(broker) == (503, "draining")

        await until(draining)

    async def until_refused(self, broker: str) -> None:
        """Waits until the broker takes no new connection."""
        url = URL(broker)

        async def refused() -> bool:
            try:
                _, writer = await asyncio.open_connection(url.host, url.port)
            except OSError:
                return True
            writer.close()
            return False

        await until(refused)

    async def readiness(self, broker: str) -> tuple[int, str]:
        """Status code and `status` of `/readyz`."""
        async with self.http.get(f"{broker}/readyz") as answer:
            return answer.status, (await answer.json())["status"]

    async def metrics(self, broker: str) -> str:
        async with self.http.get(f"{broker}/metrics") as answer:
            return await answer.text()

    async def _persists(self, url: str, body: object) -> dict[str, Any]:
        """As `_ask`; on a busy machine a store may miss its 150 ms."""
        async with asyncio.timeout(_SOON_S):
            while True:
                async with self.http.post(url, json=body) as answer:
                    content: dict[str, Any] = await answer.json(content_type=None)
                    if content.get("code") != "store_unavailable":
                        assert answer.ok, content
                        return content
                await asyncio.sleep(_LOOK_EVERY_S)

    async def _ask(self, method: str, url: str, body: object = None) -> dict[str, Any]:
        async with self.http.request(method, url, json=body) as answer:
            assert answer.ok, await answer.text()
            content: dict[str, Any] = await answer.json()
            return content


@pytest.fixture
async def story(sandbox_process: SandboxProcess) -> AsyncIterator[Story]:
    """The sandbox's side of the story, without faults and messages of a test before."""
    async with ClientSession() as http:
        async with http.post(f"{sandbox_process.base_url}/_sandbox/reset") as answer:
            assert answer.ok
        yield Story(http, sandbox_process.base_url)

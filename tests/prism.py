"""Mock servers made from API descriptions by Prism, which judge the requests they get."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiohttp
import orjson
import pytest

from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from broker.testing.scripted_server import Asked

START_S = 60.0
"""A few seconds, unless the machine is busy."""


@contextmanager
def mocks(
    command: str, descriptions: Sequence[Path], folder: Path, *options: str
) -> Iterator[list[str]]:
    """The addresses of one mock for each description, all started at once."""
    servers = [_Mock(command, description, folder, options) for description in descriptions]
    try:
        for server in servers:
            server.wait_until_listening()
        yield [server.url for server in servers]
    finally:
        for server in servers:
            server.stop()


async def complaints(url: str, requests: Iterable[Asked], *headers: str) -> list[str]:
    """What the mock at `url` holds against these requests, told with these of their headers.

    To one that is not as described it answers 422, or the error that the file describes. That an
    example in a file breaks the file's own schema is not our fault.
    """
    async with aiohttp.ClientSession(skip_auto_headers=["User-Agent"]) as http:
        said = [await _complaint(http, url, asked, headers) for asked in requests]
    return [complaint for complaint in said if complaint is not None]


async def _complaint(
    http: aiohttp.ClientSession, url: str, asked: Asked, headers: Sequence[str]
) -> str | None:
    async with http.request(
        asked.method,
        url + asked.path,
        params=asked.query,
        data=asked.body or None,
        headers={name: asked.headers[name] for name in headers if name in asked.headers},
    ) as answer:
        faults = orjson.loads(answer.headers.get("sl-violations", "[]"))
        if faults and all(fault["location"][0] == "response" for fault in faults):
            return None
        if answer.status < 400 and not faults:
            return None
        return f"{asked.line}: {answer.status} {faults} {await answer.text()}"


class _Mock:
    def __init__(
        self, command: str, description: Path, folder: Path, options: Sequence[str]
    ) -> None:
        self._port = free_port()
        self._log = folder / f"{description.name}.log"
        self.url = f"http://127.0.0.1:{self._port}"
        where = ["-h", "127.0.0.1", "-p", str(self._port)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [command, "mock", *where, *options, str(description)],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # it may start others: all end together
            )

    def wait_until_listening(self) -> None:
        until = time.monotonic() + START_S
        while self._process.poll() is None and time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            time.sleep(0.1)
        pytest.fail(f"the mock did not start:\n{self._log.read_text()[-2000:]}")

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

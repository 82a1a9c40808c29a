"""`broker sandbox` as a process: what it prints, and how it ends."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSession

from broker.sandbox import credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SOON_S = 30.0
START = """
import argparse, sys
from broker.cli import sandbox
parser = argparse.ArgumentParser()
sandbox.add_parser(parser.add_subparsers(required=True))
sys.exit(sandbox.run(parser.parse_args(["sandbox", *sys.argv[1:]])))
"""


async def command(*arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", START, *arguments, stdout=pipe, stderr=pipe
    )


@pytest.fixture
async def process() -> AsyncIterator[asyncio.subprocess.Process]:
    process = await command("--port", "0", "--smtp-port", "0")
    yield process
    if process.returncode is None:
        process.kill()
        await process.wait()


async def said(process: asyncio.subprocess.Process) -> str:
    """What the command prints once it serves."""
    assert process.stdout is not None
    async with asyncio.timeout(SOON_S):
        return (await process.stdout.readuntil(b"Ctrl-C\n")).decode()


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_what_it_serves_and_stops_cleanly(
    process: asyncio.subprocess.Process, signal_number: signal.Signals
) -> None:
    text = await said(process)
    assert credentials.PLATFORM_TOKEN in text
    url = text.split()[1].removesuffix("/api/v2")
    async with ClientSession() as http, http.get(f"{url}/track/TRK-PREMIUM-001") as page:
        assert page.status == 200
    process.send_signal(signal_number)
    out, err = await asyncio.wait_for(process.communicate(), SOON_S)
    assert (process.returncode, out, err) == (0, b"stopped\n", b"")


@pytest.mark.parametrize("option", ["--port", "--smtp-port"])
async def test_a_port_in_use_is_one_clear_sentence(option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = {"--port": "0", "--smtp-port": "0", option: str(taken.getsockname()[1])}
        process = await command(*(word for pair in ports.items() for word in pair))
        out, err = await asyncio.wait_for(process.communicate(), SOON_S)
    assert (process.returncode, out) == (1, b"")
    (line,) = err.decode().splitlines()
    assert line.startswith("broker sandbox: cannot listen")


async def test_it_writes_the_configuration_of_a_broker_in_front_of_it_and_exits() -> None:
    options = ("--host", "127.0.0.2", "--port", "4711", "--smtp-port", "4712")
    process = await command(*options, "--print-config")
    out, err = await asyncio.wait_for(process.communicate(), SOON_S)
    assert (process.returncode, err) == (0, b"")
    tables = tomllib.loads(out.decode())
    addresses = (tables["platform"]["base_url"], tables["crm"]["shop"]["options"]["base_url"])
    assert addresses == ("http://127.0.0.2:4711",) * 2
    assert (tables["smtp"]["host"], tables["smtp"]["port"]) == ("127.0.0.2", 4712)
    assert tables["server"]["port"] == 8080

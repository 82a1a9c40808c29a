"""Sets the demo up: a sandbox and a broker in this process, each behind its own port."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from broker.app import running_broker
from broker.cli.demo.flow import CallFlow, ScriptError
from broker.cli.demo.report import Report
from broker.cli.demo.script import SCRIPT
from broker.cli.loop import run_loop
from broker.logs import configure
from broker.sandbox.configuration import broker_tables
from broker.sandbox.server import running_sandbox
from broker.settings import from_mapping

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from broker.sandbox.server import Sandbox

DEFAULT_PORT = 8080
_STOP_S = 1.0


def play(*, once: bool, port: int | None) -> int:
    """0 if every call went as scripted, else 1."""
    configure(sys.stderr.buffer, level=logging.ERROR)
    if port is None:
        port = 0 if once else DEFAULT_PORT
    return run_loop(_play(port, once=once))


async def _play(port: int, *, once: bool) -> int:
    report = Report()
    async with running_sandbox() as sandbox, _served_broker(sandbox, port) as address:
        await _callbacks_lead_to(address, sandbox.base_url)
        report.opening(address, sandbox.base_url)
        right = await _play_all(report, address, sandbox.base_url)
        report.closing(right, len(SCRIPT))
        if not once:
            report.serving(address, sandbox.base_url)
            await _stopped()
    return 0 if right == len(SCRIPT) else 1


@asynccontextmanager
async def _served_broker(sandbox: Sandbox, port: int) -> AsyncIterator[str]:
    """A broker in front of the sandbox; the address it serves at."""
    listening = socket.create_server(("127.0.0.1", port))
    port = listening.getsockname()[1]
    tables = broker_tables(f"{sandbox.host}:{sandbox.port}", sandbox.smtp_port, port)
    async with running_broker(from_mapping(tables, {})) as broker:
        runner = broker.runner(shutdown_timeout=_STOP_S)
        await runner.setup()
        try:
            await web.SockSite(runner, listening).start()
            yield f"http://127.0.0.1:{port}"
        finally:
            await runner.cleanup()


async def _callbacks_lead_to(broker: str, sandbox: str) -> None:
    """What an operator sets up in the console of his provider."""
    channels = {"whatsapp": "whatsapp", "twilio": "sms"}
    addresses = {part: f"{broker}/v1/channels/{name}/callback" for part, name in channels.items()}
    async with aiohttp.ClientSession(raise_for_status=True) as http:
        await http.put(f"{sandbox}/_sandbox/callbacks", json=addresses)


async def _play_all(report: Report, broker: str, sandbox: str) -> int:
    """How many calls went as scripted. They are played one after the other, for the reader."""
    right = 0
    async with aiohttp.ClientSession() as http:
        for number, script in SCRIPT.items():
            call, fault = CallFlow(http, broker, sandbox), None
            try:
                await script(call)
                right += 1
            except (ScriptError, aiohttp.ClientError) as error:
                fault = str(error)
            report.call(number, script.__doc__ or "", call.timeline, fault)
    return right


async def _stopped() -> None:
    """Until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()

"""A whole sandbox, HTTP and mail, for as long as a `with` block lasts."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from broker.sandbox.app import STATE, build_sandbox
from broker.sandbox.mail import mail_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from broker.sandbox.personas import Fixture
    from broker.sandbox.state import SandboxState

_SHUTDOWN_S = 1.0


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Where a running sandbox can be reached, and what it remembers."""

    host: str
    port: int
    smtp_port: int
    state: SandboxState

    @property
    def base_url(self) -> str:
        """`http://127.0.0.1:8091`, without a slash at the end."""
        return f"http://{self.host}:{self.port}"


@asynccontextmanager
async def running_sandbox(
    port: int = 0,
    smtp_port: int = 0,
    *,
    host: str = "127.0.0.1",
    fixture: Fixture | None = None,
) -> AsyncIterator[Sandbox]:
    """Serve until the block is left. Port 0 = any free one; OSError if one is taken."""
    app = build_sandbox(fixture)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        async with mail_server(app[STATE], host, smtp_port) as mail_port:
            yield Sandbox(host, runner.addresses[0][1], mail_port, app[STATE])
    finally:
        await runner.cleanup()

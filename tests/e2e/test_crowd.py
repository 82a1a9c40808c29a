"""More connections than the process may have open files."""

from __future__ import annotations

import asyncio
import resource
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from aiohttp import ClientError, ClientSession
from yarl import URL

from tests.e2e.conftest import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.conftest import BrokerProcess, Story

FILES = 128
CROWD = 2 * FILES
HALF_A_HEADER = b"POST /v1/calls HTTP/1.1\r\nHost: broker\r\nContent-"
RECEIVE_S = 45.0
"""So long that nobody leaves by himself while the test looks."""
LOOK_S = 2.0


@contextmanager
def few_files() -> Iterator[None]:
    """Whatever is started meanwhile may have so many open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def _stays(url: URL, connected: asyncio.Semaphore) -> None:
    """A client that begins a request and never ends it."""
    with suppress(OSError):
        reader, writer = await asyncio.open_connection(url.host, url.port)
        try:
            writer.write(HALF_A_HEADER)
            connected.release()
            await reader.read()
        finally:
            writer.transport.abort()


async def _accepted(broker: str, call: dict[str, Any]) -> bool:
    """Whether the call-start was, on a connection of its own; nothing else is but a refusal."""
    body = {name: call[name] for name in ("call_id", "session_id", "from", "to")}
    try:
        async with ClientSession() as http, http.post(f"{broker}/v1/calls", json=body) as answer:
            assert answer.status in {202, 503}, await answer.text()
            return answer.status == 202
    except (ClientError, OSError):
        return False


async def test_a_crowd_beyond_the_open_files_is_kept_out_and_calls_are_served(
    serve: Callable[..., BrokerProcess], story: Story
) -> None:
    with few_files():
        broker = serve(BROKER_SERVER__RECEIVE_TIMEOUT_S=str(RECEIVE_S))
    url, connected = URL(broker.base_url), asyncio.Semaphore(0)
    crowd = [asyncio.create_task(_stays(url, connected)) for _ in range(CROWD)]
    try:
        for _ in range(FILES):
            await connected.acquire()
        for _ in range(3):
            call = await story.rings("standard")

            async def accepted(call: dict[str, Any] = call) -> bool:
                return await _accepted(broker.base_url, call)

            await until(accepted)
            await story.until_found(call)
        began, used = time.monotonic(), broker.program.cpu_s
        await asyncio.sleep(LOOK_S)
        assert broker.program.cpu_s - used < (time.monotonic() - began) / 4
        assert any(not client.done() for client in crowd), "nobody is left that crowds"
    finally:
        for client in crowd:
            client.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
    assert "open files" not in broker.program.said

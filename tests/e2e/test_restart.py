"""Brokers that are killed or stopped in the middle of a call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.conftest import BrokerProcess, Story


async def test_a_broker_killed_before_the_write_finishes_the_call_once_it_is_back(
    serve: Callable[..., BrokerProcess], in_redis: dict[str, str], story: Story
) -> None:
    await story.slow_crm(1000)
    first = serve(**in_redis)
    call = await story.rings("standard")
    assert (await story.starts(first.base_url, call))["lookup"] == "pending"
    first.program.kill()
    assert await story.lookups(call) == []

    second = serve(**in_redis)
    await story.until_found(call)
    assert await story.lookups(call) in (["found"], ["timeout", "found"])
    await story.until_emailed(call)
    assert (await story.starts(second.base_url, call))["route"] == "self_service"
    assert await story.ends(second.base_url, call) == "messaged"
    assert await story.emails(call) == 1
    assert "broker_takeovers_total 1.0" in await story.metrics(second.base_url)


async def test_a_stopped_broker_accepts_a_little_longer_then_finishes_its_calls_and_exits_with_0(
    serve: Callable[..., BrokerProcess], story: Story
) -> None:
    await story.slow_crm(2500)
    broker = serve(BROKER_SERVER__DRAIN_DELAY_S="1.5")
    call, late_call = [await story.rings("standard") for _ in range(2)]
    await story.starts(broker.base_url, call)
    assert await story.readiness(broker.base_url) == (200, "ready")

    broker.program.terminate()
    await story.until_draining(broker.base_url)
    assert (await story.starts(broker.base_url, late_call))["lookup"] == "pending"

    await story.until_refused(broker.base_url)
    assert "found" not in await story.lookups(call)

    assert await broker.program.ended() == 0
    for finished in (call, late_call):
        assert await story.lookups(finished) == ["timeout", "found"]
        assert await story.emails(finished) == 1
    assert '"handed_over"' not in broker.program.said


async def test_a_request_that_never_ends_does_not_keep_a_stopped_broker(
    serve: Callable[..., BrokerProcess],
) -> None:
    broker = serve(BROKER_SERVER__DRAIN_DELAY_S="0")
    url = URL(broker.base_url)
    _, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"POST /v1/calls HTTP/1.1\r\nHost: broker\r\nContent-Length: 9\r\n\r\n{")
    await writer.drain()
    broker.program.terminate()
    assert await broker.program.ended() == 0
    writer.close()

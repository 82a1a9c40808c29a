"""A message fails for good, the channel heals, an operator has it sent again: once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from broker.cli.dead_letters import act

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_refused_message_is_listed_and_sent_exactly_once_by_retry(
    serve: Callable[..., Any], redis_url: str, prefix: str
) -> None:
    async with serve(store={"url": redis_url, "prefix": prefix}) as service:
        settings = service.broker.parts.settings
        faults = f"{service.sandbox.base_url}/_sandbox/faults"
        await service.http.put(faults, json={"smtp": {"mode": "reject"}})
        call, _ = await service.starts("standard")
        path = f"/v1/calls/{call['call_id']}"
        await service.tells(f"{path}/tracking-email?wait_ms=5000", {})
        await service.tells(f"{path}/end", {})
        letter = f"{call['call_id']}/message:tracking"
        (shown,), _ = await act(settings, "list", [])
        assert letter in shown
        assert call["email"] not in shown
        await service.http.put(faults, json={})
        done, refused = await act(settings, "retry", [letter, "unknown/message:tracking"])
        assert done == [f"{letter}  queued"]
        assert refused == ["unknown/message:tracking: no dead letter has this id"]
        async with asyncio.timeout(10):
            while (seen := (await service.get(path))[1])["messages"][0]["state"] != "sent":
                await asyncio.sleep(0.05)
        assert seen["outcome"] == "failed"
        await asyncio.sleep(0.3)
        outbox = f"{service.sandbox.base_url}/_sandbox/outbox?to={call['email']}"
        async with service.http.get(outbox) as answer:
            assert len((await answer.json())["messages"]) == 1
        assert letter not in (await act(settings, "list", []))[0][0]

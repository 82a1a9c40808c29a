"""An agent's leg shows him the caller, the outcome stands in the conversation: over real HTTP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.service.conftest import Service

AGENT = "a0000000000000000000000000000007"
ON = {"screen_pop": True, "log_back": True}


async def _leg(service: Service, call: dict[str, Any], leg: str = "leg1") -> None:
    body = {"call_id": leg, "parent_id": call["call_id"], "agent_id": AGENT}
    status, _ = await service.post("/v1/calls", body)
    assert status == 202


async def _told(service: Service, hook: str, result: str) -> None:
    """Until so much has been counted."""
    line = f'broker_hooks_total{{hook="{hook}",result="{result}"}} 1.0'
    async with asyncio.timeout(10):
        while True:
            async with service.http.get(f"{service.url}/metrics") as answer:
                if line in await answer.text():
                    return
            await asyncio.sleep(0.02)


async def _pushes(service: Service) -> list[dict[str, Any]]:
    outbox = f"{service.sandbox.base_url}/_sandbox/outbox?to={AGENT}"
    async with service.http.get(outbox) as answer:
        pushes: list[dict[str, Any]] = (await answer.json())["messages"]
        return pushes


async def test_an_agent_is_shown_the_caller_and_the_conversation_gets_the_outcome(
    serve: Callable[..., Any],
) -> None:
    async with serve(platform=ON) as service:
        call, _ = await service.starts("premium")
        await _leg(service, call)
        await _leg(service, call)
        await _told(service, "screen_pop", "done")
        (push,) = await _pushes(service)
        assert push["data"]["route"] == "premium"
        assert push["data"]["customer_id"] in push["text"]
        for _ in range(2):
            await service.post(f"/v1/calls/{call['call_id']}/end", {"disposition": "answered"})
        await _told(service, "log_back", "done")
        seen = await service.session(call)
        (event,) = seen["events"]
        assert event["name"] == "broker-call-over"
        assert event["data"] == {
            "outcome": "premium",
            "lookup": "found",
            "route": "premium",
            "references": 0,
            "disposition": "answered",
        }


async def test_by_default_the_platform_is_told_nothing(service: Service) -> None:
    call, _ = await service.starts("premium")
    await _leg(service, call)
    await service.post(f"/v1/calls/{call['call_id']}/end", {})
    await asyncio.sleep(0.2)
    assert await _pushes(service) == []
    assert (await service.session(call))["events"] == []


async def test_a_platform_that_refuses_harms_no_call(serve: Callable[..., Any]) -> None:
    async with serve(platform=ON) as service:
        faults = f"{service.sandbox.base_url}/_sandbox/faults"
        plan = {"platform": {"path": "/api/v2/agents/", "status": 500}}
        await service.http.put(faults, json=plan)
        call, _ = await service.starts("premium")
        await _leg(service, call)
        await _told(service, "screen_pop", "failed")
        _, ended = await service.post(f"/v1/calls/{call['call_id']}/end", {})
        assert ended["state"] == "premium"
        await _told(service, "log_back", "done")


async def test_what_is_being_told_when_the_process_ends_still_arrives(
    serve: Callable[..., Any],
) -> None:
    async with serve(platform=ON) as service:
        call, _ = await service.starts("premium")
        faults = f"{service.sandbox.base_url}/_sandbox/faults"
        plan = {"platform": {"path": "/api/v2/conversations/", "delay_ms": 300}}
        await service.http.put(faults, json=plan)
        await service.post(f"/v1/calls/{call['call_id']}/end", {})
        sandbox = service.sandbox
    (known,) = sandbox.state.calls
    assert [event["name"] for event in known.events] == ["broker-call-over"]

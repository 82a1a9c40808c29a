"""Over HTTP: a caller types his reference once, and his next call is found by its number."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.service.conftest import Service


async def _keys(service: Service) -> list[bytes]:
    store = service.broker.parts.store
    return [key async for key in store.client.scan_iter(f"{store.prefix}learned:*")]


async def _first_call(service: Service) -> dict[str, Any]:
    """A call of somebody whom no CRM knows by number, who types his reference and hangs up."""
    call, answer = await service.starts("unknown")
    assert (answer["lookup"], answer["route"]) == ("not_found", "reference")
    path = f"/v1/calls/{call['call_id']}"
    typed = {"reference": call["reference"]}
    _, answer = await service.post(f"{path}/reference?wait_ms=5000", typed)
    assert (answer["lookup"], answer["route"]) == ("found", "self_service")
    await service.post(f"{path}/end", {})
    return call


async def _calls_again(service: Service, before: dict[str, Any]) -> tuple[Any, Any]:
    """Call and answer of the next call from the same number."""
    order = {"from": before["from"]}
    async with service.http.post(f"{service.sandbox.base_url}/_sandbox/calls", json=order) as rang:
        call = await rang.json()
    body = {name: call[name] for name in ("call_id", "session_id", "from", "to")}
    return call, (await service.post("/v1/calls?wait_ms=5000", body))[1]


async def _learned(service: Service) -> None:
    async with asyncio.timeout(10):
        while not await _keys(service):
            await asyncio.sleep(0.01)


async def test_second_call_is_found_by_number(serve: Callable[..., Any]) -> None:
    async with serve(lookup={"learn_phone": True}) as service:
        first = await _first_call(service)
        await _learned(service)
        call, answer = await _calls_again(service, first)
        assert (answer["lookup"], answer["route"]) == ("found", "self_service")
        _, shown = await service.get(f"/v1/calls/{call['call_id']}")
        [step] = shown["steps"]
        assert (step["reason"], step["source"]) == ("learned", "shop")
        variables = (await service.session(call))["variables"]
        assert variables["ivr.lookup"] == "found"


async def test_it_is_off_unless_somebody_switches_it_on(service: Service) -> None:
    first = await _first_call(service)
    _, answer = await _calls_again(service, first)
    assert answer["lookup"] == "not_found"
    assert service.broker.parts.lookup.learner is None
    assert await _keys(service) == []


async def test_without_references_there_is_nothing_to_learn(serve: Callable[..., Any]) -> None:
    async with serve(lookup={"learn_phone": True}, reference={"enabled": False}) as service:
        assert service.broker.parts.lookup.learner is None


async def test_erased_customer_is_not_found_by_what_was_learned(serve: Callable[..., Any]) -> None:
    async with serve(lookup={"learn_phone": True}) as service:
        first = await _first_call(service)
        await _learned(service)
        await service.post("/v1/erasures", {"email": first["email"]})
        assert await _keys(service) == []
        _, answer = await _calls_again(service, first)
        assert answer["lookup"] == "not_found"

"""A tracking message through the webhook channel: one effect at the provider, whatever breaks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from broker.cli.check import check
from broker.domain.messages import TRACKING, MessageState
from broker.settings import from_mapping
from broker.testing.scripted_server import ScriptedServer, hang, reply
from tests.integration.service.conftest import served, tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.sandbox.server import Sandbox
    from tests.integration.service.conftest import Service

HOOKED = {"tracking": {"channel": "hook"}}


async def outbox(service: Service) -> list[dict[str, Any]]:
    url = f"{service.sandbox.base_url}/_sandbox/outbox"
    async with service.http.get(url) as answer:
        messages: list[dict[str, Any]] = (await answer.json())["messages"]
        return messages


async def faults(service: Service, **plan: Any) -> None:
    url = f"{service.sandbox.base_url}/_sandbox/faults"
    async with service.http.put(url, json=plan) as answer:
        assert answer.status == 200


async def until(service: Service, call: dict[str, Any], state: MessageState) -> dict[str, Any]:
    """The tracking message once it is in `state`."""
    async with asyncio.timeout(15):
        while True:
            _, shown = await service.get(f"/v1/calls/{call['call_id']}")
            for message in shown["messages"]:
                if message["state"] == state:
                    return dict(message)
            await asyncio.sleep(0.02)


async def test_a_customer_is_written_to_through_the_webhook(serve: Callable[..., Any]) -> None:
    async with serve(**HOOKED) as service:
        call, _ = await service.starts("standard")
        message = await until(service, call, MessageState.SENT)
        assert (message["channel"], message["purpose"]) == ("hook", TRACKING)
        [sent] = await outbox(service)
        assert (sent["kind"], sent["to"]) == ("webhook", call["email"])
        assert sent["key"] == f"{call['call_id']}|{TRACKING}"
        assert "/t/" in sent["values"]["link"]


async def test_a_lost_reply_is_asked_for_again_and_makes_one_message(
    serve: Callable[..., Any],
) -> None:
    async with serve(**HOOKED) as service:
        await faults(service, webhook={"answer": "cut", "times": 1})
        call, _ = await service.starts("standard")
        message = await until(service, call, MessageState.SENT)
        assert message["attempts"] == 2
        assert len(await outbox(service)) == 1


async def test_a_replica_killed_while_it_sends_leaves_one_message(
    sandbox: Sandbox, redis_url: str, prefix: str
) -> None:
    """The receiver has the message already; the heir asks again under the same key."""
    store = {"url": redis_url, "prefix": prefix, "lease_ms": 600}
    async with ScriptedServer(hang(), otherwise=reply({"id": "m-1"})) as receiver:
        hook = {**tables(sandbox)["channels"]["hook"], "url": receiver.url}
        changes: dict[str, Any] = {"store": store, "channels": {"hook": hook}, **HOOKED}
        async with served(sandbox, **changes) as dying:
            call, _ = await dying.starts("standard")
            async with asyncio.timeout(20):
                while not receiver.asked:
                    await asyncio.sleep(0.01)
            await kill(dying)
            async with served(sandbox, **changes) as heir:
                message = await until(heir, call, MessageState.SENT)
    assert message["attempts"] == 2
    keys = [asked.headers["Idempotency-Key"] for asked in receiver.asked]
    assert keys == [f"{call['call_id']}|{TRACKING}"] * 2


async def kill(service: Service) -> None:
    """Kill -9, as far as tasks can be killed: what it held stays leased."""
    worker = service.broker.worker
    running = [*worker._loops, *(task for _, task in worker._running())]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def test_check_names_the_host_of_the_webhook_and_sends_nothing(sandbox: Sandbox) -> None:
    findings = await check(from_mapping(tables(sandbox, **HOOKED), {}), live=False)
    [hook] = [finding for finding in findings if finding.part == "channel hook"]
    assert hook.works
    assert f"{sandbox.host}:{sandbox.port}" in hook.advice
    assert not sandbox.state.outbox


async def test_the_receiver_refuses_a_wrong_signature_and_a_missing_key(service: Service) -> None:
    url = f"{service.sandbox.base_url}/webhook/messages"
    async with service.http.post(url, json={"data": {}}) as answer:
        assert answer.status == 401
    assert await outbox(service) == []


@pytest.mark.parametrize("status", [503, 429])
async def test_a_busy_receiver_is_asked_again_when_it_wishes(
    serve: Callable[..., Any], status: int
) -> None:
    async with serve(**HOOKED) as service:
        await faults(service, webhook={"status": status, "retry_after_s": 1, "times": 1})
        call, _ = await service.starts("standard")
        message = await until(service, call, MessageState.SENT)
        assert message["attempts"] == 2
        assert len(await outbox(service)) == 1


async def test_two_webhooks_of_one_receiver_get_a_message_each(sandbox: Sandbox) -> None:
    """Nothing is heard of the first, so the second gets its turn; the receiver knows its keys."""
    hook = {**tables(sandbox)["channels"]["hook"], "driver": "webhook"}
    order = {"channels": ["hook", "other"], "fallback_after_s": 1}
    made: dict[str, Any] = {
        "channels": {"hook": hook, "other": hook},
        "deflection": order,
        "server": {"public_url": "https://ivr.example.com"},
    }
    async with served(sandbox, **made) as service:
        wish = {"to": "ada@example.com"}
        _, answer = await service.post("/v1/deflections?wait_ms=5000", wish)
        shown: dict[str, Any] = {}
        async with asyncio.timeout(10):
            while (shown.get("channel"), shown.get("state")) != ("other", "sent"):
                _, shown = await service.get(f"/v1/deflections/{answer['deflection_id']}")
                await asyncio.sleep(0.02)
        keys = [sent["key"] for sent in await outbox(service)]
    assert len(keys) == 2
    assert keys[1] == f"{keys[0]}|2"

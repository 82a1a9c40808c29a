"""What the sandbox's platform does with pushes and events, as strict as the API's description."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.integration.sandbox.conftest import Client

PUSH = {"agentId": "a1", "message": "Ada King", "data": {"customer_id": "C-1"}}


async def test_a_push_is_in_the_outbox_of_its_agent(client: Client) -> None:
    assert (await client.platform("POST", "/agents/push", PUSH))[0] == 200
    _, outbox = await client.control("GET", "/outbox", params={"to": "a1"})
    (message,) = outbox["messages"]
    assert (message["kind"], message["text"], message["data"]) == (
        "push",
        "Ada King",
        {"customer_id": "C-1"},
    )


@pytest.mark.parametrize(
    "change",
    [{"message": ""}, {"message": "x" * 251}, {"message": None}, {"agentId": ""}, {"data": []}],
)
async def test_a_push_that_is_not_as_described_is_refused(
    client: Client, change: dict[str, Any]
) -> None:
    assert (await client.platform("POST", "/agents/push", PUSH | change))[0] == 400
    assert (await client.control("GET", "/outbox"))[1]["messages"] == []


async def test_an_event_belongs_to_the_conversation_and_to_no_other_id(client: Client) -> None:
    call = await client.call(persona="premium")
    event = {"name": "noted", "data": {"outcome": "premium"}}
    for wrong in ("call_id", "session_id"):
        path = f"/conversations/{call[wrong]}/events"
        assert (await client.platform("POST", path, event))[0] == 404
    path = f"/conversations/{call['conversation_id']}/events"
    for name in ("first", "second"):
        assert (await client.platform("POST", path, event | {"name": name}))[0] == 200
    _, listed = await client.platform("GET", path)
    assert [item["name"] for item in listed["items"]] == ["second", "first"]
    _, shown = await client.control("GET", f"/calls/{call['call_id']}")
    assert [kept["data"] for kept in shown["events"]] == [{"outcome": "premium"}] * 2


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "n", "data": "text"}])
async def test_an_event_that_is_not_as_described_is_refused(
    client: Client, body: dict[str, Any]
) -> None:
    call = await client.call(persona="premium")
    path = f"/conversations/{call['conversation_id']}/events"
    assert (await client.platform("POST", path, body))[0] == 400

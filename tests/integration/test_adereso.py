"""What is sent to Adereso, and what its answers mean."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from broker.channels.adereso import AderesoChannel, AderesoOptions
from broker.domain.errors import PermanentError
from broker.http_client import open_session
from broker.ports import Envelope, VendorTemplate
from broker.testing.loopback import LOOPBACK
from broker.testing.scripted_server import Answer, ScriptedServer, raw, reply

OPTIONS: dict[str, Any] = {
    "api_token": "t0ken\n",
    "business_phone": "56976591992",
    "countries": ["CL"],
}
ENVELOPE = Envelope(
    "c1|deflection",
    "deflection",
    "+56976591991",
    "es",
    {},
    template=VendorTemplate("ivr_deflect"),
)


async def sent(
    answer: Answer | None = None, envelope: Envelope = ENVELOPE, **more: Any
) -> tuple[str | None, dict[str, Any]]:
    """The id, and the body that reached Adereso."""
    async with ScriptedServer(answer or reply({})) as adereso, open_session(LOOPBACK) as http:
        options = {**OPTIONS, "base_url": adereso.url, **more}
        channel = AderesoChannel(AderesoOptions.model_validate(options), http)
        identity = await channel.send(envelope, within=20.0)
    [asked] = adereso.asked
    assert asked.line == "POST /"
    assert asked.headers["Authorization"] == "Key t0ken"
    return identity, orjson.loads(asked.body)


async def test_the_request_is_the_one_that_adereso_documents() -> None:
    """Adereso, "IVR deflection a WhatsApp": numbers are digits without a plus."""
    data = {"user.tier": "gold", "ticket.topic": "invoice", "ticket.priority": "high"}
    _, body = await sent(envelope=replace(ENVELOPE, data=data), team_id=1234)
    assert body == {
        "business_phone": "56976591992",
        "recipient_phone": "56976591991",
        "metadata": {"user": {"tier": "gold"}, "ticket": {"topic": "invoice", "priority": "high"}},
        "team_id": 1234,
        "template_name": "ivr_deflect",
    }


async def test_what_nobody_set_is_left_out() -> None:
    _, body = await sent()
    assert body.keys() == {"business_phone", "recipient_phone", "template_name"}


async def test_only_what_belongs_to_user_or_ticket_leaves_the_house() -> None:
    data = {"context": "h", "user.": "x", "users.x": "x", "user.name": " \n", "ticket.a.b": "c\td"}
    _, body = await sent(envelope=replace(ENVELOPE, data=data))
    assert body["metadata"] == {"ticket": {"a.b": "c d"}}


@pytest.mark.parametrize("answer", [{"id": "m1"}, {"success": True, "deflection_id": "m1"}])
async def test_an_id_is_kept_if_there_is_one(answer: dict[str, Any]) -> None:
    identity, _ = await sent(reply(answer))
    assert identity == "m1"


@pytest.mark.parametrize("answer", [reply({}), raw(b"OK"), raw(b"")])
async def test_taken_without_an_id_is_taken(answer: Answer) -> None:
    identity, _ = await sent(answer)
    assert identity is None


@pytest.mark.parametrize(
    "answer",
    [reply({"success": False}), reply({}, status=422), reply({}, status=400), raw(b"", 401)],
)
async def test_a_refusal_is_final_and_names_nobody(answer: Answer) -> None:
    with pytest.raises(PermanentError) as caught:
        await sent(answer)
    assert "5697" not in str(caught.value)

"""Callers who are moved to WhatsApp, to the app on their phone, or to Adereso."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from broker.sandbox.credentials import (
    ADERESO_PHONE,
    ADERESO_TOKEN,
    WHATSAPP_APP_SECRET,
    WHATSAPP_NUMBER,
    WHATSAPP_TOKEN,
    WHATSAPP_VERIFY_TOKEN,
)
from broker.sandbox.fcm import service_account
from tests.integration.service.conftest import served

if TYPE_CHECKING:
    from broker.sandbox.server import Sandbox
    from tests.integration.service.conftest import Service

APPROVED: dict[str, dict[str, Any]] = {
    "whatsapp": {
        "name": "ivr_deflect",
        "languages": {"de": "de", "en": "en"},
        "parameters": ["link"],
    },
    "desk": {"name": "ivr_welcome"},
}


def channels(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    return {
        "whatsapp": {
            "driver": "whatsapp",
            "base_url": f"{sandbox.base_url}/whatsapp",
            "phone_number_id": WHATSAPP_NUMBER,
            "access_token": WHATSAPP_TOKEN,
            "app_secret": WHATSAPP_APP_SECRET,
            "verify_token": WHATSAPP_VERIFY_TOKEN,
            "countries": ["DE"],
        },
        "push": {
            "driver": "fcm",
            "base_url": f"{sandbox.base_url}/fcm",
            "service_account": orjson.dumps(service_account(sandbox.base_url)).decode(),
        },
        "desk": {
            "driver": "adereso",
            "base_url": f"{sandbox.base_url}/adereso",
            "api_token": ADERESO_TOKEN,
            "business_phone": ADERESO_PHONE,
            "countries": ["DE"],
        },
    }


def moving_to(sandbox: Sandbox, *order: str) -> dict[str, Any]:
    """A broker that offers these channels, in this order."""
    texts = {"de": "Hier geht es weiter: {link}", "en": "Go on here: {link}"}
    approved = {name: one for name, one in APPROVED.items() if name in order}
    template = {"texts": texts, "titles": {"de": "Ihr Anruf"}, "approved": approved}
    return {
        "channels": channels(sandbox),
        "tracking": {"email": {"when": "never"}},
        "deflection": {
            "channels": list(order),
            "keys": {"1": "deflect"},
            "templates": {"deflection": template},
        },
    }


async def moved(service: Service, persona: str, **wish: Any) -> dict[str, Any]:
    """A caller of this persona asks for a message; what became of it."""
    call, _ = await service.starts(persona)
    path = f"/v1/calls/{call['call_id']}/deflect?wait_ms=5000"
    status, answer = await service.post(path, wish)
    assert status in {200, 202}, answer
    _, told = await service.get(f"/v1/deflections/{answer['deflection_id']}")
    return {**told, "from": call["from"]}


async def test_a_caller_gets_the_approved_message_on_whatsapp(sandbox: Sandbox) -> None:
    async with served(sandbox, **moving_to(sandbox, "whatsapp", "sms")) as service:
        told = await moved(service, "mobile-standard")
        assert (told["channel"], told["state"]) == ("whatsapp", "sent")
        [message] = sandbox.state.outbox
    assert (message.kind, message.to) == ("whatsapp", told["from"])
    assert message.content["template"] == "ivr_deflect"
    assert message.content["parameters"][0].startswith("http://127.0.0.1:8080/d/")


async def test_who_has_the_app_gets_a_push_message_with_link_and_context(
    sandbox: Sandbox,
) -> None:
    async with served(sandbox, **moving_to(sandbox, "push", "sms")) as service:
        told = await moved(service, "mobile", context={"topic": "invoice"})
        assert (told["channel"], told["state"]) == ("push", "sent")
        [message] = sandbox.state.outbox
    assert (message.kind, message.to) == ("push", f"sandbox-push-mobile-0{told['from'][-2:]}")
    assert message.content["data"]["link"].startswith("http://127.0.0.1:8080/d/")
    assert message.content["data"]["topic"] == "invoice"
    assert message.to not in orjson.dumps(told).decode()


async def test_who_has_no_app_gets_a_text_message(sandbox: Sandbox) -> None:
    async with served(sandbox, **moving_to(sandbox, "push", "sms")) as service:
        assert (await moved(service, "mobile-standard"))["channel"] == "sms"
    assert [message.kind for message in sandbox.state.outbox] == ["sms"]


async def test_adereso_gets_what_belongs_to_the_customer_and_to_the_ticket(
    sandbox: Sandbox,
) -> None:
    context = {"user.tier": "gold", "ticket.topic": "invoice", "secret": "stays"}
    async with served(sandbox, **moving_to(sandbox, "desk")) as service:
        assert (await moved(service, "mobile", context=context))["state"] == "sent"
        [message] = sandbox.state.outbox
    assert message.kind == "adereso"
    assert message.content["metadata"] == {"user": {"tier": "gold"}, "ticket": {"topic": "invoice"}}


@pytest.mark.parametrize("first", ["whatsapp", "push", "desk"])
async def test_what_is_refused_for_good_goes_on_by_sms(sandbox: Sandbox, first: str) -> None:
    part = {"whatsapp": "whatsapp", "push": "fcm", "desk": "adereso"}[first]
    path = {"push": "/fcm/v1"}.get(first, "/")
    url = f"{sandbox.base_url}/_sandbox/faults"
    async with served(sandbox, **moving_to(sandbox, first, "sms")) as service:
        await service.http.put(url, json={part: {"path": path, "status": 400}})
        told = await moved(service, "mobile")
        assert (told["channel"], told["state"]) == ("sms", "sent")
    assert [message.kind for message in sandbox.state.outbox] == ["sms"]

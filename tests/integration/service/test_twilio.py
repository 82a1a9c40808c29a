"""From the key to the message through Twilio: WhatsApp content, its fallback, kinds of lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from broker.cli.check import check
from broker.sandbox.credentials import TWILIO_ACCOUNT, TWILIO_TOKEN
from broker.settings import from_mapping
from tests.integration.service.conftest import served, tables
from tests.integration.service.test_callbacks import becomes, breaks
from tests.integration.service.test_deflections import deflecting, outbox, refused_with, said
from tests.integration.service.test_sms import MOBILE, calls, twilio
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from broker.sandbox.server import Sandbox
    from tests.integration.service.conftest import Service

STRANGER = "+4915112345679"
GERMAN, ENGLISH = "HX" + "d1" * 16, "HX" + "e1" * 16
MOBILE_US, LANDLINE_US = "+12025550143", "+12025550147"


def configured(sandbox: Sandbox, tmp_path: Path, port: int, **content: Any) -> dict[str, Any]:
    """WhatsApp first, then SMS, both through the sandbox's Twilio, which can call the broker."""
    approved = {"name": "go_on", "languages": {"de": GERMAN, "en": ENGLISH}, "parameters": ["link"]}
    template = {"texts": {"en": "Go on: {link}"}, "approved": {"chat": {**approved, **content}}}
    order = {"channels": ["chat", "sms"]}
    made = deflecting(sandbox, tmp_path, templates={"deflection": template}, **order)
    chat = twilio(
        sandbox,
        driver="twilio_whatsapp",
        content_url=f"{sandbox.base_url}/twilio",
        sender="+4915735980001",
    )
    sms = twilio(sandbox, countries=["DE", "US"])
    lookup = {"base_url": f"{sandbox.base_url}/twilio", "account_sid": TWILIO_ACCOUNT}
    return made | {
        "channels": {"chat": chat, "sms": sms},
        "server": {"port": port, "public_url": f"http://127.0.0.1:{port}"},
        "number_lookup": {"driver": "twilio", "auth_token": TWILIO_TOKEN, **lookup},
    }


@pytest.fixture
async def service(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[Service]:
    async with served(sandbox, **configured(sandbox, tmp_path, free_port())) as service:
        yield service


async def deflects(service: Service, to: str) -> str:
    answer = await said(service, "/v1/deflections?wait_ms=5000", {"to": to})
    return str(answer["deflection_id"])


async def test_approved_content_in_his_language_is_delivered_and_read(service: Service) -> None:
    call_id = await calls(service, MOBILE)
    answer = await said(service, f"/v1/calls/{call_id}/deflect?wait_ms=5000", {})
    shown = await becomes(service, answer["deflection_id"], state="read")
    assert (shown["channel"], shown["attempts"]) == ("chat", 1)
    (message,) = await outbox(service, MOBILE)
    assert (message["kind"], message["template"]) == ("whatsapp", GERMAN)


@pytest.mark.parametrize("receipts", ["once", "twice", "reversed"])
async def test_without_whatsapp_it_arrives_by_sms_once(service: Service, receipts: str) -> None:
    await breaks(service, twilio={"undelivered": {"whatsapp:*": 63024}, "receipts": receipts})
    deflection = await deflects(service, STRANGER)
    shown = await becomes(service, deflection, channel="sms", state="delivered")
    assert shown["attempts"] == 2
    (message,) = await outbox(service, STRANGER)
    assert message["kind"] == "sms"


async def test_a_landline_that_looks_like_a_mobile_gets_no_text(service: Service) -> None:
    problem = await refused_with(service, "/v1/deflections", {"to": LANDLINE_US})
    assert problem["code"] == "no_recipient"
    assert await outbox(service, LANDLINE_US) == []
    await becomes(service, await deflects(service, MOBILE_US), channel="sms", state="delivered")


async def test_a_lookup_that_hangs_holds_nobody_up(service: Service) -> None:
    await breaks(service, twilio={"path": "/twilio/v2/", "delay_ms": 60_000})
    await becomes(service, await deflects(service, LANDLINE_US), channel="sms", state="delivered")


async def test_broker_check_tries_the_lookup_and_the_contents(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    wrong = configured(sandbox, tmp_path, 8080, languages={"de": "HX" + "0" * 32})
    wrong["number_lookup"]["auth_token"] = "wrong"
    for changed, works in ((configured(sandbox, tmp_path, 8080), True), (wrong, False)):
        findings = await check(from_mapping(tables(sandbox, **changed), {}), live=False)
        told = {finding.part: finding for finding in findings}
        assert told["number lookup"].works is works
        assert told["templates chat"].works is works
        assert told["channel chat"].works

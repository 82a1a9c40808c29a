"""The tracking link by SMS: through Twilio and through babelforce, both played by the sandbox."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from broker.cli.check import check
from broker.domain.people import hashed
from broker.sandbox.credentials import PLATFORM_TOKEN, TWILIO_ACCOUNT, TWILIO_TOKEN
from broker.settings import from_mapping
from broker.stores.people import RedisOptOuts
from tests.integration.service.conftest import served, tables

if TYPE_CHECKING:
    from pathlib import Path

    from broker.sandbox.server import Sandbox
    from tests.integration.service.conftest import Service

MOBILE = "+4915112345678"
CUSTOMERS = f"""\
id,phone,reference,email,premium,track_id,language
7,{MOBILE},7000001,seven@example.com,false,TRK-STANDARD-007,de
8,+49891234567,7000002,eight@example.com,false,TRK-STANDARD-008,de
"""


def twilio(sandbox: Sandbox, **changes: Any) -> dict[str, Any]:
    return {
        "driver": "twilio",
        "base_url": f"{sandbox.base_url}/twilio",
        "account_sid": TWILIO_ACCOUNT,
        "auth_token": TWILIO_TOKEN,
        "sender": "+4915735980000",
        "countries": ["DE"],
        **changes,
    }


def babelforce(sandbox: Sandbox) -> dict[str, Any]:
    auth = {"kind": "bearer", "token": PLATFORM_TOKEN}
    return {
        "driver": "babelforce_sms",
        "base_url": sandbox.base_url,
        "auth": auth,
        "countries": ["DE"],
    }


def changes(tmp_path: Path, channel: dict[str, Any]) -> dict[str, Any]:
    path = tmp_path / "customers.csv"
    path.write_text(CUSTOMERS)
    crm = {"adapter": "csv", "options": {"path": str(path), "region": "DE"}}
    return {"channels": {"sms": channel}, "tracking": {"channel": "sms"}, "crm": {"file": crm}}


async def calls(service: Service, number: str) -> str:
    """A call from this number, accepted and answered; its id."""
    url = f"{service.sandbox.base_url}/_sandbox/calls"
    async with service.http.post(url, json={"from": number}) as placed:
        call = await placed.json()
    body = {name: call[name] for name in ("call_id", "session_id", "from", "to")}
    _, answer = await service.post("/v1/calls?wait_ms=5000", body)
    assert answer["lookup"] == "found"
    return str(call["call_id"])


async def ended(service: Service, call_id: str) -> dict[str, Any]:
    """The call after its end, with its outcome."""
    await service.post(f"/v1/calls/{call_id}/end", {})
    async with asyncio.timeout(15):
        while True:
            _, shown = await service.get(f"/v1/calls/{call_id}")
            if shown["outcome"]:
                return shown
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("channel", [twilio, babelforce])
async def test_a_caller_gets_the_link_on_his_mobile(
    sandbox: Sandbox, tmp_path: Path, channel: Any
) -> None:
    async with served(sandbox, **changes(tmp_path, channel(sandbox))) as service:
        call_id = await calls(service, MOBILE)
        shown = await ended(service, call_id)
        assert shown["outcome"] == "messaged"
        [message] = sandbox.state.outbox
        assert (message.kind, message.to) == ("sms", MOBILE)
        assert message.content["text"].startswith("Danke")
        link = next(word for word in message.content["text"].split() if "/t/" in word)
        async with service.http.get(
            f"{service.url}/t/{link.rpartition('/')[2]}", allow_redirects=False
        ) as page:
            assert page.headers["Location"].endswith("TRK-STANDARD-007")


async def test_who_has_texted_stop_is_left_alone_until_we_hear_otherwise(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """The provider tells us of the STOP when it refuses; of the START it tells us nothing."""
    async with served(sandbox, **changes(tmp_path, twilio(sandbox))) as service:
        url = f"{sandbox.base_url}/_sandbox/replies"
        async with service.http.post(url, json={"from": MOBILE, "text": "Stop"}) as taken:
            assert taken.status == 200
        shown = await ended(service, await calls(service, MOBILE))
        assert (shown["outcome"], shown["reason"]) == ("suppressed", "opted_out")
        assert not sandbox.state.outbox
        async with service.http.post(url, json={"from": MOBILE, "text": "START"}) as taken:
            assert taken.status == 200
        shown = await ended(service, await calls(service, MOBILE))
        assert (shown["outcome"], shown["reason"]) == ("suppressed", "opted_out")
        opt_outs = RedisOptOuts(service.broker.parts.store)
        await opt_outs.start([hashed(MOBILE), hashed("seven@example.com")])
        assert (await ended(service, await calls(service, MOBILE)))["outcome"] == "messaged"


async def test_number_that_has_had_its_messages_of_the_day_gets_no_more(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    caps = {"per_number_per_day": 1, "spend_per_day": 0.1, "prices": {"sms": 0.08}}
    more = {"deflection": {"caps": caps}}
    async with served(sandbox, **changes(tmp_path, twilio(sandbox)), **more) as service:
        assert (await ended(service, await calls(service, MOBILE)))["outcome"] == "messaged"
        shown = await ended(service, await calls(service, MOBILE))
        assert (shown["outcome"], shown["reason"]) == ("suppressed", "cap_number")
        assert len(sandbox.state.outbox) == 1
        async with service.http.get(f"{service.url}/metrics") as page:
            metrics = await page.text()
        assert "broker_spend_used 0.8" in metrics
        refused = 'broker_forbidden_sends_total{channel="sms",reason="cap_number"} 1.0'
        assert refused in metrics


async def test_who_calls_from_a_fixed_line_gets_an_email(sandbox: Sandbox, tmp_path: Path) -> None:
    async with served(sandbox, **changes(tmp_path, twilio(sandbox))) as service:
        shown = await ended(service, await calls(service, "+49891234567"))
        assert [message["channel"] for message in shown["messages"]] == ["email"]
        assert [message.to for message in sandbox.state.outbox] == ["eight@example.com"]


async def test_wrong_credentials_are_told_by_broker_check(sandbox: Sandbox, tmp_path: Path) -> None:
    wrong = changes(tmp_path, twilio(sandbox, auth_token="wrong"))
    findings = await check(from_mapping(tables(sandbox, **wrong), {}), live=False)
    told = {finding.part: finding for finding in findings}
    assert not told["channel sms"].works
    assert "401" in told["channel sms"].advice

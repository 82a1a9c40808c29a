"""Receipts over real HTTP: the sandbox's Twilio and WhatsApp call the broker back, signed."""

from __future__ import annotations

import asyncio
import hmac
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import orjson
import pytest

from broker.domain.twilio_signature import twilio_signature
from broker.sandbox.credentials import (
    TWILIO_TOKEN,
    WHATSAPP_ACCOUNT,
    WHATSAPP_APP_SECRET,
    WHATSAPP_NUMBER,
    WHATSAPP_TOKEN,
    WHATSAPP_VERIFY_TOKEN,
)
from broker.web.callbacks import MAX_BYTES
from tests.integration.service.conftest import served
from tests.integration.service.test_deflections import deflecting, outbox, said, told
from tests.integration.service.test_sms import MOBILE, calls, changes, ended, twilio
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from broker.sandbox.server import Sandbox
    from tests.integration.service.conftest import Service

STRANGER = "+4915112345679"
FORM = "application/x-www-form-urlencoded"
APPROVED = {"name": "ivr_deflect", "languages": {"de": "de", "en": "en"}, "parameters": ["link"]}
TEMPLATE = {
    "texts": {"de": "Hier geht es weiter: {link}"},
    "approved": {"whatsapp": APPROVED},
}


def whatsapp(sandbox: Sandbox) -> dict[str, Any]:
    return {
        "driver": "whatsapp",
        "base_url": f"{sandbox.base_url}/whatsapp",
        "phone_number_id": WHATSAPP_NUMBER,
        "waba_id": WHATSAPP_ACCOUNT,
        "access_token": WHATSAPP_TOKEN,
        "app_secret": WHATSAPP_APP_SECRET,
        "verify_token": WHATSAPP_VERIFY_TOKEN,
        "countries": ["DE"],
    }


def calling_back(sandbox: Sandbox, tmp_path: Path, port: int, **more: Any) -> dict[str, Any]:
    """A broker that the sandbox can call: WhatsApp first, then SMS."""
    wanted = {"channels": ["whatsapp", "sms"], "templates": {"deflection": TEMPLATE}}
    wanted |= {"open_conversation": "suppress", **more}
    made = deflecting(sandbox, tmp_path, **wanted)
    made["channels"] = {**made["channels"], "whatsapp": whatsapp(sandbox)}
    made["server"] = {"port": port, "public_url": f"http://127.0.0.1:{port}"}
    return made


async def set_up(service: Service) -> None:
    """The sandbox's providers know where to tell."""
    callbacks = {
        name: f"{service.url}/v1/channels/{channel}/callback"
        for name, channel in (("whatsapp", "whatsapp"), ("twilio", "sms"))
    }
    url = f"{service.sandbox.base_url}/_sandbox/callbacks"
    async with service.http.put(url, json=callbacks) as taken:
        assert taken.status == 200, await taken.text()


@pytest.fixture
async def service(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[Service]:
    async with served(sandbox, **calling_back(sandbox, tmp_path, free_port())) as service:
        await set_up(service)
        yield service


async def breaks(service: Service, **faults: Any) -> None:
    async with service.http.put(
        f"{service.sandbox.base_url}/_sandbox/faults", json=faults
    ) as taken:
        assert taken.status == 200, await taken.text()


async def becomes(service: Service, deflection_id: str, **wanted: Any) -> dict[str, Any]:
    """The deflection once it shows all of `wanted`."""
    shown: dict[str, Any] = {}
    async with asyncio.timeout(10):
        while not shown or any(shown[name] != value for name, value in wanted.items()):
            shown = await told(service, f"/v1/deflections/{deflection_id}")
            await asyncio.sleep(0.02)
    return shown


async def deflects(service: Service, to: str = STRANGER, **more: Any) -> str:
    wish = {"to": to, **more}
    answer = await said(service, "/v1/deflections?wait_ms=5000", wish)
    return str(answer["deflection_id"])


async def test_what_whatsapp_delivers_and_shows_is_known(service: Service) -> None:
    deflection = await deflects(service)
    shown = await becomes(service, deflection, state="read")
    assert (shown["channel"], shown["attempts"]) == ("whatsapp", 1)


async def test_without_whatsapp_it_arrives_by_sms_once(service: Service) -> None:
    await breaks(service, whatsapp={"undeliverable": [STRANGER]})
    deflection = await deflects(service)
    shown = await becomes(service, deflection, channel="sms", state="delivered")
    assert shown["attempts"] == 2
    (message,) = await outbox(service, STRANGER)
    assert message["kind"] == "sms"


async def test_an_sms_that_is_lost_on_its_way_has_failed(service: Service) -> None:
    await breaks(service, twilio={"undelivered": {"*": 30003}})
    deflection = await deflects(service, channel="sms")
    shown = await becomes(service, deflection, channel="whatsapp", state="read")
    assert shown["attempts"] == 2, "the next channel got its turn"
    await breaks(service, twilio={"undelivered": {"*": 30003}}, whatsapp={"undeliverable": ["*"]})
    other = await deflects(service, MOBILE)
    failed = await becomes(service, other, state="failed")
    assert (failed["channel"], failed["reason"], failed["channels_left"]) == ("sms", "30003", [])


def _twilio(service: Service, path: str, token: str, **told: str) -> tuple[str, dict[str, Any]]:
    url = service.url + path
    headers = {
        "Content-Type": FORM,
        "X-Twilio-Signature": twilio_signature(token, url, told.items()),
    }
    return path, {"data": urlencode(told), "headers": headers}


async def taken(service: Service, path: str, request: dict[str, Any]) -> int:
    async with service.http.post(service.url + path, **request) as answer:
        await answer.read()
        return answer.status


async def test_forged_callbacks_are_refused_and_change_nothing(service: Service) -> None:
    deflection = await deflects(service, channel="sms")
    before = await becomes(service, deflection, state="delivered")
    path = f"/v1/channels/sms/callback?m={deflection}.1"
    sid = "SM" + "0" * 32
    path, forged = _twilio(service, path, "guessed", MessageSid=sid, MessageStatus="read")
    status, problem = await service.post(path, **forged)
    assert (status, problem["code"]) == (403, "signature")
    body = orjson.dumps({"object": "whatsapp_business_account", "entry": []})
    signature = hmac.new(b"guessed", body, "sha256").hexdigest()
    headers = {"X-Hub-Signature-256": f"sha256={signature}"}
    path = "/v1/channels/whatsapp/callback"
    status, problem = await service.post(path, data=body, headers=headers)
    assert (status, problem["code"]) == (403, "signature")
    assert await told(service, f"/v1/deflections/{deflection}") == before


async def test_a_replayed_callback_has_no_new_effect(service: Service) -> None:
    deflection = await deflects(service, channel="sms")
    await becomes(service, deflection, state="delivered")
    sid = "SM" + "0" * 32
    path, captured = _twilio(
        service,
        f"/v1/channels/sms/callback?m={deflection}.1",
        TWILIO_TOKEN,
        MessageSid=sid,
        MessageStatus="read",
    )
    assert await taken(service, path, captured) == 200
    before = await becomes(service, deflection, state="read")
    for _ in range(20):
        assert await taken(service, path, captured) == 200
    elsewhere = path.replace(".1", ".2")
    assert await taken(service, elsewhere, captured) == 403, "the address is signed, too"
    assert await told(service, f"/v1/deflections/{deflection}") == before
    assert len(await outbox(service, STRANGER)) == 1


async def test_the_address_is_the_public_one_whatever_a_proxy_made_of_it(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    changed = calling_back(sandbox, tmp_path, 0)
    changed["server"] = {"public_url": "https://ivr.example.com/broker"}
    path = "/v1/channels/sms/callback?m=m" + "0" * 31 + ".1"
    told = {"MessageSid": "SM" + "0" * 32, "MessageStatus": "delivered"}
    signed = twilio_signature(TWILIO_TOKEN, changed["server"]["public_url"] + path, told.items())
    headers = {"Content-Type": FORM, "X-Twilio-Signature": signed}
    async with served(sandbox, **changed) as service:
        assert await taken(service, path, {"data": urlencode(told), "headers": headers}) == 200
        async with service.http.get(f"{service.url}/metrics") as metrics:
            counted = await metrics.text()
    line = 'broker_receipts_total{channel="sms",outcome="unknown",state="delivered"} 1.0'
    assert line in counted


async def test_whatsapps_challenge_comes_back_to_who_knows_the_token(service: Service) -> None:
    url = f"{service.url}/v1/channels/whatsapp/callback"
    question = {"hub.mode": "subscribe", "hub.challenge": "1158201444"}
    known = {**question, "hub.verify_token": WHATSAPP_VERIFY_TOKEN}
    async with service.http.get(url, params=known) as answer:
        assert (answer.status, await answer.text()) == (200, "1158201444")
        assert answer.content_type == "text/plain"
    async with service.http.get(url, params={**question, "hub.verify_token": "x"}) as answer:
        assert answer.status == 403


@pytest.mark.parametrize("name", ["nobody", "email"])
async def test_other_channels_have_no_such_address(service: Service, name: str) -> None:
    status, problem = await service.post(f"/v1/channels/{name}/callback", {})
    assert (status, problem["code"]) == (404, "not_found")


def bundle(*statuses: dict[str, Any]) -> dict[str, Any]:
    """These receipts as Meta sends them together, signed."""
    metadata = {"display_phone_number": "15550783881", "phone_number_id": WHATSAPP_NUMBER}
    value = {"messaging_product": "whatsapp", "metadata": metadata, "statuses": statuses}
    entry = {"id": WHATSAPP_ACCOUNT, "changes": [{"value": value, "field": "messages"}]}
    body = orjson.dumps({"object": "whatsapp_business_account", "entry": [entry]})
    return signed_by_meta(body)


def signed_by_meta(body: bytes) -> dict[str, Any]:
    signature = hmac.new(WHATSAPP_APP_SECRET.encode(), body, "sha256").hexdigest()
    return {"data": BytesIO(body), "headers": {"X-Hub-Signature-256": f"sha256={signature}"}}


def status_of(number: int, state: str, reference: str) -> dict[str, Any]:
    """A receipt with everything that Meta tells."""
    return {
        "id": f"wamid.HBgNNDkxNTExMjM0NTY3OBUCABEYEjY0ODBFRURB{number:012X}",
        "status": state,
        "timestamp": "1750263773",
        "recipient_id": STRANGER.removeprefix("+"),
        "conversation": {
            "id": "7d6f1cd7fd4a2fc4a1ab2d1dc6a9ab32",
            "expiration_timestamp": "1750350180",
            "origin": {"type": "utility"},
        },
        "pricing": {
            "billable": True,
            "pricing_model": "PMP",
            "category": "utility",
            "type": "regular",
        },
        "biz_opaque_callback_data": reference,
    }


async def test_a_bundle_of_a_thousand_receipts_is_taken_whole(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """Other services of the account send, too: ours are somewhere among theirs."""
    async with served(sandbox, **calling_back(sandbox, tmp_path, free_port())) as service:
        ours = await deflects(service)
        await becomes(service, ours, state="sent")
        told_together = [status_of(n, "delivered", f"order-{n}." + "x" * 700) for n in range(1000)]
        for place, state in ((999, "sent"), (500, "read"), (1, "delivered")):
            told_together.insert(place, status_of(2000 + place, state, f"{ours}.1"))
        request = bundle(*told_together)
        assert request["data"].getbuffer().nbytes > 1_000_000
        assert await taken(service, "/v1/channels/whatsapp/callback", request) == 200
        assert (await told(service, f"/v1/deflections/{ours}"))["state"] == "read"
        line = '{channel="whatsapp",outcome="unknown",state="delivered"} 1000.0'
        await counts(service, f"broker_receipts_total{line}")


async def unfinished(size: int) -> AsyncIterator[bytes]:
    """A body whose length nobody tells."""
    for _ in range(size // 65_536):
        yield b" " * 65_536


async def test_what_is_larger_than_metas_largest_bundle_is_refused(service: Service) -> None:
    path = "/v1/channels/whatsapp/callback"
    for size in (MAX_BYTES + 1, MAX_BYTES):
        status, problem = await service.post(path, **signed_by_meta(b" " * size))
        wanted = (413, "too_large") if size > MAX_BYTES else (400, "invalid_body")
        assert (status, problem["code"]) == wanted
    status, problem = await service.post(path, data=unfinished(2 * MAX_BYTES))
    assert (status, problem["code"]) == (413, "too_large")
    status, problem = await service.post(path, data=unfinished(MAX_BYTES // 2))
    assert (status, problem["code"]) == (403, "signature")


async def test_a_form_that_is_longer_than_twilios_is_not_taken_apart(service: Service) -> None:
    headers = {"Content-Type": FORM, "X-Twilio-Signature": "guessed"}
    status, problem = await service.post(
        "/v1/channels/sms/callback", data=b"a=b&" * 20_000, headers=headers
    )
    assert (status, problem["code"]) == (413, "too_large")


async def test_whoever_sends_large_bodies_holds_up_large_bodies_only(service: Service) -> None:
    path = "/v1/channels/whatsapp/callback"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {MAX_BYTES}\r\n\r\n".encode()
    slow = []
    for _ in range(16):
        _, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rpartition(":")[2]))
        writer.write(head + b" " * 100_000)
        await writer.drain()
        slow.append(writer)
    try:
        assert await taken(service, path, {"data": b"small"}) == 403
        large = asyncio.create_task(taken(service, path, {"data": b" " * 100_000}))
        done, _ = await asyncio.wait([large], timeout=0.3)
        assert not done
        assert await taken(service, path, {"data": b"small"}) == 403
        assert await taken(service, path, {"data": BytesIO(b" " * (MAX_BYTES + 1))}) == 413
        slow[0].close()
        assert await asyncio.wait_for(large, 2) == 403
    finally:
        for writer in slow:
            writer.close()


@pytest.mark.parametrize("receipts", ["twice", "reversed"])
async def test_receipts_come_twice_or_the_last_one_first(service: Service, receipts: str) -> None:
    await breaks(service, twilio={"receipts": receipts})
    deflection = await deflects(service, channel="sms")
    shown = await becomes(service, deflection, state="delivered")
    await asyncio.sleep(0.2)
    assert await told(service, f"/v1/deflections/{deflection}") == shown


async def writes(service: Service, sender: str, text: str, **more: Any) -> None:
    """Somebody writes to the sandbox's numbers."""
    answer = {"from": sender, "text": text, **more}
    url = f"{service.sandbox.base_url}/_sandbox/replies"
    async with service.http.post(url, json=answer) as taken:
        assert taken.status == 200, await taken.text()


async def test_an_answer_is_the_messages_reply_and_opens_the_window(service: Service) -> None:
    deflection = await deflects(service)
    assert (await becomes(service, deflection, state="read"))["window_until"] is None
    await writes(service, STRANGER, "Thank you", channel="whatsapp")
    shown = await becomes(service, deflection, state="replied")
    assert shown["window_until"] is not None
    again = await deflects(service, context={"order": "12"})
    held = await becomes(service, again, state="suppressed")
    assert held["reason"] == "conversation_open"


async def test_an_answer_without_a_number_is_found_by_what_it_quotes(service: Service) -> None:
    deflection = await deflects(service)
    await becomes(service, deflection, state="read")
    await writes(service, STRANGER, "Yes", channel="whatsapp", quoting=True, hidden=True)
    await becomes(service, deflection, state="replied")


async def test_free_words_go_out_while_the_window_is_open(sandbox: Sandbox, tmp_path: Path) -> None:
    changed = calling_back(sandbox, tmp_path, free_port(), open_conversation="send")
    async with served(sandbox, **changed) as service:
        await set_up(service)
        await becomes(service, await deflects(service), state="read")
        await writes(service, STRANGER, "Hello", channel="whatsapp")
        await counts(service, 'broker_inbound_total{channel="whatsapp",outcome="replied"} 1.0')
        await becomes(service, await deflects(service, context={"order": "12"}), state="read")
        templates = [message.get("template") for message in await outbox(service, STRANGER)]
        assert templates == ["ivr_deflect", None]


async def test_stop_by_sms_holds_for_whatsapp_too(service: Service) -> None:
    await becomes(service, await deflects(service, channel="sms"), state="delivered")
    await writes(service, STRANGER, "STOP")
    await counts(service, 'broker_inbound_total{channel="sms",outcome="stop"} 1.0')
    deflection = await deflects(service, channel="whatsapp", context={"order": "12"})
    held = await becomes(service, deflection, state="suppressed")
    assert (held["reason"], held["attempts"]) == ("opted_out", 0)


async def test_an_opt_out_told_by_receipt_ends_the_message_and_holds_for_whatsapp(
    service: Service,
) -> None:
    await breaks(service, twilio={"undelivered": {"*": 21610}})
    shown = await becomes(service, await deflects(service, channel="sms"), state="suppressed")
    assert (shown["channel"], shown["reason"], shown["attempts"]) == ("sms", "opted_out", 1)
    again = await deflects(service, channel="whatsapp", context={"order": "12"})
    held = await becomes(service, again, state="suppressed")
    assert (held["reason"], held["attempts"]) == ("opted_out", 0)
    assert await outbox(service, STRANGER) == []


async def test_an_opt_out_that_whatsapp_tells_by_receipt_holds_for_sms(service: Service) -> None:
    deflection = await deflects(service)
    await becomes(service, deflection, state="read")
    failed = status_of(1, "failed", f"{deflection}.1") | {"errors": [{"code": 131050}]}
    assert await taken(service, "/v1/channels/whatsapp/callback", bundle(failed)) == 200
    again = await deflects(service, channel="sms", context={"order": "12"})
    held = await becomes(service, again, state="suppressed")
    assert (held["reason"], held["attempts"]) == ("opted_out", 0)


async def test_an_answer_to_a_message_of_yesterday_is_nobodys(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    changed = calling_back(sandbox, tmp_path, free_port(), look_back_h=1)
    async with served(sandbox, **changed) as service:
        await set_up(service)
        deflection = await deflects(service)
        before = await becomes(service, deflection, state="read")
        clock = service.broker.parts.clock
        later = clock.time() + 3601
        clock.fixed_ms = round(later * 1000)
        while clock.time() < later - 1:
            await asyncio.sleep(0.02)
        await writes(service, STRANGER, "Thank you", channel="whatsapp")
        await counts(service, 'broker_inbound_total{channel="whatsapp",outcome="nobody"} 1.0')
        assert await told(service, f"/v1/deflections/{deflection}") == before


async def counts(service: Service, line: str) -> None:
    """The metrics come to say this."""
    async with asyncio.timeout(10):
        while True:
            async with service.http.get(f"{service.url}/metrics") as metrics:
                if line in await metrics.text():
                    return
            await asyncio.sleep(0.02)


async def test_a_message_of_which_nothing_is_heard_goes_on(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    order = {"channels": ["sms", "whatsapp"], "fallback_after_s": 1}
    async with served(sandbox, **calling_back(sandbox, tmp_path, free_port(), **order)) as service:
        await set_up(service)
        await breaks(service, twilio={"receipts": "none"})
        deflection = await deflects(service)
        shown = await becomes(service, deflection, channel="whatsapp", state="read")
        assert shown["attempts"] == 2
        await counts(service, 'broker_fallbacks_total{channel="sms",reason="silent"} 1.0')


async def test_a_tracking_link_by_sms_is_known_to_have_arrived(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    port = free_port()
    changed = changes(tmp_path, twilio(sandbox))
    changed["server"] = {"port": port, "public_url": f"http://127.0.0.1:{port}"}
    async with served(sandbox, **changed) as service:
        call_id = await calls(service, MOBILE)
        assert (await ended(service, call_id))["outcome"] == "messaged"
        async with asyncio.timeout(10):
            while True:
                shown = await told(service, f"/v1/calls/{call_id}")
                if shown["messages"][0]["state"] == "delivered":
                    break
                await asyncio.sleep(0.02)
        assert shown["outcome"] == "messaged"

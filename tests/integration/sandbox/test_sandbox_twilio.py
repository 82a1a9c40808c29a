"""The sandbox's Twilio tells what became of messages, and the channels understand it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from broker.channels.twilio import (
    TwilioChannel,
    TwilioLookupOptions,
    TwilioNumberLookup,
    TwilioOptions,
    TwilioWhatsAppChannel,
    TwilioWhatsAppOptions,
)
from broker.domain.call import Line, Phone
from broker.domain.errors import ConfigError, OptedOutError, PermanentError, SignatureError
from broker.http_client import open_session
from broker.ports import Callback, CallbackRead, Envelope, VendorTemplate
from broker.sandbox.credentials import TWILIO_ACCOUNT, TWILIO_KEY, TWILIO_TOKEN
from broker.sandbox.twilio_contents import CONTENTS
from broker.testing.loopback import LOOPBACK
from broker.testing.vendor import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

    from broker.ports import Channel
    from tests.integration.sandbox.conftest import Client

TO, SENDER = "+4917604069001", "+4915735980000"
GERMAN, ANSWER = "HX" + "d1" * 16, "HX" + "d0" * 16
FILLED = CONTENTS[GERMAN].filled({"1": "https://b.example/d/x"})


@dataclass(slots=True)
class Receiver:
    """Where the callbacks go: what the channel read there, and how often it was not Twilio's."""

    channels: dict[str, Channel]
    url: str = ""
    read: list[CallbackRead] = field(default_factory=list)
    refused: int = 0

    async def take(self, request: web.Request) -> web.Response:
        callback = Callback(
            request.method,
            str(request.url),
            tuple(request.query.items()),
            {name.lower(): value for name, value in request.headers.items()},
            await request.read(),
        )
        try:
            read = self.channels["sms"].read_callback(callback)
        except SignatureError:
            self.refused += 1
            return web.Response(status=403)
        self.read.append(read)
        return web.Response(text=read.answer, content_type=read.content_type)

    async def send(self, channel: str = "sms", **more: Any) -> str | None:
        """A message that wants receipts here."""
        envelope = Envelope("c1|deflection", "deflection", TO, "de", {}, **more)
        wanted = replace(envelope, receipt_url=f"{self.url}?m=r.1")
        return await self.channels[channel].send(wanted, within=20.0)

    async def told(self, receipts: int) -> list[tuple[str, str | None, str | None]]:
        """So many receipts, once they are here: state, our reference, reason."""
        await wait_until(lambda: sum(len(read.receipts) for read in self.read) >= receipts)
        found = [receipt for read in self.read for receipt in read.receipts]
        assert self.refused == 0
        return [(receipt.state.value, receipt.reference, receipt.reason) for receipt in found]


def options(client: Client, **more: Any) -> dict[str, Any]:
    return {
        "base_url": f"{client.sandbox.base_url}/twilio",
        "account_sid": TWILIO_ACCOUNT,
        "auth_token": TWILIO_TOKEN,
        "sender": SENDER,
        "countries": ["DE"],
        **more,
    }


def channels(client: Client, http: aiohttp.ClientSession) -> dict[str, Channel]:
    content = {"content_url": f"{client.sandbox.base_url}/twilio"}
    sms = TwilioOptions.model_validate(options(client))
    whatsapp = TwilioWhatsAppOptions.model_validate(options(client, **content))
    return {"sms": TwilioChannel(sms, http), "whatsapp": TwilioWhatsAppChannel(whatsapp, http)}


@pytest.fixture
async def receiver(client: Client) -> AsyncIterator[Receiver]:
    async with open_session(LOOPBACK) as http:
        receiver = Receiver(channels(client, http))
        app = web.Application()
        app.router.add_route("*", "/callback", receiver.take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/callback"
        yield receiver
        await runner.cleanup()


async def test_a_text_is_sent_and_delivered(client: Client, receiver: Receiver) -> None:
    sid = await receiver.send(text="Hello")
    assert await receiver.told(2) == [("sent", "r.1", None), ("delivered", "r.1", None)]
    assert {one.provider_id for read in receiver.read for one in read.receipts} == {sid}
    _, outbox = await client.control("GET", f"/outbox?to={TO.removeprefix('+')}")
    assert [(m["kind"], m["id"], m["text"]) for m in outbox["messages"]] == [("sms", sid, "Hello")]


async def test_a_picture_makes_it_an_mms(client: Client, receiver: Receiver) -> None:
    sid = await receiver.send(text="Hello", media_url="https://m.example/a.png")
    assert sid is not None
    assert sid.startswith("MM")
    [message] = client.sandbox.state.outbox
    assert message.content["media_url"] == "https://m.example/a.png"
    assert len(await receiver.told(2)) == 2


async def test_approved_content_reaches_anybody_by_whatsapp_and_is_read(
    client: Client, receiver: Receiver
) -> None:
    template = VendorTemplate(GERMAN, None, ("https://b.example/d/x",))
    await receiver.send("whatsapp", template=template)
    states = [state for state, _, _ in await receiver.told(3)]
    assert states == ["sent", "delivered", "read"]
    [message] = client.sandbox.state.outbox
    assert (message.kind, message.to, message.content["text"]) == ("whatsapp", TO, FILLED)


async def test_words_reach_only_who_has_written_first(client: Client, receiver: Receiver) -> None:
    await receiver.send("whatsapp", text="Hello")
    assert ("failed", "r.1", "63016") in await receiver.told(2)
    assert not client.sandbox.state.outbox
    await client.control("POST", "/replies", hello(channel="twilio_whatsapp"))
    await receiver.send("whatsapp", text="Hello")
    assert ("read", "r.1", None) in await receiver.told(5)
    assert len(client.sandbox.state.outbox) == 1


def hello(**more: Any) -> dict[str, Any]:
    return {"from": TO, "text": "Hello", **more}


@pytest.mark.parametrize("recipient", [f"whatsapp:{TO}", "whatsapp:*"])
async def test_who_has_no_whatsapp_is_known_by_the_receipt_only(
    client: Client, receiver: Receiver, recipient: str
) -> None:
    await client.faults(twilio={"undelivered": {recipient: 63024}})
    assert await receiver.send("whatsapp", template=VendorTemplate(ANSWER))
    assert (await receiver.told(2))[-1] == ("failed", "r.1", "63024")
    assert not client.sandbox.state.outbox
    await receiver.send(text="Hello")
    assert (await receiver.told(4))[-1] == ("delivered", "r.1", None)


async def test_a_recipient_can_be_refused_at_once(client: Client, receiver: Receiver) -> None:
    await client.faults(twilio={"refuse": {TO: 21614}})
    with pytest.raises(PermanentError, match="error 21614"):
        await receiver.send(text="Hello")
    assert await receiver.send("whatsapp", template=VendorTemplate(ANSWER))


@pytest.mark.parametrize(
    ("mode", "states"),
    [
        ("twice", ["sent", "sent", "delivered", "delivered"]),
        ("reversed", ["delivered", "sent"]),
    ],
)
async def test_receipts_may_come_twice_or_in_disorder(
    client: Client, receiver: Receiver, mode: str, states: list[str]
) -> None:
    await client.faults(twilio={"receipts": mode})
    await receiver.send(text="Hello")
    assert [state for state, _, _ in await receiver.told(len(states))] == states


@pytest.mark.parametrize(
    ("template", "code"),
    [
        (VendorTemplate("HX" + "0" * 32), 21655),
        (VendorTemplate(GERMAN, None, ("x" * 1700,)), 21617),
    ],
)
async def test_content_that_does_not_fit_is_refused(
    receiver: Receiver, template: VendorTemplate, code: int
) -> None:
    with pytest.raises(PermanentError, match=f"error {code}"):
        await receiver.send("whatsapp", template=template)


async def test_what_people_text_arrives_where_receipts_went(
    client: Client, receiver: Receiver
) -> None:
    await receiver.send(text="Hello")
    await receiver.told(2)
    await client.control("POST", "/replies", hello(text="STOP"))
    await wait_until(lambda: any(read.inbound for read in receiver.read))
    [inbound] = receiver.read[-1].inbound
    assert (inbound.sender, inbound.text, inbound.in_reply_to) == (TO, "STOP", None)
    with pytest.raises(OptedOutError):
        await receiver.send(text="Hello")


async def test_what_people_write_arrives_where_the_account_wants_it(
    client: Client, receiver: Receiver
) -> None:
    status, _ = await client.control("PUT", "/callbacks", {"twilio": receiver.url})
    assert status == 200
    await client.control("POST", "/replies", hello(channel="twilio_whatsapp", quoting=True))
    await wait_until(lambda: len(receiver.read) == 1)
    sid = await receiver.send("whatsapp", template=VendorTemplate(ANSWER))
    await client.control("POST", "/replies", hello(channel="twilio_whatsapp", quoting=True))
    await wait_until(lambda: sum(len(read.inbound) for read in receiver.read) == 2)
    told = [one.in_reply_to for read in receiver.read for one in read.inbound]
    assert told == [None, sid]


async def test_the_number_lookup_knows_every_kind_of_line(client: Client) -> None:
    account = {"account_sid": TWILIO_ACCOUNT, "auth_token": TWILIO_TOKEN}
    base = {"base_url": f"{client.sandbox.base_url}/twilio", **account}
    async with open_session(LOOPBACK) as http:
        lookup = TwilioNumberLookup(TwilioLookupOptions.model_validate(base), http)
        assert "credentials are taken" in await lookup.ping()
        numbers = {
            "+4915112345678": Line.MOBILE,
            "+493023125001": Line.FIXED,
            "+18005550199": Line.TOLL_FREE,
            "+12025550143": Line.MOBILE,
            "+12025550147": Line.FIXED,
            "+12025550148": Line.VOIP,
            "+12025550149": None,
        }
        told = {n: await lookup.line_of(Phone.from_e164(n), within=20.0) for n in numbers}
        assert told == numbers
        wrong = TwilioLookupOptions.model_validate(base | {"auth_token": "wrong"})
        with pytest.raises(ConfigError):
            await TwilioNumberLookup(wrong, http).ping()


async def test_contents_are_checked_before_the_first_message(
    client: Client, receiver: Receiver
) -> None:
    good = [VendorTemplate(GERMAN, None, ("x",)), VendorTemplate(ANSWER)]
    assert list(await receiver.channels["whatsapp"].check(good)) == []
    wrong = [
        VendorTemplate("HX" + "0" * 32),
        VendorTemplate("order_update"),
        VendorTemplate(GERMAN),
        VendorTemplate(ANSWER, None, ("x",)),
    ]
    told = " ".join(await receiver.channels["whatsapp"].check(wrong))
    assert told.count("twilio_whatsapp: the content") == 4
    assert all(word in told for word in ("is unknown", "no content SID", "1, not 0", "0, not 1"))
    content_url = f"{client.sandbox.base_url}/twilio"
    for more, error in (({"auth_token": "wrong"}, ConfigError), ({}, None)):
        key = {"api_key": TWILIO_KEY, "callbacks": False, "content_url": content_url, **more}
        async with open_session(LOOPBACK) as http:
            by_key = TwilioWhatsAppOptions.model_validate(options(client, **key))
            channel = TwilioWhatsAppChannel(by_key, http)
            if error is not None:
                with pytest.raises(error):
                    await channel.check(good)
            else:
                assert list(await channel.check(good)) == []

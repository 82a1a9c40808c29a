"""The sandbox's WhatsApp tells what became of messages, and the channel understands it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from broker.domain.errors import SignatureError
from broker.domain.messages import TRACKING
from broker.http_client import open_session
from broker.ports import Callback, CallbackRead, Envelope, VendorTemplate
from broker.testing.loopback import LOOPBACK
from broker.testing.vendor import wait_until
from tests.contract.test_whatsapp_channel import whatsapp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from broker.channels.whatsapp import WhatsAppChannel
    from tests.integration.sandbox.conftest import Client

TO = "+491713920001"
TEMPLATE = VendorTemplate("ivr_welcome", "de")
ENVELOPE = Envelope("c1|deflection", TRACKING, TO, "de", {}, template=TEMPLATE)


@dataclass(slots=True)
class Receiver:
    """Where the callbacks go: all that the channel read there, and how often it was not Meta's."""

    channel: WhatsAppChannel
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
            read = self.channel.read_callback(callback)
        except SignatureError:
            self.refused += 1
            return web.Response(status=403)
        self.read.append(read)
        return web.Response(text=read.answer, content_type=read.content_type)

    @property
    def told(self) -> list[tuple[str, str | None, str | None]]:
        """The receipts: state, our reference, reason."""
        receipts = [receipt for read in self.read for receipt in read.receipts]
        return [(receipt.state.value, receipt.reference, receipt.reason) for receipt in receipts]


@pytest.fixture
async def receiver(client: Client) -> AsyncIterator[Receiver]:
    async with open_session(LOOPBACK) as http:
        receiver = Receiver(whatsapp(f"{client.sandbox.base_url}/whatsapp", http))
        app = web.Application()
        app.router.add_route("*", "/callback", receiver.take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/callback"
        yield receiver
        await runner.cleanup()


async def subscribed(client: Client, receiver: Receiver) -> None:
    status, _ = await client.control("PUT", "/callbacks", {"whatsapp": receiver.url})
    assert status == 200
    receiver.read.clear()


async def sent(receiver: Receiver, envelope: Envelope = ENVELOPE) -> str | None:
    whole = replace(envelope, receipt_reference="r.1")
    return await receiver.channel.send(whole, within=20.0)


async def test_an_address_is_taken_once_it_has_repeated_the_challenge(
    client: Client, receiver: Receiver
) -> None:
    status, addresses = await client.control("PUT", "/callbacks", {"whatsapp": receiver.url})
    assert (status, addresses) == (200, {"whatsapp": receiver.url})
    nowhere = receiver.url + "/nowhere"
    status, problem = await client.control("PUT", "/callbacks", {"whatsapp": nowhere})
    assert (status, problem["code"]) == (409, "unverified")


async def test_a_message_is_sent_delivered_and_read(client: Client, receiver: Receiver) -> None:
    await subscribed(client, receiver)
    wamid = await sent(receiver)
    await wait_until(lambda: len(receiver.told) == 3)
    assert receiver.told == [(state, "r.1", None) for state in ("sent", "delivered", "read")]
    assert {read.receipts[0].provider_id for read in receiver.read} == {wamid}
    _, outbox = await client.control("GET", f"/outbox?to={TO.removeprefix('+')}")
    assert [(m["kind"], m["id"]) for m in outbox["messages"]] == [("whatsapp", wamid)]
    assert receiver.refused == 0


@pytest.mark.parametrize("numbers", [[TO], ["*"]])
async def test_who_has_no_whatsapp_is_known_by_the_receipt_only(
    client: Client, receiver: Receiver, numbers: list[str]
) -> None:
    await subscribed(client, receiver)
    await client.faults(whatsapp={"undeliverable": numbers})
    assert await sent(receiver)
    await wait_until(lambda: len(receiver.told) == 1)
    assert receiver.told == [("failed", "r.1", "131026")]
    assert not client.sandbox.state.outbox


async def test_words_reach_only_who_has_written_first(client: Client, receiver: Receiver) -> None:
    words = replace(ENVELOPE, template=None, text="Hello")
    await subscribed(client, receiver)
    await sent(receiver, words)
    await wait_until(lambda: len(receiver.told) == 1)
    assert receiver.told == [("failed", "r.1", "131047")]
    await client.control("POST", "/replies", {"from": TO, "text": "Hi", "channel": "whatsapp"})
    await sent(receiver, words)
    await wait_until(lambda: len(receiver.told) == 4)


async def test_an_answer_names_the_message_that_it_quotes(
    client: Client, receiver: Receiver
) -> None:
    await subscribed(client, receiver)
    wamid = await sent(receiver)
    await wait_until(lambda: len(receiver.told) == 3)
    answer = {"from": TO, "text": "Hi", "channel": "whatsapp"}
    for so_far, more in enumerate(({}, {"quoting": True}, {"quoting": True, "hidden": True}), 4):
        await client.control("POST", "/replies", {**answer, **more})
        await wait_until(lambda n=so_far: len(receiver.read) == n)  # type: ignore[misc]
    inbound = [one for read in receiver.read for one in read.inbound]
    assert [one.sender for one in inbound[:2]] == [TO, TO]
    assert inbound[2].sender.startswith("DE.")
    assert [one.in_reply_to for one in inbound] == [None, wamid, wamid]


async def test_a_receiver_that_is_away_costs_nothing(client: Client, receiver: Receiver) -> None:
    await subscribed(client, receiver)
    client.sandbox.state.callbacks.addresses["whatsapp"] = "http://127.0.0.1:1/callback"
    assert await sent(receiver)
    assert client.sandbox.state.outbox

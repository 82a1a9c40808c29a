"""The mail server: what it takes, what it shows of it, and how it fails."""

from __future__ import annotations

from email.message import EmailMessage
from typing import TYPE_CHECKING

import aiosmtplib
import pytest
from aiohttp import ClientSession

from broker.sandbox.server import running_sandbox

if TYPE_CHECKING:
    from broker.sandbox.server import Sandbox
    from tests.integration.sandbox.conftest import Client


def letter(to: str = "standard-042@example.com") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Shöp <shop@example.com>"
    message["To"] = to
    message["Subject"] = "Ihre Bestellung ist unterwegs, schön!"
    message["Message-ID"] = "<call-1@example.com>"
    message["X-Other"] = "not shown"
    message.set_content("Grüße")
    message.add_alternative("<p>Grüße</p>", subtype="html")
    return message


async def post(sandbox: Sandbox, message: EmailMessage, within: float = 2) -> None:
    await aiosmtplib.send(message, hostname="127.0.0.1", port=sandbox.smtp_port, timeout=within)


async def test_a_mail_is_in_the_outbox_as_a_person_would_read_it(client: Client) -> None:
    await post(client.sandbox, letter())
    _, box = await client.control("GET", "/outbox")
    (mail,) = box["messages"]
    assert (mail["kind"], mail["to"]) == ("email", "standard-042@example.com")
    assert mail["from"] == "Shöp <shop@example.com>"
    assert mail["subject"] == "Ihre Bestellung ist unterwegs, schön!"
    assert (mail["text"].strip(), mail["html"].strip()) == ("Grüße", "<p>Grüße</p>")
    assert mail["headers"] == {"Message-ID": "<call-1@example.com>"}
    assert mail["acknowledged"] is True


async def test_a_mail_of_plain_text_has_no_html(client: Client) -> None:
    message = EmailMessage()
    message["From"], message["To"] = "shop@example.com", "a@example.com"
    message.set_content("Hello")
    await post(client.sandbox, message)
    (mail,) = client.sandbox.state.outbox
    assert (mail.content["text"], mail.content["html"]) == ("Hello\n", None)


async def test_the_outbox_shows_one_recipients_mail_whatever_the_case(client: Client) -> None:
    await post(client.sandbox, letter("a@example.com, B@example.com"))
    _, box = await client.control("GET", "/outbox", params={"to": "b@Example.com"})
    assert [mail["to"] for mail in box["messages"]] == ["B@example.com"]


async def test_greylisting_ends_after_the_given_number_of_tries(client: Client) -> None:
    await client.faults(smtp={"mode": "greylist", "times": 2})
    for _ in range(2):
        with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
            await post(client.sandbox, letter())
        assert refused.value.recipients[0].code == 451
    await post(client.sandbox, letter())
    assert len(client.sandbox.state.outbox) == 1


async def test_a_rejected_recipient_gets_nothing(client: Client) -> None:
    await client.faults(smtp={"mode": "reject"})
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
        await post(client.sandbox, letter())
    assert refused.value.recipients[0].code == 550
    assert not client.sandbox.state.outbox


async def test_a_dropped_connection_leaves_a_mail_that_was_never_acknowledged(
    client: Client,
) -> None:
    await client.faults(smtp={"mode": "drop", "times": 1})
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await post(client.sandbox, letter())
    await post(client.sandbox, letter())
    acknowledged = [mail.content["acknowledged"] for mail in client.sandbox.state.outbox]
    assert acknowledged == [False, True]


async def test_a_hanging_server_takes_nothing(client: Client) -> None:
    await client.faults(smtp={"mode": "hang"})
    with pytest.raises(aiosmtplib.SMTPTimeoutError):
        await post(client.sandbox, letter(), within=0.05)
    assert not client.sandbox.state.outbox


async def test_the_sandbox_stops_at_once_although_a_mail_hangs() -> None:
    async with running_sandbox() as sandbox, ClientSession() as http:
        plan = {"smtp": {"mode": "hang"}}
        await http.put(f"{sandbox.base_url}/_sandbox/faults", json=plan)
        smtp = aiosmtplib.SMTP(hostname="127.0.0.1", port=sandbox.smtp_port, timeout=20)
        await smtp.connect()
        await smtp.mail("shop@example.com")
        with pytest.raises(aiosmtplib.SMTPTimeoutError):
            await smtp.rcpt("a@example.com", timeout=0.05)

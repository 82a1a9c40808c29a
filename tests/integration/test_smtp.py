"""The mail channel against a mail server that secures, refuses, breaks off and falls silent."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from broker.channels.email import EmailChannel, SmtpOptions
from broker.channels.templates import Templates
from broker.domain.errors import (
    AnswerLostError,
    BrokerError,
    ConfigError,
    PermanentError,
    TemporaryError,
)
from broker.domain.messages import TRACKING
from broker.ports import Envelope
from broker.testing.smtp_server import Silence, SmtpServer
from tests.timely import sometimes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from broker.testing.smtp_server import Stage

TO = "ada@example.com"
LINK = "https://shop.example.com/track/1A2B3C"
AMPLE_S = 5.0
TIGHT_S = 0.2
GRACE_S = 5.0
"""Who keeps to no deadline waits for ever."""
QUIT_S = 0.4
"""Less than a farewell would be waited for without a deadline."""
TEMPLATES = Templates()


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that only who was given it trusts."""

    file: Path
    key: Path

    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key)
        return context

    def trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.file))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the openssl command is not installed")
    folder = tmp_path_factory.mktemp("tls")
    made = Certificate(folder / "cert.pem", folder / "key.pem")
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(made.key), "-out", str(made.file)),
        ],
        check=True,
        capture_output=True,
    )
    return made


def channel(server: SmtpServer, tls: ssl.SSLContext | None = None, **options: Any) -> EmailChannel:
    given: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": server.port,
        "security": "none",
        "sender": "Zoë's Shop <orders@shop.example.com>",
    }
    return EmailChannel(SmtpOptions(**given | options), TEMPLATES, tls)


def envelope(**values: str) -> Envelope:
    return Envelope("c1|tracking", TRACKING, TO, "en", {"link": LINK, "name": "Ada"} | values)


@asynccontextmanager
async def misbehaving(stage: Stage, fault: str | Silence) -> AsyncIterator[SmtpServer]:
    server = SmtpServer(faults={stage: fault})
    async with server.running():
        yield server


async def test_the_mail_has_one_recipient_both_bodies_and_the_headers_of_a_machine() -> None:
    server = SmtpServer()
    async with server.running():
        provider_id = await channel(server).send(envelope(name="Zoë"), within=AMPLE_S)
    (taken,) = server.inbox
    assert (taken.sender, taken.recipients) == ("orders@shop.example.com", (TO,))
    mail = taken.mail
    assert mail.get_all("To") == [TO]
    assert mail["From"] == "Zoë's Shop <orders@shop.example.com>"
    assert mail["Subject"] == "Track your order"
    assert mail["Message-ID"] == f"<{provider_id}>"
    assert provider_id.endswith("@shop.example.com")
    assert "c1" not in provider_id
    assert abs(mail["Date"].datetime.timestamp() - time.time()) < 60
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Auto-Response-Suppress"] == "All"
    assert mail.get_content_type() == "multipart/alternative"
    bodies = [(p.get_content_type(), p.get_content_charset()) for p in mail.iter_parts()]
    assert bodies == [("text/plain", "utf-8"), ("text/html", "utf-8")]
    assert taken.raw.isascii(), "a server without 8BITMIME has to take it too"


async def test_every_attempt_of_a_message_has_the_same_message_id_and_no_other_has_it() -> None:
    server = SmtpServer()
    async with server.running():
        first = await channel(server).send(envelope(), within=AMPLE_S)
        again = await channel(server).send(envelope(), within=AMPLE_S)
        other = Envelope("c2|tracking", TRACKING, TO, "en", {"link": LINK})
        second = await channel(server).send(other, within=AMPLE_S)
    assert first == again != second


async def test_lines_that_begin_with_a_dot_arrive_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "tracking.en.txt").write_text("Subject: x\n\n.\n..two\n.{{ link }}\n")
    server = SmtpServer()
    async with server.running():
        options = SmtpOptions(
            host="127.0.0.1", port=server.port, security="none", sender="orders@shop.example.com"
        )
        await EmailChannel(options, Templates(tmp_path)).send(envelope(), within=AMPLE_S)
    body = server.inbox[0].mail.get_body(("plain",))
    assert body is not None
    assert body.get_content().splitlines() == [".", "..two", f".{LINK}"]


@pytest.mark.parametrize("name", ["Ada\x00Lovelace", "Ada\r\nBcc: eve@example.net", "\u2028"])
async def test_a_poisoned_name_sends_a_clean_mail(name: str) -> None:
    server = SmtpServer()
    async with server.running():
        await channel(server).send(envelope(name=name), within=AMPLE_S)
    (taken,) = server.inbox
    assert taken.recipients == (TO,)
    assert taken.mail.get_all("Bcc") is None
    assert b"\x00" not in taken.raw


@pytest.mark.parametrize(
    "to",
    ["", "ada", "a@b.example, c@d.example", "a\x00b@example.com", "zoë@example.com", "a@b\r\nc.de"],
)
async def test_what_is_not_one_plain_address_is_never_connected_for(to: str) -> None:
    server = SmtpServer()
    async with server.running():
        wrong = Envelope("c1|tracking", TRACKING, to, "en", {"link": LINK})
        with pytest.raises(PermanentError):
            await channel(server).send(wrong, within=AMPLE_S)
    assert server.commands == []


# Security


async def test_starttls_encrypts_and_logs_in(certificate: Certificate) -> None:
    server = SmtpServer(tls=certificate.server(), login=("shop", "s3cret"))
    async with server.running():
        sender = channel(
            server, certificate.trusted(), security="starttls", username="shop", password="s3cret"
        )
        assert await sender.ping() == (
            f"mail server 127.0.0.1:{server.port} answers with STARTTLS, logged in"
        )
        await sender.send(envelope(), within=AMPLE_S)
    (taken,) = server.inbox
    assert taken.encrypted
    assert taken.logged_in


async def test_tls_encrypts_from_the_first_byte(certificate: Certificate) -> None:
    server = SmtpServer()
    async with server.running(implicit_tls=certificate.server()):
        await channel(server, certificate.trusted(), security="tls").send(
            envelope(), within=AMPLE_S
        )
    assert server.inbox[0].encrypted


async def test_a_server_without_starttls_gets_nothing() -> None:
    server = SmtpServer()
    async with server.running():
        sender = channel(server, security="starttls", username="shop", password="s3cret")
        with pytest.raises(TemporaryError, match="STARTTLS"):
            await sender.send(envelope(), within=AMPLE_S)
        with pytest.raises(ConfigError, match="STARTTLS"):
            await sender.ping()
    assert set(server.commands) == {"EHLO"}


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_that_nobody_vouches_for_gets_nothing(
    certificate: Certificate, security: str
) -> None:
    server = SmtpServer(tls=certificate.server())
    implicit = certificate.server() if security == "tls" else None
    async with server.running(implicit_tls=implicit):
        sender = channel(server, security=security)
        with pytest.raises(TemporaryError, match="certificate"):
            await sender.send(envelope(), within=AMPLE_S)
        with pytest.raises(ConfigError, match="certificate"):
            await sender.ping()
    assert server.inbox == []


async def test_a_refused_login_waits_for_the_operator(certificate: Certificate) -> None:
    server = SmtpServer(tls=certificate.server(), login=("shop", "s3cret"))
    async with server.running():
        sender = channel(
            server, certificate.trusted(), security="starttls", username="shop", password="wrong"
        )
        with pytest.raises(TemporaryError, match=r"logging in .* 535"):
            await sender.send(envelope(), within=AMPLE_S)
        with pytest.raises(ConfigError, match=r"logging in .* 535") as caught:
            await sender.ping()
    assert "wrong" not in str(caught.value)
    assert server.inbox == []


async def test_a_login_that_the_server_does_not_offer_is_said() -> None:
    server = SmtpServer()
    async with server.running():
        with pytest.raises(ConfigError, match="no login"):
            await channel(server, username="shop", password="s3cret").ping()


# Refusals


@pytest.mark.parametrize(
    ("stage", "answer", "error", "told"),
    [
        ("EHLO", "421 4.3.2 going down", TemporaryError, "connecting .* 421 4.3.2$"),
        ("EHLO", "554 5.7.1 you are listed", TemporaryError, "connecting .* 554 5.7.1$"),
        ("MAIL", "451 4.3.0 disk full", TemporaryError, "the sender .* 451 4.3.0$"),
        ("MAIL", "553 5.7.1 <orders@shop.example.com> not yours", PermanentError, "553 5.7.1$"),
        ("RCPT", "451 4.7.1 greylisted", TemporaryError, "the recipient .* 451 4.7.1$"),
        ("RCPT", "421 too many", TemporaryError, "the recipient .* 421$"),
        ("RCPT", f"550 5.1.1 <{TO}>: no such user", PermanentError, "recipient .* 550 5.1.1$"),
        ("RCPT", f"550 {TO} unknown", PermanentError, "550$"),
        ("RCPT", "what?", TemporaryError, "the recipient"),
        ("DATA", "451 later", TemporaryError, "451$"),
        ("DATA", "554 5.6.0 no", PermanentError, "554 5.6.0$"),
        (".", "451 4.3.0 queue full", TemporaryError, "451 4.3.0$"),
        (".", "552 5.3.4 too big", PermanentError, "552 5.3.4$"),
        (".", "554 5.7.1 spam", PermanentError, "554 5.7.1$"),
        (".", "354 once more", AnswerLostError, "no answer"),
        (".", "nonsense", AnswerLostError, "without an answer"),
    ],
)
async def test_an_answer_says_whether_to_try_again(
    stage: Stage, answer: str, error: type[BrokerError], told: str
) -> None:
    async with misbehaving(stage, answer) as server:
        with pytest.raises(BrokerError, match=told) as caught:
            await channel(server).send(envelope(), within=AMPLE_S)
    assert type(caught.value) is error
    assert TO not in str(caught.value)


@pytest.mark.parametrize("greeting", [b"554 no mail here\r\n", b"421 busy\r\n", b"", b"\xff\r\n"])
async def test_a_server_that_does_not_welcome_us_may_do_so_later(greeting: bytes) -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        unwelcome = SmtpServer(port=server.sockets[0].getsockname()[1])
        with pytest.raises(TemporaryError, match="connecting"):
            await channel(unwelcome).send(envelope(), within=AMPLE_S)


async def test_a_server_that_is_not_there_may_come_back() -> None:
    server = SmtpServer()
    async with server.running():
        pass
    with pytest.raises(TemporaryError, match="connecting"):
        await channel(server).send(envelope(), within=AMPLE_S)
    with pytest.raises(TemporaryError, match="connecting"):
        await channel(server).ping()


# Breaking off and falling silent


@pytest.mark.parametrize("how", [Silence.CLOSE, Silence.RESET])
@pytest.mark.parametrize("stage", ["EHLO", "MAIL", "RCPT", "DATA"])
async def test_a_connection_lost_before_the_dot_is_safe_to_repeat(
    stage: Stage, how: Silence
) -> None:
    async with misbehaving(stage, how) as server:
        with pytest.raises(TemporaryError):
            await channel(server).send(envelope(), within=AMPLE_S)
    assert server.inbox == []


@pytest.mark.parametrize("how", [Silence.CLOSE, Silence.RESET])
async def test_a_connection_lost_after_the_dot_leaves_it_open(how: Silence) -> None:
    async with misbehaving(".", how) as server:
        with pytest.raises(AnswerLostError):
            await channel(server).send(envelope(), within=AMPLE_S)
    assert len(server.inbox) == 1


@pytest.mark.parametrize("stage", ["EHLO", "MAIL", "RCPT", "DATA"])
async def test_silence_before_the_dot_is_safe_to_repeat(stage: Stage) -> None:
    async with misbehaving(stage, Silence.HANG) as server:
        began = time.monotonic()
        with pytest.raises(TemporaryError, match="in time"):
            await channel(server).send(envelope(), within=TIGHT_S)
        assert time.monotonic() - began < TIGHT_S + GRACE_S
    assert server.inbox == []


async def test_silence_after_the_dot_leaves_it_open() -> None:
    async with misbehaving(".", Silence.HANG) as server:
        began = time.monotonic()
        with pytest.raises(AnswerLostError, match="in time"):
            await channel(server).send(envelope(), within=TIGHT_S)
        assert time.monotonic() - began < TIGHT_S + GRACE_S


async def test_slow_answers_do_not_add_up_beyond_the_deadline() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 slow\r\n")
        try:
            while await reader.readline():
                await asyncio.sleep(TIGHT_S * 0.6)
                writer.write(b"250 ok\r\n")
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(slow, "127.0.0.1", 0)
    async with server:
        tired = SmtpServer(port=server.sockets[0].getsockname()[1])
        began = time.monotonic()
        with pytest.raises(TemporaryError, match="in time"):
            await channel(tired).send(envelope(), within=TIGHT_S)
        assert time.monotonic() - began < TIGHT_S + GRACE_S


@pytest.mark.parametrize("fault", [*Silence, "421 bye", "nonsense"])
async def test_a_mail_that_was_taken_is_sent_however_the_server_takes_leave(
    fault: str | Silence,
) -> None:
    assert await sometimes(lambda: _sent_in_time(fault))


async def _sent_in_time(farewell: str | Silence) -> bool:
    async with misbehaving("QUIT", farewell) as server:
        began = time.monotonic()
        try:
            assert await channel(server).send(envelope(), within=TIGHT_S)
        except (TemporaryError, AnswerLostError):
            return False
        took = time.monotonic() - began
    assert len(server.inbox) == 1
    return took < TIGHT_S + QUIT_S


@asynccontextmanager
async def unplugged(server: SmtpServer, stage: Stage) -> AsyncIterator[SmtpServer]:
    """A way to `server` on which nothing comes back any more once it has heard `stage`.

    What is yielded has the way's port, and hears `BYE` when the client closes its end.
    """
    way = SmtpServer()

    async def back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if stage not in server.commands:
                writer.write(data)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", server.port)
        backwards = asyncio.create_task(back(far_reader, writer))
        try:
            while data := await reader.read(65536):
                far_writer.write(data)
        except ConnectionError:
            pass
        finally:
            way.commands.append("BYE")
            backwards.cancel()
            far_writer.transport.abort()
            writer.transport.abort()

    relay = await asyncio.start_server(carry, "127.0.0.1", 0)
    way.port = relay.sockets[0].getsockname()[1]
    async with relay:
        yield way


@pytest.mark.parametrize("stage", ["MAIL", ".", "QUIT"])
async def test_a_server_that_died_behind_tls_costs_no_open_connection(
    certificate: Certificate, stage: Stage
) -> None:
    assert await sometimes(lambda: _left(certificate, stage))


async def _left(certificate: Certificate, stage: Stage) -> bool:
    """Whether a mail comes as far as `stage`; then, that its connection is closed."""
    server = SmtpServer(tls=certificate.server())
    async with server.running(), unplugged(server, stage) as way:
        sender = channel(way, certificate.trusted(), security="starttls")
        with suppress(TemporaryError, AnswerLostError):
            await sender.send(envelope(), within=TIGHT_S * 2)
        async with asyncio.timeout(AMPLE_S):
            while not way.commands:
                await asyncio.sleep(0.005)
        assert way.commands == ["BYE"]
        return stage in server.commands

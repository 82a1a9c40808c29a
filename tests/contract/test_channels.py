"""Every channel, and the fake that stands for them in use-case tests, keeps the kit's promises."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl, urlencode

import orjson
import pytest

from broker.channels.babelforce_sms import BabelforceSmsChannel, BabelforceSmsOptions
from broker.channels.email import EmailChannel, SmtpOptions
from broker.channels.templates import Templates
from broker.channels.twilio import (
    TwilioChannel,
    TwilioOptions,
    TwilioWhatsAppChannel,
    TwilioWhatsAppOptions,
)
from broker.channels.webhook import WebhookChannel, WebhookOptions
from broker.domain.errors import (
    AnswerLostError,
    ConfigError,
    OptedOutError,
    PermanentError,
    TemporaryError,
)
from broker.domain.twilio_signature import HEADER, twilio_signature
from broker.http_client import open_session
from broker.ports import Callback, Clock, VendorTemplate
from broker.sandbox.credentials import (
    PLATFORM_TOKEN,
    TWILIO_ACCOUNT,
    TWILIO_KEY,
    TWILIO_TOKEN,
    WEBHOOK_SECRET,
)
from broker.sandbox.faults import FaultPlan
from broker.sandbox.server import running_sandbox
from broker.testing.channel_callbacks import ADDRESS
from broker.testing.channel_kit import WORDS, ChannelKit, KeyedChannelKit
from broker.testing.fake_channel import FakeChannel
from broker.testing.loopback import LOOPBACK
from broker.testing.scripted_server import ScriptedServer, reply
from broker.testing.smtp_server import Silence, SmtpServer
from tests.specs import spec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import aiohttp

    from broker.ports import Channel, Envelope

FOREVER_S = 3600.0


class TestEmail(ChannelKit):
    @pytest.fixture
    async def channel(self) -> AsyncIterator[Channel]:
        self.server = SmtpServer()
        self._running = AsyncExitStack()
        await self._running.enter_async_context(self.server.running())
        options = SmtpOptions(
            host="127.0.0.1",
            port=self.server.port,
            security="none",
            sender="Shop <orders@shop.example.com>",
        )
        async with self._running:
            yield EmailChannel(options, Templates())

    async def taken(self) -> Sequence[str]:
        return [to for one in self.server.inbox for to in one.recipients]

    async def said(self) -> Sequence[str]:
        bodies = [taken.mail.get_body(("plain",)) for taken in self.server.inbox]
        return [str(body.get_content()) for body in bodies if body is not None]

    @pytest.mark.parametrize(
        ("title", "language", "subject"),
        [
            ("Ihre Rechnung", "de", "Ihre Rechnung"),
            ("a\r\nBcc: eve@example.net\ud800", "de", "a Bcc: eve@example.net"),
            (None, "de-AT", WORDS),
            ("\x00", None, WORDS),
        ],
    )
    async def test_words_have_a_subject_of_one_line(
        self, channel: Channel, title: str | None, language: str | None, subject: str
    ) -> None:
        await channel.send(replace(self.words(), title=title, language=language), within=20.0)
        [taken] = self.server.inbox
        assert (taken.mail["Subject"], taken.mail["Bcc"]) == (subject, None)
        html = taken.mail.get_body(("html",))
        assert html is not None
        assert "<b>100" not in html.get_content()

    async def refuse_for_now(self) -> None:
        self.server.faults["RCPT"] = "451 4.7.1 <canary@example.com>: greylisted, Canary Smith"

    async def refuse_for_good(self) -> None:
        self.server.faults["RCPT"] = "550 5.1.1 <canary@example.com>: no such user"

    async def lose_answers(self) -> None:
        self.server.faults["."] = Silence.RESET

    async def hang(self) -> None:
        self.server.faults["EHLO"] = Silence.HANG

    async def vanish(self) -> None:
        await self._running.aclose()

    async def recover(self) -> None:
        self.server.faults.clear()


class SandboxKit(ChannelKit):
    """For channels whose provider the sandbox plays."""

    part: ClassVar[str]
    path: ClassVar[str] = "/"
    refused: ClassVar[tuple[int, int]] = (429, 400)
    """Statuses for now and for good."""

    @pytest.fixture
    async def channel(self) -> AsyncIterator[Channel]:
        self._running = AsyncExitStack()
        self.sandbox = await self._running.enter_async_context(running_sandbox())
        async with self._running, open_session(LOOPBACK) as http:
            channel = self.made(self.sandbox.base_url, http)
            yield channel
            await channel.aclose()

    @abstractmethod
    def made(self, url: str, http: aiohttp.ClientSession) -> Channel: ...

    async def taken(self) -> Sequence[str]:
        return [message.to for message in self.sandbox.state.outbox]

    async def said(self) -> Sequence[str]:
        return [str(message.content.get("text")) for message in self.sandbox.state.outbox]

    async def refuse_for_now(self) -> None:
        self._fault(status=self.refused[0])

    async def refuse_for_good(self) -> None:
        self._fault(status=self.refused[1])

    async def lose_answers(self) -> None:
        self._fault(answer="cut")

    async def hang(self) -> None:
        self._fault(delay_ms=60_000)

    async def vanish(self) -> None:
        await self._running.aclose()

    async def recover(self) -> None:
        self._fault()

    def _fault(self, **fault: Any) -> None:
        plan = {self.part: {"path": self.path, **fault}}
        self.sandbox.state.faults.set(FaultPlan.model_validate(plan))


class TestWebhook(SandboxKit, KeyedChannelKit):
    part = "webhook"
    refused = (503, 422)

    def made(self, url: str, http: aiohttp.ClientSession) -> Channel:
        options = {"url": f"{url}/webhook/messages", "secret": WEBHOOK_SECRET}
        return WebhookChannel(WebhookOptions.model_validate(options), http)

    async def test_the_receiver_gets_whatever_the_message_carries(self, channel: Channel) -> None:
        template = VendorTemplate("order_update", "de", ("Ada",))
        whole = replace(self.words(), template=template, media_url="https://m.example/a.png")
        await channel.send(whole, within=20.0)
        [message] = self.sandbox.state.outbox
        assert {**message.content, "key": None} == {
            "key": None,
            "purpose": "deflection",
            "language": "de-AT",
            "values": {},
            "text": WORDS,
            "title": "About your call",
            "template": {"name": "order_update", "language": "de", "parameters": ["Ada"]},
            "media_url": "https://m.example/a.png",
            "context": {"context": "canary-handle"},
        }


class SmsKit(SandboxKit):
    """For channels that send texts through a provider without keys."""

    to = "+4915112345678"
    taken_when_sent = True

    @pytest.mark.parametrize("status", [500, 502, 504])
    async def test_after_a_server_error_nobody_knows(self, channel: Channel, status: int) -> None:
        """The provider has no key: to send again could make two."""
        self._fault(status=status)
        with pytest.raises(AnswerLostError):
            await channel.send(self.envelope(), within=20.0)

    async def test_no_word_of_a_crm_is_in_the_text(self, channel: Channel) -> None:
        await channel.send(self.envelope(), within=20.0)
        [message] = self.sandbox.state.outbox
        assert self.envelope().values["link"] in message.content["text"]
        assert "Canary Smith" not in message.content["text"]

    async def test_ping_says_to_which_countries_it_sends(self, channel: Channel) -> None:
        assert "DE" in await channel.ping()


def twilio_tells(form: dict[str, str]) -> Callback:
    """A callback that Twilio has signed."""
    url = f"{ADDRESS}?m=r1.1"
    signature = twilio_signature(TWILIO_TOKEN, url, form.items())
    kind = "application/x-www-form-urlencoded"
    headers = {HEADER: signature, "content-type": kind}
    return Callback("POST", url, [("m", "r1.1")], headers, urlencode(form).encode())


class TestTwilio(SmsKit):
    part = "twilio"

    def made(self, url: str, http: aiohttp.ClientSession) -> Channel:
        return self.at(f"{url}/twilio", http)

    @staticmethod
    def at(base_url: str, http: aiohttp.ClientSession, **more: Any) -> Channel:
        options = {
            "base_url": base_url,
            "account_sid": TWILIO_ACCOUNT,
            "auth_token": TWILIO_TOKEN,
            "callback_token": TWILIO_TOKEN,
            "sender": "+4915735980000",
            "countries": ["DE"],
            **more,
        }
        return TwilioChannel(TwilioOptions.model_validate(options), http)

    def told_back(self) -> Callback:
        return twilio_tells({"MessageSid": "SM" + "0" * 32, "MessageStatus": "delivered"})

    async def test_who_has_texted_stop_is_told_apart(self, channel: Channel) -> None:
        self.sandbox.state.opted_out.add(self.to)
        with pytest.raises(OptedOutError):
            await channel.send(self.envelope(), within=20.0)
        assert await self.taken() == []

    async def test_a_standard_api_key_which_cannot_read_the_account_is_in_order(
        self, channel: Channel
    ) -> None:
        async with open_session(LOOPBACK) as http:
            by_key = self.at(f"{self.sandbox.base_url}/twilio", http, api_key=TWILIO_KEY)
            assert "the API key is taken" in await by_key.ping()
            assert await by_key.send(self.envelope(), within=20.0)
        assert "the account is active" in await channel.ping()

    @pytest.mark.parametrize("more", [{}, {"api_key": TWILIO_KEY}])
    async def test_wrong_credentials_are_explained(
        self,
        channel: Channel,  # noqa: ARG002 - runs the sandbox
        more: dict[str, str],
    ) -> None:
        async with open_session(LOOPBACK) as http:
            url = f"{self.sandbox.base_url}/twilio"
            with pytest.raises(ConfigError, match="check account_sid, api_key and auth_token"):
                await self.at(url, http, auth_token="wrong", **more).ping()

    @pytest.mark.parametrize(
        ("status", "code", "error"),
        [
            (400, 21610, OptedOutError),
            (400, 21211, PermanentError),
            (400, 21614, PermanentError),
            (400, 30006, PermanentError),
            (403, 21408, PermanentError),
            (404, 20404, PermanentError),
            (429, 20429, TemporaryError),
            (400, 21611, TemporaryError),
            (503, None, TemporaryError),
        ],
    )
    async def test_twilios_codes_say_whether_to_try_again(
        self, status: int, code: int | None, error: type[Exception]
    ) -> None:
        refusal = reply({"code": code, "message": "to +4915112345678", "status": status}, status)
        async with ScriptedServer(refusal) as twilio, open_session(LOOPBACK) as http:
            with pytest.raises(error) as caught:
                await self.at(twilio.url, http).send(self.envelope(), within=20.0)
        assert type(caught.value) is not OptedOutError or error is OptedOutError
        assert self.to not in str(caught.value)
        if error is PermanentError:
            assert f"error {code}" in str(caught.value)

    async def test_what_is_asked_for_stands_in_the_request(self) -> None:
        more = {"messaging_service_sid": "MG" + "0" * 32, "sender": None, "validity_s": 600}
        asked_for = replace(
            self.envelope(),
            text="Hello",
            media_url="https://shop.example.com/a.png",
            receipt_url="https://b.example.com/v1/channels/sms/callback?m=r1",
        )
        form = await self.sent(asked_for, **more)
        assert form == {
            "To": self.to,
            "Body": "Hello",
            "MediaUrl": "https://shop.example.com/a.png",
            "MessagingServiceSid": "MG" + "0" * 32,
            "StatusCallback": "https://b.example.com/v1/channels/sms/callback?m=r1",
            "ValidityPeriod": "600",
        }
        assert "StatusCallback" not in await self.sent(asked_for, callbacks=False)
        assert (await self.sent(self.envelope())).keys() == {"To", "From", "Body"}

    async def sent(self, envelope: Envelope, **more: Any) -> dict[str, str]:
        """The form that reached Twilio."""
        taken = reply({"sid": "SM" + "0" * 32}, status=201)
        async with ScriptedServer(taken) as twilio, open_session(LOOPBACK) as http:
            assert await self.at(twilio.url, http, **more).send(envelope, within=20.0)
        [asked] = twilio.asked
        return dict(parse_qsl(asked.body.decode()))

    @pytest.mark.usefixtures("specs")
    async def test_what_is_sent_is_what_the_vendors_own_file_allows(self) -> None:
        messages = spec("twilio_messages_v2010.json")
        assert messages is not None
        taken = reply({"sid": "SM" + "0" * 32}, status=201)
        async with ScriptedServer(taken) as twilio, open_session(LOOPBACK) as http:
            await self.at(twilio.url, http).send(self.envelope(), within=20.0)
            await self.at(twilio.url, http, api_key=TWILIO_KEY).ping()
        assert [messages.forbids(asked) for asked in twilio.asked] == [None, None]


class TestTwilioWhatsApp(SandboxKit):
    part = "twilio"
    to = "+4915112345678"
    taken_when_sent = True
    template = VendorTemplate("HX" + "d1" * 16, None, ("x",))

    def made(self, url: str, http: aiohttp.ClientSession) -> Channel:
        return self.at(f"{url}/twilio", http)

    @staticmethod
    def at(base_url: str, http: aiohttp.ClientSession, **more: Any) -> Channel:
        options = {
            "base_url": base_url,
            "account_sid": TWILIO_ACCOUNT,
            "auth_token": TWILIO_TOKEN,
            "sender": "+4915735980000",
            "countries": ["DE"],
            "tracking_templates": {"de": "HX" + "d1" * 16},
            **more,
        }
        return TwilioWhatsAppChannel(TwilioWhatsAppOptions.model_validate(options), http)

    def told_back(self) -> Callback:
        return twilio_tells({"MessageSid": "SM" + "0" * 32, "MessageStatus": "read"})

    @pytest.mark.parametrize("status", [500, 502, 504])
    async def test_after_a_server_error_nobody_knows(self, channel: Channel, status: int) -> None:
        """Twilio has no key: to send again could make two."""
        self._fault(status=status)
        with pytest.raises(AnswerLostError):
            await channel.send(self.envelope(), within=20.0)

    @pytest.mark.parametrize(
        ("variables", "fault"),
        [
            ({"1": "x"}, None),
            (None, "wants 0, not 1 parameters"),
            ({"1": "x", "2": "y"}, "wants 2, not 1 parameters"),
            ({"name": "x"}, "has variables with names; only {{1}}, {{2}} ... can be filled"),
        ],
    )
    async def test_what_a_content_wants_is_known_before_the_first_message(
        self, variables: object, fault: str | None
    ) -> None:
        assert self.template is not None
        content = reply({"sid": self.template.name, "variables": variables})
        async with ScriptedServer(content) as twilio, open_session(LOOPBACK) as http:
            channel = self.at(twilio.url, http, content_url=twilio.url)
            told = list(await channel.check([self.template]))
        wanted = f"twilio_whatsapp: the content {self.template.name} {fault}"
        assert told == ([wanted] if fault else [])

    @pytest.mark.usefixtures("specs")
    async def test_what_is_sent_is_what_the_vendors_own_files_allow(self) -> None:
        messages, contents = spec("twilio_messages_v2010.json"), spec("twilio_content_v1.json")
        assert messages is not None
        assert contents is not None
        taken = reply({"sid": "SM" + "0" * 32, "variables": {"1": "x"}}, status=201)
        async with ScriptedServer(*[taken] * 3) as twilio, open_session(LOOPBACK) as http:
            channel = self.at(twilio.url, http, content_url=twilio.url)
            await channel.send(self.words(), within=20.0)
            await channel.send(replace(self.words(), template=None), within=20.0)
            assert self.template is not None
            assert list(await channel.check([self.template])) == []
        approved, words, asked = twilio.asked
        form = dict(parse_qsl(approved.body.decode()))
        assert (form["To"], form["From"]) == (f"whatsapp:{self.to}", "whatsapp:+4915735980000")
        assert orjson.loads(form["ContentVariables"]) == {"1": WORDS}
        judged = [messages.forbids(approved), messages.forbids(words), contents.forbids(asked)]
        assert judged == [None] * 3


class TestBabelforceSms(SmsKit):
    part = "platform"
    path = "/api/v2/sms"

    def made(self, url: str, http: aiohttp.ClientSession) -> Channel:
        options = {
            "base_url": url,
            "auth": {"kind": "bearer", "token": PLATFORM_TOKEN},
            "countries": ["DE"],
        }
        return BabelforceSmsChannel(BabelforceSmsOptions.model_validate(options), http)

    async def test_the_context_travels_with_the_message(self, channel: Channel) -> None:
        await channel.send(self.envelope(), within=20.0)
        [message] = self.sandbox.state.outbox
        assert message.content["session"] == {"ivr.track_id": "CANARY-ORDER"}

    async def test_the_context_of_a_message_in_words_travels_under_names_of_ours(
        self, channel: Channel
    ) -> None:
        """`app.` is the platform's, and nothing else is ever written."""
        data = {"context": "h4ndle", "ivr.reason": "invoice", "app.user": "x"}
        words = replace(self.envelope(), values={}, text="Hello", data=data)
        await channel.send(words, within=20.0)
        [message] = self.sandbox.state.outbox
        assert message.content["text"] == "Hello"
        assert message.content["session"] == {
            "ivr.context": "h4ndle",
            "ivr.reason": "invoice",
            "ivr.app.user": "x",
        }

    @pytest.mark.parametrize("state", ["failed", "validation_failed"])
    async def test_what_cannot_be_sent_is_no_success(self, state: str) -> None:
        answer = reply({"success": True, "item": {"id": "s1", "state": state}})
        async with ScriptedServer(answer) as babelforce, open_session(LOOPBACK) as http:
            with pytest.raises(PermanentError, match=state):
                await self.made(babelforce.url, http).send(self.envelope(), within=20.0)


class RealClock(Clock):
    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class TestFake(ChannelKit):
    @pytest.fixture
    def channel(self) -> Channel:
        self.fake = FakeChannel(RealClock())
        return self.fake

    async def taken(self) -> Sequence[str]:
        return [envelope.to for envelope in self.fake.taken]

    async def said(self) -> Sequence[str]:
        return [envelope.text or "" for envelope in self.fake.taken]

    async def refuse_for_now(self) -> None:
        self.fake.fail(TemporaryError("busy"))

    async def refuse_for_good(self) -> None:
        self.fake.fail(PermanentError("refused"))

    async def lose_answers(self) -> None:
        self.fake.fail(AnswerLostError("lost"))

    async def hang(self) -> None:
        self.fake.delay_s = FOREVER_S

    async def vanish(self) -> None:
        self.fake.fail(TemporaryError("no connection"))

    async def recover(self) -> None:
        self.fake.delay_s = 0.0


class TestKeyedFake(KeyedChannelKit, TestFake):
    @pytest.fixture
    def channel(self) -> Channel:
        self.fake = FakeChannel(RealClock(), keyed=True)
        return self.fake

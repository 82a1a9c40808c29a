"""Every channel, and the fake that stands for them in use-case tests, keeps the kit's promises."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from broker.channels.babelforce_sms import BabelforceSmsChannel, BabelforceSmsOptions
from broker.channels.email import EmailChannel, SmtpOptions
from broker.channels.templates import Templates
from broker.channels.twilio import TwilioChannel, TwilioOptions
from broker.channels.webhook import WebhookChannel, WebhookOptions
from broker.domain.errors import (
    AnswerLostError,
    ConfigError,
    OptedOutError,
    PermanentError,
    TemporaryError,
)
from broker.http_client import open_session
from broker.ports import Clock
from broker.sandbox.credentials import (
    PLATFORM_TOKEN,
    TWILIO_ACCOUNT,
    TWILIO_KEY,
    TWILIO_TOKEN,
    WEBHOOK_SECRET,
)
from broker.sandbox.faults import FaultPlan
from broker.sandbox.server import running_sandbox
from broker.testing.channel_kit import ChannelKit, KeyedChannelKit
from broker.testing.fake_channel import FakeChannel
from broker.testing.loopback import LOOPBACK
from broker.testing.scripted_server import ScriptedServer, reply
from broker.testing.smtp_server import Silence, SmtpServer
from tests.specs import spec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import aiohttp

    from broker.ports import Channel

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


class TestTwilio(SmsKit):
    part = "twilio"

    def made(self, url: str, http: aiohttp.ClientSession) -> Channel:
        return self.at(f"{url}/twilio", http)

    @staticmethod
    def at(base_url: str, http: aiohttp.ClientSession, **more: str) -> Channel:
        options = {
            "base_url": base_url,
            "account_sid": TWILIO_ACCOUNT,
            "auth_token": TWILIO_TOKEN,
            "sender": "+4915735980000",
            "countries": ["DE"],
            **more,
        }
        return TwilioChannel(TwilioOptions.model_validate(options), http)

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

    @pytest.mark.usefixtures("specs")
    async def test_what_is_sent_is_what_the_vendors_own_file_allows(self) -> None:
        messages = spec("twilio_messages_v2010.json")
        assert messages is not None
        taken = reply({"sid": "SM" + "0" * 32}, status=201)
        async with ScriptedServer(taken) as twilio, open_session(LOOPBACK) as http:
            await self.at(twilio.url, http).send(self.envelope(), within=20.0)
            await self.at(twilio.url, http, api_key=TWILIO_KEY).ping()
        assert [messages.forbids(asked) for asked in twilio.asked] == [None, None]


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

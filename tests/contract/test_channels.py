"""Every channel, and the fake that stands for them in use-case tests, keeps the kit's promises."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from broker.channels.email import EmailChannel, SmtpOptions
from broker.channels.templates import Templates
from broker.channels.webhook import WebhookChannel, WebhookOptions
from broker.domain.errors import AnswerLostError, PermanentError, TemporaryError
from broker.http_client import open_session
from broker.ports import Clock
from broker.sandbox.credentials import WEBHOOK_SECRET
from broker.sandbox.faults import FaultPlan, HttpFault
from broker.sandbox.server import running_sandbox
from broker.testing.channel_kit import ChannelKit, KeyedChannelKit
from broker.testing.fake_channel import FakeChannel
from broker.testing.loopback import LOOPBACK
from broker.testing.smtp_server import Silence, SmtpServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

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


class TestWebhook(KeyedChannelKit):
    @pytest.fixture
    async def channel(self) -> AsyncIterator[Channel]:
        self._running = AsyncExitStack()
        self.sandbox = await self._running.enter_async_context(running_sandbox())
        url = f"{self.sandbox.base_url}/webhook/messages"
        options = WebhookOptions.model_validate({"url": url, "secret": WEBHOOK_SECRET})
        async with self._running, open_session(LOOPBACK) as http:
            yield WebhookChannel(options, http)

    async def taken(self) -> Sequence[str]:
        return [message.to for message in self.sandbox.state.outbox]

    async def refuse_for_now(self) -> None:
        self._fault(status=503)

    async def refuse_for_good(self) -> None:
        self._fault(status=422)

    async def lose_answers(self) -> None:
        self._fault(answer="cut")

    async def hang(self) -> None:
        self._fault(delay_ms=60_000)

    async def vanish(self) -> None:
        await self._running.aclose()

    async def recover(self) -> None:
        self._fault()

    def _fault(self, **fault: Any) -> None:
        self.sandbox.state.faults.set(FaultPlan(webhook=HttpFault(**fault)))


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

"""The channel `twilio`: one SMS per message through Twilio's Programmable Messaging API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from broker.channels.sms import SmsOptions, told_sender
from broker.channels.twilio.callbacks import read_callback
from broker.channels.twilio.messages import Messages
from broker.channels.twilio.options import TwilioMessaging, one_sender
from broker.sdk import Channel

if TYPE_CHECKING:
    import aiohttp

    from broker.sdk import Callback, CallbackRead, Envelope


class TwilioOptions(SmsOptions, TwilioMessaging):
    """`[channels.<name>]` with `driver = "twilio"`."""

    sender: str | None = Field(None, pattern=r"^(\+[1-9][0-9]{4,14}|[A-Za-z0-9 ]{1,11})$")
    """A number in E.164, a short code, or an alphanumeric sender of up to 11 characters."""

    @model_validator(mode="after")
    def _one_sender(self) -> Self:
        one_sender(self.sender, self.messaging_service_sid)
        return self


class TwilioChannel(Channel):
    """Sends by `POST .../Messages.json`; not keyed, so a lost answer is never sent again."""

    options_type = TwilioOptions
    reaches = "phone"

    def __init__(self, options: TwilioOptions, http: aiohttp.ClientSession) -> None:
        self._options = options
        self.recipients = options.recipients
        self.calls_back = bool(options.callback_tokens)
        self._messages = Messages(options, http, "twilio")

    async def send(self, envelope: Envelope, *, within: float) -> str | None:
        """The message's SID; see `Channel`."""
        content = {"To": envelope.to, "Body": self._options.words(envelope)}
        if self._options.sender is not None:
            content["From"] = self._options.sender
        if envelope.media_url is not None:
            content["MediaUrl"] = envelope.media_url
        return await self._messages.create(envelope, content, within=within)

    def read_callback(self, callback: Callback) -> CallbackRead:
        """A receipt, or what somebody texted; see `Channel`."""
        return read_callback(callback, self._options.callback_tokens)

    async def ping(self) -> str:
        """Tries the credentials; nothing is sent."""
        reached = await self._messages.ping()
        who = told_sender(self._options.sender or "a messaging service")
        return f"{reached}; sends as {who} to {', '.join(sorted(self._options.countries))}"

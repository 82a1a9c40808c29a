"""The channel `twilio_whatsapp`: WhatsApp messages through Twilio, approved ones by content SID."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic evaluates it
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from broker.channels.twilio.callbacks import WHATSAPP, read_callback
from broker.channels.twilio.contents import Contents, approved, content_of
from broker.channels.twilio.messages import Messages
from broker.channels.twilio.options import TwilioMessaging, one_sender
from broker.channels.words import Language, checked_words
from broker.domain.languages import nearest_or_any
from broker.domain.recipients import Recipients
from broker.sdk import Channel, PermanentError, Region, VendorTemplate

if TYPE_CHECKING:
    from collections.abc import Sequence

    import aiohttp

    from broker.sdk import Callback, CallbackRead, Envelope

LONGEST = 1600
"""Characters of a free text (Twilio, error 21617)."""
ContentSid = Annotated[str, StringConstraints(pattern=r"^HX[0-9a-fA-F]{32}$")]


class TwilioWhatsAppOptions(TwilioMessaging):
    """`[channels.<name>]` with `driver = "twilio_whatsapp"`."""

    countries: frozenset[Region] = Field(min_length=1)
    """Whose numbers are written to."""
    sender: str | None = Field(None, pattern=r"^\+[1-9][0-9]{4,14}$")
    """A WhatsApp sender of the account, in E.164."""
    content_url: str = "https://content.twilio.com"
    """Where templates are looked at."""
    tracking_templates: Mapping[Language, ContentSid] = {}
    """Language -> the content with the tracking link as its only variable, `{{1}}`."""

    @model_validator(mode="after")
    def _one_sender(self) -> Self:
        one_sender(self.sender, self.messaging_service_sid)
        return self

    @property
    def recipients(self) -> Recipients:
        """People may have WhatsApp on any number that can be called, also on a fixed line."""
        return Recipients(self.countries, any_line=True)

    def content(self, envelope: Envelope) -> dict[str, str]:
        """What the message consists of; PermanentError if it cannot be sent."""
        template = envelope.template or self._tracking(envelope)
        if template is not None:
            return approved(template)
        if envelope.text is None:
            raise PermanentError("twilio_whatsapp: there is no template for this message")
        if len(envelope.text) > LONGEST:
            raise PermanentError(f"twilio_whatsapp: the text has more than {LONGEST} characters")
        content = {"Body": checked_words(envelope.text)}
        if envelope.media_url is not None:
            content["MediaUrl"] = envelope.media_url
        return content

    def _tracking(self, envelope: Envelope) -> VendorTemplate | None:
        known, link = self.tracking_templates, envelope.values.get("link")
        if envelope.text is not None or not known or link is None:
            return None
        return VendorTemplate(nearest_or_any(known, envelope.language), parameters=(link,))


class TwilioWhatsAppChannel(Channel):
    """Sends by `POST .../Messages.json`; not keyed, so a lost answer is never sent again."""

    options_type = TwilioWhatsAppOptions
    reaches = "phone"
    needs_template = True

    def __init__(self, options: TwilioWhatsAppOptions, http: aiohttp.ClientSession) -> None:
        self._options = options
        self.recipients = options.recipients
        self.calls_back = bool(options.callback_tokens)
        self._messages = Messages(options, http, "twilio_whatsapp")
        self._contents = Contents(options, options.content_url, http)

    async def send(self, envelope: Envelope, *, within: float) -> str | None:
        """The message's SID; see `Channel`.

        Words go out only without a template, and reach nobody but who wrote in the last 24 hours
        (Twilio, error 63016). Media of an approved message are part of its content.
        """
        content = {"To": WHATSAPP + envelope.to, **self._options.content(envelope)}
        if self._options.sender is not None:
            content["From"] = WHATSAPP + self._options.sender
        return await self._messages.create(envelope, content, within=within)

    def read_callback(self, callback: Callback) -> CallbackRead:
        """A receipt, or what somebody wrote; see `Channel`."""
        return read_callback(callback, self._options.callback_tokens)

    async def check(self, templates: Sequence[VendorTemplate]) -> Sequence[str]:
        """Unknown contents, and wrong numbers of parameters."""
        faults = [(content_of(one), await self._contents.fault(one)) for one in templates]
        return [f"twilio_whatsapp: the content {name} {wrong}" for name, wrong in faults if wrong]

    async def ping(self) -> str:
        """Tries the credentials; nothing is sent."""
        reached = await self._messages.ping()
        who = self._options.sender or "a messaging service"
        return f"{reached}; sends as {who} to {', '.join(sorted(self._options.countries))}"

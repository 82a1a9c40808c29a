"""The channel `whatsapp`: approved templates and replies through Meta's WhatsApp Cloud API."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, SecretStr, StringConstraints

from broker.channels.whatsapp.callbacks import OPTED_OUT, told
from broker.channels.whatsapp.templates import fault, filled
from broker.channels.words import Language, lines, texts_in
from broker.domain.languages import nearest_or_any
from broker.domain.recipients import Recipients
from broker.sdk import (
    CallbackRead,
    Channel,
    ConfigError,
    FixedHeaders,
    JsonClient,
    OptedOutError,
    Options,
    PermanentError,
    Region,
    SignatureError,
    TemporaryError,
    UnauthorizedError,
    VendorTemplate,
    handed_over,
    values_at,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import aiohttp

    from broker.sdk import Callback, Envelope, Reply

_NAME = "whatsapp"
_REFUSED = frozenset({400, 403, 404})
_LATER = frozenset({2, 4, 80007, 130429, 131016, 131056, 131057, 133004})
"""Meta, "Cloud API error codes": throttled, overloaded or under maintenance. Its advice is to go by
codes: limits come with HTTP 400 as well as 429."""
_WRONG_ACCOUNT = (
    "whatsapp: Meta refuses to show what belongs to us ({}): check phone_number_id, waba_id, and "
    "access_token with its permission whatsapp_business_management"
)
_CHALLENGE = re.compile(r"[\x21-\x7e]{1,256}")
Id = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,32}$")]


class TrackingTemplate(Options):
    """One of `tracking_templates`."""

    name: str = Field(min_length=1)
    language: str = Field(min_length=1)
    """As Meta spells it: `de`, `en_US`."""


class WhatsAppOptions(Options):
    """`[channels.<name>]` with `driver = "whatsapp"`."""

    base_url: str = "https://graph.facebook.com"
    version: str = Field("v25.0", pattern=r"^v[0-9]{1,3}\.[0-9]$")
    """Of the Graph API; Meta keeps one for about two years."""
    phone_number_id: Id
    waba_id: Id | None = None
    """The WhatsApp Business Account, whose templates are checked then."""
    access_token: SecretStr
    """Of a system user: those of people end after hours."""
    app_secret: SecretStr
    """Signs the callbacks."""
    verify_token: SecretStr
    """A word of one's own that Meta repeats when the callback address is set up."""
    countries: frozenset[Region] = Field(min_length=1)
    """Whose numbers are written to."""
    image_templates: frozenset[str] = frozenset()
    """Names of templates with a picture in their header: it is the message's `media_url`."""
    tracking_templates: Mapping[Language, TrackingTemplate] = {}
    """Language -> the template with the tracking link as its only placeholder, `{{1}}`."""
    timeout_ms: int = Field(15_000, gt=0)


class WhatsAppChannel(Channel):
    """Sends by `POST .../messages`; not keyed, so a lost answer is never sent again.

    Whether somebody has WhatsApp at all is told by a receipt only (131026).
    """

    options_type = WhatsAppOptions
    reaches = "phone"
    needs_template = True
    calls_back = True

    def __init__(self, options: WhatsAppOptions, http: aiohttp.ClientSession) -> None:
        self._options = options
        self.recipients = Recipients(options.countries, any_line=True)
        auth = FixedHeaders.bearer(options.access_token.get_secret_value(), name=_NAME)
        self._client = JsonClient(http, options.base_url, name=_NAME, auth=auth)
        self._key = _secret(options.app_secret, "app_secret")
        self._verify_token = _secret(options.verify_token, "verify_token")

    async def send(self, envelope: Envelope, *, within: float) -> str | None:
        """The `wamid`; see `Channel`."""
        body = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": envelope.to,
            **self._content(envelope),
        }
        if envelope.receipt_reference is not None:
            body["biz_opaque_callback_data"] = envelope.receipt_reference
        path = f"/{self._options.version}/{self._options.phone_number_id}/messages"
        within = min(within, self._options.timeout_ms / 1000)
        reply = await handed_over(self._client, path, json=body, within=within, accept=_REFUSED)
        return _taken(reply) if reply is not None else None

    def read_callback(self, callback: Callback) -> CallbackRead:
        """Receipts and answers, of our number only; also Meta's question for the verify token.

        Whoever answers without showing his number is known by his business-scoped user id.
        """
        if callback.method == "GET":
            return self._challenged(dict(callback.query))
        expected = f"sha256={hmac.new(self._key, callback.body, 'sha256').hexdigest()}".encode()
        given = callback.headers.get("x-hub-signature-256", "").encode(errors="replace")
        if not hmac.compare_digest(expected, given):
            raise SignatureError("whatsapp: the callback's signature is wrong")
        return told(callback.body, self._options.phone_number_id)

    async def check(self, templates: Sequence[VendorTemplate]) -> Sequence[str]:
        """Unknown and unapproved templates, and wrong numbers of parameters; needs `waba_id`."""
        if self._options.waba_id is None:
            return ()
        images = self._options.image_templates
        faults = [
            (one.name, fault(one, await self._listed(one), pictured=one.name in images))
            for one in templates
        ]
        return [f"whatsapp: the template {name} {wrong}" for name, wrong in faults if wrong]

    async def ping(self) -> str:
        """Reads our number with our token; nothing is sent."""
        await self._asked(self._options.phone_number_id, {"fields": "id"})
        return f"the number is known; sends to {', '.join(sorted(self._options.countries))}"

    def _content(self, envelope: Envelope) -> dict[str, Any]:
        """PermanentError if there is nothing that WhatsApp would take."""
        template = envelope.template or self._tracking(envelope)
        if template is not None:
            return {"type": "template", "template": self._filled(template, envelope.media_url)}
        words = lines(envelope.text or "")
        if not words:
            raise PermanentError("whatsapp: there is no template for this message, and no text")
        if envelope.media_url is not None:
            return {"type": "image", "image": {"link": envelope.media_url, "caption": words}}
        return {"type": "text", "text": {"body": words}}

    def _filled(self, template: VendorTemplate, media_url: str | None) -> dict[str, Any]:
        """Other pictures stay away: a header that the template has not is refused (132012)."""
        pictured = template.name in self._options.image_templates
        if pictured and media_url is None:
            raise PermanentError("whatsapp: the template needs a picture, and there is none")
        return filled(template, media_url if pictured else None)

    def _tracking(self, envelope: Envelope) -> VendorTemplate | None:
        known, link = self._options.tracking_templates, envelope.values.get("link")
        if envelope.text is not None or not known or link is None:
            return None
        template = nearest_or_any(known, envelope.language)
        return VendorTemplate(template.name, template.language, (link,))

    async def _listed(self, template: VendorTemplate) -> object:
        """What Meta has under this name."""
        fields = {"name": template.name, "fields": "name,language,status,components"}
        return await self._asked(f"{self._options.waba_id}/message_templates", fields)

    async def _asked(self, path: str, params: Mapping[str, str]) -> Any:
        """What Meta answers; ConfigError if it refuses to."""
        path = f"/{self._options.version}/{path}"
        try:
            reply = await self._client.request(
                "GET", path, params=params, accept=_REFUSED, within=5.0
            )
        except UnauthorizedError:
            raise ConfigError(_WRONG_ACCOUNT.format("HTTP 401")) from None
        if reply.status in _REFUSED and _code(reply) not in _LATER:
            raise ConfigError(_WRONG_ACCOUNT.format(f"error {_code(reply)}"))
        if reply.status in _REFUSED:
            raise _refusal(reply)
        return reply.body

    def _challenged(self, query: Mapping[str, str]) -> CallbackRead:
        given = query.get("hub.verify_token", "").encode(errors="replace")
        right = hmac.compare_digest(self._verify_token, given)
        challenge = query.get("hub.challenge", "")
        if not right or query.get("hub.mode") != "subscribe" or not _CHALLENGE.fullmatch(challenge):
            raise SignatureError("whatsapp: this is not the configured verify_token")
        return CallbackRead(answer=challenge)


def _secret(value: SecretStr, name: str) -> bytes:
    text = value.get_secret_value().strip()
    if not text:
        raise ConfigError(f"whatsapp: {name} is empty")
    return text.encode()


def _taken(reply: Reply) -> str | None:
    """The `wamid`, if Meta took the message."""
    if reply.status in _REFUSED:
        raise _refusal(reply)
    return next(texts_in(values_at(reply.body, "messages[0].id")), None)


def _refusal(reply: Reply) -> TemporaryError | PermanentError:
    code = _code(reply)
    told = f"whatsapp: refused ({f'error {code}' if code is not None else f'HTTP {reply.status}'})"
    if code in _LATER:
        return TemporaryError(told)
    return OptedOutError(told) if code == OPTED_OUT else PermanentError(told)


def _code(told: Reply) -> int | None:
    codes = values_at(told.body, "error.code")
    return next((code for code in codes if type(code) is int), None)

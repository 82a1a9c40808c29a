"""The channel `webhook`: one signed request per message (Standard Webhooks 1.0.0), with a key."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import orjson
from pydantic import AfterValidator, Field, SecretStr

from broker.sdk import Channel, JsonClient, Options, PermanentError, handed_over

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp

    from broker.sdk import Envelope

MAX_BODY_BYTES = 20_000
"""Standard Webhooks advises receivers to refuse more."""
_TYPE = "message.requested"
_ADDRESS = re.compile(
    r"https?://[^\s/?#@\\]+((?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~!$&'()*+,;=:@-]+)*/?)", re.ASCII
)
_PREFIX = "whsec_"
_KEY_BYTES = range(24, 65)
_IDENTITY = re.compile(r"[A-Za-z0-9_|-]{1,200}", re.ASCII)
"""Fit for a header, and without the dot that separates the signed parts."""
_LONGEST_ID = 200


def _address(value: str) -> str:
    if _ADDRESS.fullmatch(value) is None or not urlsplit(value).hostname:
        raise ValueError("must be http(s)://host[:port][/path], without login, ? and #")
    return value


def _signing_keys(value: SecretStr) -> tuple[bytes, ...]:
    """The keys in one secret or in several, with white space between them."""
    return tuple(
        base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        for secret in value.get_secret_value().split()
        if secret.startswith(_PREFIX)
    )


def _secrets(value: SecretStr) -> SecretStr:
    try:
        keys = _signing_keys(value)
    except binascii.Error:
        keys = ()
    whole = len(keys) == len(value.get_secret_value().split())
    if not keys or not whole or any(len(key) not in _KEY_BYTES for key in keys):
        raise ValueError("must be whsec_ and 24 to 64 bytes in base64; several with spaces between")
    return value


class WebhookOptions(Options):
    """`[channels.<name>]` with `driver = "webhook"`."""

    url: Annotated[str, AfterValidator(_address)]
    secret: Annotated[SecretStr, AfterValidator(_secrets)]
    """`whsec_...`. While it is changed: the old one and the new one, and both sign."""
    timeout_ms: Annotated[int, Field(gt=0)] = 15_000


class WebhookChannel(Channel):
    """Hands messages to whoever sends them; the receiver honours `Idempotency-Key`."""

    options_type = WebhookOptions
    keyed = True

    def __init__(self, options: WebhookOptions, http: aiohttp.ClientSession) -> None:
        address = urlsplit(options.url)
        self._client = JsonClient(http, f"{address.scheme}://{address.netloc}", name="webhook")
        self._host, self._path = address.netloc, address.path
        self._keys = _signing_keys(options.secret)
        self._timeout_s = options.timeout_ms / 1000

    async def send(self, envelope: Envelope, *, within: float) -> str | None:
        """The receiver's `id`, if its answer has one; see `Channel`.

        Any 2xx means taken. Whether a request without an answer was taken cannot be told, so that
        is an AnswerLostError also if the receiver never read it.
        """
        now = time.time()
        body = _body(envelope, now)
        headers = _headers(envelope.reference, body, now, self._keys)
        # A Fragment is sent as it stands: what was signed is what arrives. With a key a 5xx is safe
        # to repeat, so it is an ordinary refusal for now.
        reply = await handed_over(
            self._client,
            self._path,
            json=orjson.Fragment(body),
            headers=headers,
            within=min(within, self._timeout_s),
            unsure=frozenset(),
        )
        return _provider_id(reply.body) if reply is not None else None

    async def ping(self) -> str:
        """Nothing is sent: whatever reaches a receiver is a message."""
        signatures = f"{len(self._keys)} signature{'s' if len(self._keys) > 1 else ''}"
        return f"sends to {self._host} with {signatures}; not tried, a try would be a message"


def signature(key: bytes, identity: str, timestamp: int, body: bytes) -> str:
    """One entry of `webhook-signature`."""
    signed = b"%b.%d.%b" % (identity.encode(), timestamp, body)
    digest = hmac.digest(key, signed, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def _body(envelope: Envelope, now: float) -> bytes:
    """docs/channels/webhook.md shows it; PermanentError if it cannot be sent."""
    payload = {
        "type": _TYPE,
        "timestamp": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
        "data": {
            "reference": envelope.reference,
            "purpose": envelope.purpose,
            "to": envelope.to,
            "language": envelope.language,
            "values": {name: value for name, value in envelope.values.items() if value},
            **_words(envelope),
        },
    }
    try:
        body = orjson.dumps(payload)
    except TypeError:
        raise PermanentError("webhook: the message holds what is no text") from None
    if len(body) >= MAX_BODY_BYTES:
        raise PermanentError(f"webhook: the message has {MAX_BODY_BYTES} bytes or more")
    return body


def _words(envelope: Envelope) -> dict[str, Any]:
    """What the message says and carries, if it is more than a link; what is absent is left out."""
    template = envelope.template
    told = {
        "text": envelope.text,
        "title": envelope.title,
        "template": asdict(template) if template is not None else None,
        "media_url": envelope.media_url,
        "context": dict(envelope.data) or None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _headers(identity: str, body: bytes, now: float, keys: tuple[bytes, ...]) -> Mapping[str, str]:
    if _IDENTITY.fullmatch(identity) is None:
        raise PermanentError("webhook: the reference does not fit into a header")
    timestamp = int(now)
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(key, identity, timestamp, body) for key in keys),
        "Idempotency-Key": identity,
    }


def _provider_id(answer: Any) -> str | None:
    given = answer.get("id") if isinstance(answer, dict) else None
    text = str(given) if isinstance(given, str | int) else ""
    return text if 0 < len(text) <= _LONGEST_ID and text.isprintable() else None

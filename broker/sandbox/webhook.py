"""A message provider behind a webhook: checks signatures, honours keys, fills the outbox."""

from __future__ import annotations

import base64
import hmac
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from broker.channels.webhook import signature
from broker.sandbox.credentials import WEBHOOK_SECRET
from broker.sandbox.state import Sent

if TYPE_CHECKING:
    from broker.sandbox.state import SandboxState

_KEY = base64.b64decode(WEBHOOK_SECRET.removeprefix("whsec_"))
_MORE = ("text", "title", "template", "media_url", "context")
_TOLERANCE_S = 300
"""As Standard Webhooks advises: an older request may be a replay."""


class Webhook:
    """Takes every key once, and answers a repeat as it answered the first."""

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/messages", self.take)]

    async def take(self, request: web.Request) -> web.Response:
        """`{"id": ...}`; 401 if the signature is wrong or old, 400 without a key."""
        if not _signed(request, await request.read()):
            return web.json_response({"error": "signature"}, status=HTTPStatus.UNAUTHORIZED)
        key = request.headers.get("Idempotency-Key")
        if not key:
            return web.json_response({"error": "no key"}, status=HTTPStatus.BAD_REQUEST)
        data = (await request.json())["data"]
        if key not in self._state.webhooks:
            message = Sent("webhook", data["to"], {"key": key, **_content(data)})
            self._state.webhooks[key] = message.id
            self._state.outbox.append(message)
        return web.json_response({"id": self._state.webhooks[key]})


def _content(data: dict[str, object]) -> dict[str, object]:
    always = {name: data[name] for name in ("purpose", "language", "values")}
    return always | {name: data[name] for name in _MORE if name in data}


def _signed(request: web.Request, body: bytes) -> bool:
    identity = request.headers.get("webhook-id", "")
    timestamp = request.headers.get("webhook-timestamp", "")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > _TOLERANCE_S:
        return False
    expected = signature(_KEY, identity, int(timestamp), body).encode()
    given = request.headers.get("webhook-signature", "").encode().split()
    return any(hmac.compare_digest(expected, one) for one in given)

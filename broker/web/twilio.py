"""The routes that Twilio asks during a call; each answers with what the caller hears next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from broker.domain.call import checked_id
from broker.domain.errors import BadInputError, SignatureError, StoreUnavailableError
from broker.domain.twilio_signature import signed_form
from broker.domain.voice import WITHHELD
from broker.ports import store_answers_within
from broker.usecases.identify import CallStarted
from broker.usecases.voice import STORE_S
from broker.web.payloads import whole_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from broker.domain.voice import Script
    from broker.usecases.voice import Voice
    from broker.web.twiml import Renderer

log = structlog.get_logger("broker.voice")

_DELIVERY = "I-Twilio-Idempotency-Token"
_OVER = {"completed", "busy", "failed", "no-answer", "canceled"}


@dataclass(frozen=True, slots=True)
class Line:
    """One configured telephone menu, and how to know Twilio."""

    voice: Voice
    renderer: Renderer
    tokens: tuple[str, ...]
    """Auth tokens that are good: several, while they are being changed."""
    public_url: str


@dataclass(frozen=True, slots=True)
class TwilioRoutes:
    """The handlers under `/v1/twilio`. Without a line they refuse everybody."""

    line: Line | None
    max_body_bytes: int

    async def voice(self, request: web.Request) -> web.Response:
        line, form = await self._form(request)
        return await self._heard(line, line.voice.on_ring(_event(form)))

    async def gather(self, request: web.Request) -> web.Response:
        line, form = await self._form(request)
        keys, delivery = form.get("Digits") or None, request.headers.get(_DELIVERY)
        return await self._heard(line, line.voice.on_keys(_event(form), keys, delivery))

    async def status(self, request: web.Request) -> web.Response:
        line, form = await self._form(request)
        call_id, status = _id(form, "CallSid"), form.get("CallStatus", "")
        if "DialCallStatus" in form:
            delivery, gone = request.headers.get(_DELIVERY), status in _OVER
            dialled = form["DialCallStatus"]
            script = line.voice.on_dialled(call_id, dialled, delivery, gone=gone)
            return await self._heard(line, script)
        parent = _id(form, "ParentCallSid") if form.get("ParentCallSid") else None
        await line.voice.on_status(call_id, parent, status)
        return web.Response(status=204)

    async def _form(self, request: web.Request) -> tuple[Line, Mapping[str, str]]:
        """What Twilio sent and signed. BadInputError `voice_off`, `signature`, `too_large`."""
        if self.line is None:
            raise BadInputError("there is no [twilio_voice]", code="voice_off")
        body = await whole_body(request, self.max_body_bytes)
        store_answers_within(STORE_S)
        headers = {name.lower(): value for name, value in request.headers.items()}
        url = self.line.public_url + request.raw_path
        try:
            return self.line, signed_form(self.line.tokens, url, headers, body)
        except SignatureError as error:
            raise BadInputError("not signed by Twilio", code="signature") from error

    @staticmethod
    async def _heard(line: Line, script: Awaitable[Script]) -> web.Response:
        """What the use case says; if it cannot, the caller gets to a person all the same."""
        try:
            heard = await script
        except StoreUnavailableError:
            log.warning("voice_without_store")
            heard = line.voice.menu.to_queue(line.voice.menu.words())
        except Exception:
            log.exception("voice_failed")
            heard = line.voice.menu.to_queue(line.voice.menu.words())
        return web.Response(body=line.renderer.render(heard), content_type="text/xml")


def _event(form: Mapping[str, str]) -> CallStarted:
    caller = form.get("From")
    return CallStarted(
        call_id=_id(form, "CallSid"),
        from_=caller,
        to=form.get("To"),
        anonymous=caller in WITHHELD,
        by_answer=True,
    )


def _id(form: Mapping[str, str], name: str) -> str:
    return checked_id(form.get(name, ""), name)

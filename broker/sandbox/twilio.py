"""Twilio's Programmable Messaging in the sandbox: takes messages, refuses as Twilio does."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

from aiohttp import web

from broker.domain.call import Phone
from broker.sandbox import twilio_contents
from broker.sandbox.credentials import TWILIO_ACCOUNT
from broker.sandbox.personas import digits_of
from broker.sandbox.state import Sent, new_id
from broker.sandbox.twilio_callbacks import WHATSAPP, Taken, receipts
from broker.sandbox.twilio_wire import admitted, error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.sandbox.state import SandboxState

_ACCOUNT = "/2010-04-01/Accounts/{account}"
_LONGEST = 1600
_OUTSIDE_CONVERSATION = 63016
_ADDRESS = re.compile(r"https?://[^/_?#]+(/|$)")
"""Twilio takes no underscore in the host."""


@dataclass(frozen=True, slots=True)
class _Order:
    """What a request asks to be sent."""

    to: str
    """`+49...` or `whatsapp:+49...`."""
    sender: str
    text: str
    content: str
    """SID of the approved message, if it is one."""
    media: str
    receipts: str

    @classmethod
    def read(cls, form: Mapping[str, Any]) -> _Order:
        names = ("To", "From", "Body", "ContentSid", "MediaUrl", "StatusCallback")
        told = {name: str(form.get(name, "")) for name in names}
        sender = told["From"] or str(form.get("MessagingServiceSid", ""))
        return cls(told["To"], sender, *(told[name] for name in names[2:]))

    @property
    def kind(self) -> Literal["sms", "whatsapp"]:
        return "whatsapp" if self.to.startswith(WHATSAPP) else "sms"

    @property
    def number(self) -> str:
        return self.to.removeprefix(WHATSAPP)


class Twilio:
    """`POST` and `GET .../Messages.json`, and `GET .../Accounts/{sid}.json`."""

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(_ACCOUNT + ".json", self.account),
            web.get(_ACCOUNT + "/Messages.json", self.messages),
            web.post(_ACCOUNT + "/Messages.json", self.send),
            *twilio_contents.routes(),
        ]

    async def account(self, request: web.Request) -> web.Response:
        """The account, `active`; 401 with Twilio's error 20003 for wrong credentials and keys."""
        if not admitted(request, {TWILIO_ACCOUNT}):
            return error(HTTPStatus.UNAUTHORIZED, 20003)
        return web.json_response({"sid": TWILIO_ACCOUNT, "status": "active"})

    async def messages(self, request: web.Request) -> web.Response:
        """The messages to the number `To`."""
        if not admitted(request):
            return error(HTTPStatus.UNAUTHORIZED, 20003)
        to = request.query.get("To")
        found = [m for m in self._state.outbox if (m.kind, m.to) == ("sms", to)]
        return web.json_response({"messages": [_shown(m.id, m.to, m.content) for m in found]})

    async def send(self, request: web.Request) -> web.Response:
        """201 with the message, `queued`; 400 with Twilio's code for what it does not take.

        What became of it is told to `StatusCallback`; it is in the outbox if it arrived.
        """
        if not admitted(request):
            return error(HTTPStatus.UNAUTHORIZED, 20003)
        form = await request.post()
        order = _Order.read(form)
        text: str | int = order.text
        if order.content:
            text = twilio_contents.filled(order.content, str(form.get("ContentVariables", "")))
        code = text if isinstance(text, int) else self._fault(order, text)
        if code is not None:
            return error(HTTPStatus.BAD_REQUEST, code)
        return self._taken(order, str(text))

    def _fault(self, order: _Order, text: str) -> int | None:
        """Twilio's code for what is wrong with a message, if anything."""
        wrong = (
            (21211, Phone.read(order.number) is None),
            (21603, not order.sender),
            (63007, order.kind == "whatsapp" and order.sender.startswith("+")),
            (21602, not text and not order.media),
            (21617, len(text) > _LONGEST),
            (21609, bool(order.receipts) and _ADDRESS.match(order.receipts) is None),
            (21610, order.kind == "sms" and order.number in self._state.opted_out),
        )
        asked_for = _asked_for(self._state.faults.plan.twilio.refuse, order.to)
        return next((code for code, is_wrong in wrong if is_wrong), asked_for)

    def _taken(self, order: _Order, text: str) -> web.Response:
        kind = "MM" if order.media else "SM"
        message = Taken(f"{kind}{new_id()}", order.to, order.sender, order.receipts)
        content = {"from": order.sender, "text": text}
        if order.content:
            content["template"] = order.content
        elif order.media:
            content["media_url"] = order.media
        code = self._undelivered(order)
        if code is None:
            self._state.outbox.append(Sent(order.kind, order.number, content, id=message.sid))
        self._state.twilio_sent[order.to] = message
        self._state.callbacks.post(receipts(self._state, message, code))
        shown = _shown(message.sid, order.to, content)
        return web.json_response(shown, status=HTTPStatus.CREATED)

    def _undelivered(self, order: _Order) -> int | None:
        """Twilio's code for what it takes and cannot deliver."""
        outside = digits_of(order.number) not in self._state.conversations
        if order.kind == "whatsapp" and not order.content and outside:
            return _OUTSIDE_CONVERSATION
        return _asked_for(self._state.faults.plan.twilio.undelivered, order.to)


def _asked_for(codes: Mapping[str, int], to: str) -> int | None:
    """The code that a fault has for this recipient, or for everybody on his channel."""
    everybody = f"{WHATSAPP}*" if to.startswith(WHATSAPP) else "*"
    return codes.get(to, codes.get(everybody))


def _shown(sid: str, to: str, content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "sid": sid,
        "account_sid": TWILIO_ACCOUNT,
        "to": to,
        "from": content["from"],
        "body": content["text"],
        "status": "queued",
        "direction": "outbound-api",
        "date_created": formatdate(time.time()),
        "error_code": None,
    }

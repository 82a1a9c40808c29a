"""Twilio's Programmable Messaging in the sandbox: takes messages, refuses as Twilio does."""

from __future__ import annotations

import hmac
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import BasicAuth, web

from broker.domain.call import Phone
from broker.sandbox.credentials import TWILIO_ACCOUNT, TWILIO_KEY, TWILIO_TOKEN
from broker.sandbox.state import Sent, new_id

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from broker.sandbox.state import SandboxState

_ACCOUNT = "/2010-04-01/Accounts/{account}"
_LOGINS = frozenset({TWILIO_ACCOUNT, TWILIO_KEY})


class Twilio:
    """`POST` and `GET .../Messages.json`, and `GET .../Accounts/{sid}.json`."""

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(_ACCOUNT + ".json", self.account),
            web.get(_ACCOUNT + "/Messages.json", self.messages),
            web.post(_ACCOUNT + "/Messages.json", self.send),
        ]

    async def account(self, request: web.Request) -> web.Response:
        """The account, `active`; 401 with Twilio's error 20003 for wrong credentials and keys."""
        if not _admitted(request, {TWILIO_ACCOUNT}):
            return _error(HTTPStatus.UNAUTHORIZED, 20003)
        return web.json_response({"sid": TWILIO_ACCOUNT, "status": "active"})

    async def messages(self, request: web.Request) -> web.Response:
        """The messages to the number `To`."""
        if not _admitted(request):
            return _error(HTTPStatus.UNAUTHORIZED, 20003)
        to = request.query.get("To")
        found = [m for m in self._state.outbox if (m.kind, m.to) == ("sms", to)]
        return web.json_response({"messages": [_shown(message) for message in found]})

    async def send(self, request: web.Request) -> web.Response:
        """201 with the message, `queued`; 400 with Twilio's code for what it does not take."""
        if not _admitted(request):
            return _error(HTTPStatus.UNAUTHORIZED, 20003)
        form = await request.post()
        to, text = str(form.get("To", "")), str(form.get("Body", ""))
        sender = str(form.get("From") or form.get("MessagingServiceSid") or "")
        code = _fault(to, text, sender)
        if code is None and to in self._state.opted_out:
            code = 21610
        if code is not None:
            return _error(HTTPStatus.BAD_REQUEST, code)
        message = Sent("sms", to, {"from": sender, "text": text}, id=f"SM{new_id()}")
        self._state.outbox.append(message)
        return web.json_response(_shown(message), status=HTTPStatus.CREATED)


def _admitted(request: web.Request, logins: AbstractSet[str] = _LOGINS) -> bool:
    try:
        given = BasicAuth.decode(request.headers.get("Authorization", ""))
    except ValueError:
        return False
    ours = request.match_info["account"] == TWILIO_ACCOUNT and given.login in logins
    return ours and hmac.compare_digest(given.password.encode(), TWILIO_TOKEN.encode())


def _fault(to: str, text: str, sender: str) -> int | None:
    """Twilio's code for what is wrong with a message, if anything."""
    if Phone.read(to) is None:
        return 21211
    if not sender:
        return 21603
    if not text:
        return 21602
    return 21617 if len(text) > 1600 else None


def _error(status: HTTPStatus, code: int) -> web.Response:
    body = {"code": code, "message": f"sandbox error {code}", "status": int(status)}
    return web.json_response(body, status=status)


def _shown(message: Sent) -> dict[str, Any]:
    return {
        "sid": message.id,
        "account_sid": TWILIO_ACCOUNT,
        "to": message.to,
        "from": message.content["from"],
        "body": message.content["text"],
        "status": "queued",
        "direction": "outbound-api",
        "date_created": formatdate(time.time()),
        "error_code": None,
    }

"""Who may ask the sandbox's Twilio, and how it refuses."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from aiohttp import BasicAuth, web

from broker.sandbox.credentials import TWILIO_ACCOUNT, TWILIO_KEY, TWILIO_TOKEN

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from http import HTTPStatus

_LOGINS = frozenset({TWILIO_ACCOUNT, TWILIO_KEY})


def admitted(request: web.Request, logins: AbstractSet[str] = _LOGINS) -> bool:
    """Whether the credentials are right, and the account in the path is theirs if there is one."""
    try:
        given = BasicAuth.decode(request.headers.get("Authorization", ""))
    except ValueError:
        return False
    account = request.match_info.get("account", TWILIO_ACCOUNT)
    ours = account == TWILIO_ACCOUNT and given.login in logins
    return ours and hmac.compare_digest(given.password.encode(), TWILIO_TOKEN.encode())


def error(status: HTTPStatus, code: int) -> web.Response:
    body = {"code": code, "message": f"sandbox error {code}", "status": int(status)}
    return web.json_response(body, status=status)

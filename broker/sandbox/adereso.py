"""Adereso's IVR deflection in the sandbox: takes known templates from the connected number."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.domain.call import Phone
from broker.sandbox.credentials import ADERESO_PHONE, ADERESO_TOKEN
from broker.sandbox.state import Sent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.sandbox.state import SandboxState

DEFAULT = "ivr_deflect"
TEMPLATES = frozenset({DEFAULT, "ivr_welcome"})
METADATA = {
    "user": frozenset({"name", "language", "tier"}),
    "ticket": frozenset({"topic", "priority", "area", "context"}),
}
"""What somebody has set up in Desk; any other key is answered with a warning."""


class Adereso:
    """One request, and no other."""

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    def routes(self) -> list[web.RouteDef]:
        return [web.post("", self.deflect)]

    async def deflect(self, request: web.Request) -> web.Response:
        """200 with the message's id; 401 without the key, 422 for what cannot be sent."""
        if request.headers.get("Authorization") != f"Key {ADERESO_TOKEN}":
            return _error(HTTPStatus.UNAUTHORIZED, "send the API token")
        try:
            body = await request.json()
            message, warnings = _message(body), _warnings(body.get("metadata") or {})
        except (ValueError, TypeError, AttributeError):
            return _error(HTTPStatus.UNPROCESSABLE_ENTITY, "this cannot be sent")
        self._state.outbox.append(message)
        return web.json_response({"success": True, "id": message.id, "warnings": warnings})


def _message(body: Mapping[str, Any]) -> Sent:
    """ValueError if it cannot be sent."""
    template = body.get("template_name", DEFAULT)
    number = str(body.get("recipient_phone"))
    phone = Phone.read(f"+{number}") if number.isdecimal() else None
    if body.get("business_phone") != ADERESO_PHONE or template not in TEMPLATES or phone is None:
        raise ValueError("unknown sender, recipient or template")
    content = {"from": ADERESO_PHONE, "template": template, "metadata": body.get("metadata", {})}
    return Sent("adereso", phone.e164, {**content, "team_id": body.get("team_id")})


def _warnings(metadata: Mapping[str, Mapping[str, str]]) -> list[str]:
    given = [(place, key) for place, fields in metadata.items() for key in fields]
    unknown = [(place, key) for place, key in given if key not in METADATA.get(place, ())]
    return [f"metadata.{place}.{key} is not set up" for place, key in unknown]


def _error(status: HTTPStatus, message: str) -> web.Response:
    return web.json_response({"success": False, "error": message}, status=status)

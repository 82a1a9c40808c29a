"""Twilio's content templates and number lookup in the sandbox."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from broker.domain.call import Line, Phone
from broker.sandbox.credentials import TWILIO_ACCOUNT
from broker.sandbox.twilio_wire import admitted, error

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLACEHOLDER = re.compile(r"\{\{([0-9]+)\}\}")


@dataclass(frozen=True, slots=True)
class Content:
    """A message that "WhatsApp" has approved."""

    language: str
    text: str

    @property
    def variables(self) -> dict[str, str]:
        """Placeholder -> what stands there if a message names nothing."""
        return {number: f"value {number}" for number in _PLACEHOLDER.findall(self.text)}

    def filled(self, given: Mapping[str, str]) -> str:
        values = {**self.variables, **given}
        return _PLACEHOLDER.sub(lambda found: values[found[1]], self.text)


CONTENTS = {
    "HX" + "d1" * 16: Content("de", "Danke für Ihren Anruf. Hier geht es gleich weiter: {{1}}"),
    "HX" + "e1" * 16: Content("en", "Thank you for your call. Please go on here: {{1}}"),
    "HX" + "d0" * 16: Content("de", "Danke für Ihren Anruf. Antworten Sie einfach hier."),
    "HX" + "e0" * 16: Content("en", "Thank you for your call. Just answer here."),
}
_LINES = {
    Line.MOBILE: "mobile",
    Line.FIXED: "landline",
    Line.TOLL_FREE: "tollFree",
    Line.PREMIUM_RATE: "premium",
    Line.VOIP: "fixedVoip",
}
_BY_LAST_DIGIT = {"6": "landline", "7": "landline", "8": "nonFixedVoip", "9": "unknown"}
"""Where a number does not tell; all others are mobiles."""


def routes() -> list[web.RouteDef]:
    return [
        web.get("/v1/Content/{sid}", _content),
        web.get("/v2/PhoneNumbers/{number}", _number),
    ]


def filled(sid: str, variables: str) -> str | int:
    """The words of a content with these `ContentVariables`, or Twilio's code for what is wrong."""
    content = CONTENTS.get(sid)
    if content is None:
        return 21655
    try:
        given = orjson.loads(variables or "{}")
        fits = all(isinstance(value, str) and value for value in given.values())
    except (ValueError, AttributeError):
        fits = False
    return content.filled(given) if fits else 21656


async def _content(request: web.Request) -> web.Response:
    """The content; 404 with Twilio's error 20404 if there is none."""
    if not admitted(request):
        return error(HTTPStatus.UNAUTHORIZED, 20003)
    sid = request.match_info["sid"]
    if (content := CONTENTS.get(sid)) is None:
        return error(HTTPStatus.NOT_FOUND, 20404)
    shown: dict[str, Any] = {
        "sid": sid,
        "account_sid": TWILIO_ACCOUNT,
        "friendly_name": f"sandbox {content.language}",
        "language": content.language,
        "variables": content.variables,
        "types": {"twilio/text": {"body": content.text}},
    }
    return web.json_response(shown)


async def _number(request: web.Request) -> web.Response:
    """What kind of line a number is; a number that is none is no error, but not `valid`."""
    if not admitted(request):
        return error(HTTPStatus.UNAUTHORIZED, 20003)
    number = request.match_info["number"]
    phone = Phone.read(number)
    told = None
    if phone is not None and "line_type_intelligence" in request.query.get("Fields", ""):
        kind = _LINES.get(phone.line) or _BY_LAST_DIGIT.get(phone.e164[-1], "mobile")
        told = {"type": kind, "error_code": None, "carrier_name": "Sandbox"}
    shown = {
        "phone_number": number,
        "valid": phone is not None,
        "country_code": phone.region if phone is not None else None,
        "line_type_intelligence": told,
    }
    return web.json_response(shown)

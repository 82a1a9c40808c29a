"""Twilio Lookup v2: what kind of line a number is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.channels.twilio.options import TwilioAccount
from broker.sdk import (
    ConfigError,
    JsonClient,
    Line,
    NumberLookup,
    UnauthorizedError,
    basic_auth,
    value_at,
)

if TYPE_CHECKING:
    import aiohttp

    from broker.sdk import Phone

_NAME = "twilio_lookup"
_NOBODYS = "+12025550199"
LINES = {
    "mobile": Line.MOBILE,
    "landline": Line.FIXED,
    "fixedVoip": Line.VOIP,
    "nonFixedVoip": Line.VOIP,
    "tollFree": Line.TOLL_FREE,
    "premium": Line.PREMIUM_RATE,
    "sharedCost": Line.PREMIUM_RATE,
    "personal": Line.OTHER,
    "uan": Line.OTHER,
    "voicemail": Line.OTHER,
    "pager": Line.OTHER,
}
"""https://www.twilio.com/docs/lookup/v2-api/line-type-intelligence; `unknown` is not known."""


class TwilioLookupOptions(TwilioAccount):
    """`[number_lookup]` with `driver = "twilio"`."""

    base_url: str = "https://lookups.twilio.com"


class TwilioNumberLookup(NumberLookup):
    """Asks for "line type intelligence", which Twilio bills, also if it knows nothing."""

    options_type = TwilioLookupOptions

    def __init__(self, options: TwilioLookupOptions, http: aiohttp.ClientSession) -> None:
        auth = basic_auth(*options.login, name=_NAME)
        self._client = JsonClient(http, options.base_url, name=_NAME, auth=auth)

    async def line_of(self, phone: Phone, *, within: float) -> Line | None:
        """See `NumberLookup`. None also where Twilio may not tell, as in Canada (error 60601)."""
        fields = {"Fields": "line_type_intelligence"}
        reply = await self._client.request("GET", _path(phone.e164), params=fields, within=within)
        kind = value_at(reply.body, "line_type_intelligence.type")
        return LINES.get(kind) if isinstance(kind, str) else None

    async def ping(self) -> str:
        """Tries the credentials with a lookup that costs nothing; ConfigError if refused."""
        try:
            await self._client.request("GET", _path(_NOBODYS), within=5.0)
        except UnauthorizedError:
            advice = "check account_sid, api_key and auth_token"
            text = f"{_NAME}: the credentials were refused (HTTP 401): {advice}"
            raise ConfigError(text) from None
        return "the credentials are taken; a lookup of a line costs money, so none was tried"


def _path(number: str) -> str:
    return f"/v2/PhoneNumbers/{number}"

"""Twilio's content templates: filling them, and seeing beforehand whether that will do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson

from broker.channels.words import checked_words
from broker.sdk import ConfigError, JsonClient, PermanentError, UnauthorizedError, basic_auth

if TYPE_CHECKING:
    import aiohttp

    from broker.channels.twilio.options import TwilioAccount
    from broker.sdk import VendorTemplate

_SID = re.compile(r"HX[0-9a-fA-F]{32}", re.ASCII)
_SPACE = re.compile(r"\s+")
_UNKNOWN = 404


def content_of(template: VendorTemplate) -> str:
    """The SID of a template: its language's, or its name. Twilio has one for each language."""
    language = template.language
    return language if language and _SID.fullmatch(language) else template.name


def approved(template: VendorTemplate) -> dict[str, str]:
    """What names an approved message in a request, and fills it.

    PermanentError for what Twilio or WhatsApp would refuse: a name that is no content SID (21655),
    an empty parameter (21656). They refuse line ends and runs of spaces too: those become a space.
    """
    sid = content_of(template)
    if _SID.fullmatch(sid) is None:
        raise PermanentError("twilio_whatsapp: the template is no content SID (HX...)")
    given = (_SPACE.sub(" ", parameter).strip() for parameter in template.parameters)
    variables = {str(n): checked_words(value) for n, value in enumerate(given, 1)}
    content = {"ContentSid": sid}
    if variables:
        content["ContentVariables"] = orjson.dumps(variables).decode()
    return content


class Contents:
    """The account's content templates. Whether WhatsApp has approved them is not told here."""

    def __init__(self, options: TwilioAccount, url: str, http: aiohttp.ClientSession) -> None:
        auth = basic_auth(*options.login, name="twilio_content")
        self._client = JsonClient(http, url, name="twilio_content", auth=auth)

    async def fault(self, template: VendorTemplate) -> str | None:
        """Why a message cannot be made of it; None if it can.

        ConfigError: the credentials were refused. TemporaryError, PermanentError: not told.
        """
        sid = content_of(template)
        if _SID.fullmatch(sid) is None:
            return "is no content SID (HX...)"
        try:
            reply = await self._client.request(
                "GET", f"/v1/Content/{sid}", accept=frozenset({_UNKNOWN}), within=5.0
            )
        except UnauthorizedError:
            text = "twilio_content: the credentials were refused (HTTP 401)"
            raise ConfigError(text) from None
        if reply.status == _UNKNOWN:
            return "is unknown to this account"
        return _unfit(reply.body, len(template.parameters))


def _unfit(content: object, parameters: int) -> str | None:
    found = content.get("variables") if isinstance(content, dict) else None
    variables = set(found) if isinstance(found, dict) else set()
    if not all(name.isdecimal() for name in variables):
        return "has variables with names; only {{1}}, {{2}} ... can be filled"
    if len(variables) != parameters:
        return f"wants {len(variables)}, not {parameters} parameters"
    return None

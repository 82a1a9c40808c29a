"""How Twilio takes one message: the request to `Messages.json`, and what its answers mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.sdk import (
    ConfigError,
    JsonClient,
    OptedOutError,
    PermanentError,
    TemporaryError,
    UnauthorizedError,
    basic_auth,
    handed_over,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp

    from broker.channels.twilio.options import TwilioMessaging
    from broker.sdk import Envelope, Reply

API = "/2010-04-01/Accounts"
OPTED_OUT = frozenset({21610, 63033})
"""The recipient has texted STOP, or stopped this business's messages in WhatsApp (Twilio, errors
21610 and 63033). Twilio advises against deciding by other codes, as it keeps splitting them up."""
_BUSY = frozenset({20429, 21611, 30001, 63018})
"""Too many requests, a full queue of this sender or account, WhatsApp's rate limit: all of them
pass. They come with a 429 as a rule, which says the same."""
_REFUSED = frozenset({400, 403, 404})
_NOBODYS = {"To": "+12025550199", "PageSize": "1"}


class Messages:
    """Twilio's Messages resource, for one channel."""

    def __init__(self, options: TwilioMessaging, http: aiohttp.ClientSession, name: str) -> None:
        self._options, self._name = options, name
        auth = basic_auth(*options.login, name=name)
        self._client = JsonClient(http, options.base_url, name=name, auth=auth)

    async def create(
        self, envelope: Envelope, content: Mapping[str, str], *, within: float
    ) -> str | None:
        """The SID of the message that `content` makes; see `Channel.send` for the errors."""
        options = self._options
        form = dict(content)
        if options.messaging_service_sid is not None:
            form["MessagingServiceSid"] = options.messaging_service_sid
        if options.callbacks and envelope.receipt_url is not None:
            form["StatusCallback"] = envelope.receipt_url
        if options.validity_s is not None:
            form["ValidityPeriod"] = str(options.validity_s)
        path = f"{API}/{options.account_sid}/Messages.json"
        within = min(within, options.timeout_ms / 1000)
        reply = await handed_over(self._client, path, form=form, within=within, accept=_REFUSED)
        return self._taken(reply) if reply is not None else None

    def _taken(self, reply: Reply) -> str | None:
        """The SID, if Twilio took the message."""
        body: Any = reply.body if isinstance(reply.body, dict) else {}
        if reply.status in _REFUSED:
            raise self._refusal(body.get("code"), reply.status)
        sid = body.get("sid")
        return sid if isinstance(sid, str) and sid else None

    def _refusal(self, code: object, status: int) -> Exception:
        if code in OPTED_OUT:
            return OptedOutError(f"{self._name}: the recipient has opted out")
        if code in _BUSY:
            return TemporaryError(f"{self._name}: busy (error {code})")
        known = f"error {code}" if isinstance(code, int) else f"HTTP {status}"
        return PermanentError(f"{self._name}: refused ({known})")

    async def ping(self) -> str:
        """What the credentials reach; ConfigError if they are refused or the account not active.

        Nothing is sent. With an API key the account cannot be read (Twilio, "Types of keys": only a
        main key may), so it is messages to a number that nobody has.
        """
        options = self._options
        path, by_key = f"{API}/{options.account_sid}", options.api_key is not None
        path, params = (path + "/Messages.json", _NOBODYS) if by_key else (path + ".json", None)
        try:
            reply = await self._client.request("GET", path, params=params, within=5.0)
        except UnauthorizedError:
            advice = "check account_sid, api_key and auth_token"
            text = f"{self._name}: the credentials were refused (HTTP 401): {advice}"
            raise ConfigError(text) from None
        status = reply.body.get("status") if isinstance(reply.body, dict) else None
        if not by_key and status != "active":
            raise ConfigError(f"{self._name}: the account is not active")
        return "the API key is taken" if by_key else "the account is active"

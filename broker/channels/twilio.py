"""The channel `twilio`: one SMS per message through Twilio's Programmable Messaging API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, SecretStr, StringConstraints, model_validator

from broker.channels.sms import SmsOptions
from broker.sdk import (
    Channel,
    ConfigError,
    JsonClient,
    OptedOutError,
    PermanentError,
    UnauthorizedError,
    basic_auth,
    handed_over,
)

if TYPE_CHECKING:
    import aiohttp

    from broker.sdk import Envelope, Reply

API = "/2010-04-01/Accounts"
_OPTED_OUT = 21610
"""The recipient has texted STOP (Twilio, error 21610). Twilio advises against deciding by other
codes, as it keeps splitting them up."""
_REFUSED = frozenset({400, 404})
_NOBODYS = {"To": "+12025550199", "PageSize": "1"}
Sid = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}[0-9a-fA-F]{32}$")]


class TwilioOptions(SmsOptions):
    """`[channels.<name>]` with `driver = "twilio"`."""

    base_url: str = "https://api.twilio.com"
    account_sid: Sid
    auth_token: SecretStr
    """Of the account, or the secret of `api_key`."""
    api_key: Sid | None = None
    sender: str | None = Field(None, pattern=r"^(\+[1-9][0-9]{4,14}|[A-Za-z0-9 ]{1,11})$")
    """A number in E.164, a short code, or an alphanumeric sender of up to 11 characters."""
    messaging_service_sid: Sid | None = None
    timeout_ms: int = Field(15_000, gt=0)

    @model_validator(mode="after")
    def _one_sender(self) -> Self:
        if (self.sender is None) is (self.messaging_service_sid is None):
            raise ValueError("needs sender or messaging_service_sid, and only one of them")
        return self


class TwilioChannel(Channel):
    """Sends by `POST .../Messages.json`; not keyed, so a lost answer is never sent again."""

    options_type = TwilioOptions

    def __init__(self, options: TwilioOptions, http: aiohttp.ClientSession) -> None:
        self._options = options
        self.recipients = options.recipients
        user = options.api_key or options.account_sid
        auth = basic_auth(user, options.auth_token.get_secret_value(), name="twilio")
        self._client = JsonClient(http, options.base_url, name="twilio", auth=auth)

    async def send(self, envelope: Envelope, *, within: float) -> str | None:
        """The message's SID; see `Channel`."""
        options = self._options
        form = {
            "To": envelope.to,
            "Body": options.text(envelope.language, envelope.values["link"]),
            **(
                {"From": options.sender}
                if options.sender
                else {"MessagingServiceSid": options.messaging_service_sid or ""}
            ),
        }
        path = f"{API}/{options.account_sid}/Messages.json"
        within = min(within, options.timeout_ms / 1000)
        reply = await handed_over(self._client, path, form=form, within=within, accept=_REFUSED)
        return _taken(reply) if reply is not None else None

    async def ping(self) -> str:
        """Tries the credentials; ConfigError if they are refused or the account is not active.

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
            text = f"twilio: the credentials were refused (HTTP 401): {advice}"
            raise ConfigError(text) from None
        status = reply.body.get("status") if isinstance(reply.body, dict) else None
        if not by_key and status != "active":
            raise ConfigError("twilio: the account is not active")
        who = options.sender or "a messaging service"
        taken = "the API key is taken" if by_key else "the account is active"
        return f"{taken}; sends as {who} to {', '.join(sorted(options.countries))}"


def _taken(reply: Reply) -> str | None:
    """The SID, if Twilio took the message."""
    body: Any = reply.body if isinstance(reply.body, dict) else {}
    if reply.status in _REFUSED:
        code = body.get("code")
        if code == _OPTED_OUT:
            raise OptedOutError("twilio: the recipient has opted out")
        known = f"error {code}" if isinstance(code, int) else f"HTTP {reply.status}"
        raise PermanentError(f"twilio: refused ({known})")
    sid = body.get("sid")
    return sid if isinstance(sid, str) and sid else None

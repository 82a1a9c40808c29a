"""The channel `babelforce_sms`: one SMS per message by babelforce's own `POST /api/v2/sms`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from broker.channels.sms import SmsOptions, told_sender
from broker.sdk import (
    Auth,
    Channel,
    JsonClient,
    PermanentError,
    TokenPlace,
    authorizer,
    handed_over,
)

if TYPE_CHECKING:
    import aiohttp

    from broker.sdk import Envelope, Reply

_NAME = "babelforce_sms"
_PATH = "/api/v2/sms"
_OURS = "ivr."
_FAILED = frozenset({"failed", "validation_failed"})
_REFUSED = frozenset({400, 404, 422})


class BabelforceSmsOptions(SmsOptions):
    """`[channels.<name>]` with `driver = "babelforce_sms"`."""

    base_url: str = "https://services.babelforce.com"
    auth: Auth
    """A password grant needs `client_id = "manager"`, babelforce's public client."""
    sender: str | None = Field(None, pattern=r"^\+?[0-9]{4,15}$")
    """One of the account's numbers; without it babelforce takes its default."""
    timeout_ms: int = Field(15_000, gt=0)


class BabelforceSmsChannel(Channel):
    """The call's context travels with the SMS: a reply's conversation begins with it."""

    options_type = BabelforceSmsOptions
    reaches = "phone"

    def __init__(self, options: BabelforceSmsOptions, http: aiohttp.ClientSession) -> None:
        self._options = options
        self.recipients = options.recipients
        self._auth = authorizer(
            options.auth, http, options.base_url, name=_NAME, place=TokenPlace("/oauth/token")
        )
        self._client = JsonClient(http, options.base_url, name=_NAME, auth=self._auth)

    async def send(self, envelope: Envelope, *, within: float) -> str | None:
        """Babelforce's id of the SMS; see `Channel`."""
        options = self._options
        body: dict[str, Any] = {
            "to": envelope.to,
            "text": options.words(envelope),
            "session": _context(envelope),
        }
        if options.sender is not None:
            body["from"] = options.sender
        within = min(within, options.timeout_ms / 1000)
        reply = await handed_over(self._client, _PATH, json=body, within=within, accept=_REFUSED)
        return _taken(reply) if reply is not None else None

    async def ping(self) -> str:
        """Reaches the API with our credentials; nothing is sent."""
        await self._client.request("GET", "/api/v2/ping", within=5.0)
        who = told_sender(self._options.sender or "the account's default")
        return f"the API answers; sends as {who} to {', '.join(sorted(self._options.countries))}"

    async def aclose(self) -> None:
        await self._auth.aclose()


def _context(envelope: Envelope) -> dict[str, str]:
    """Session variables of the conversation that a reply begins: no other names than ours.

    They are the context of the message, and the order that a tracking link leads to.
    """
    track_id = envelope.values.get("track_id")
    about = {"track_id": track_id} if track_id else {}
    context = {**about, **envelope.data}
    return {name if name.startswith(_OURS) else _OURS + name: context[name] for name in context}


def _taken(reply: Reply) -> str | None:
    """The id; PermanentError if babelforce says at once that it cannot be sent."""
    if reply.status in _REFUSED:
        raise PermanentError(f"{_NAME}: refused (HTTP {reply.status})")
    item = reply.body.get("item") if isinstance(reply.body, dict) else None
    item = item if isinstance(item, dict) else {}
    if item.get("state") in _FAILED:
        raise PermanentError(f"{_NAME}: refused ({item['state']})")
    identity = item.get("id")
    return identity if isinstance(identity, str) and identity else None

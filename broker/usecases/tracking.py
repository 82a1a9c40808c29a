"""The link that a tracking message carries: made for one order, followed by whoever holds it."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, urlsplit

from broker.domain.customer import clean
from broker.domain.errors import PermanentError
from broker.ports import Envelope, Link

if TYPE_CHECKING:
    from broker.domain.customer import Customer
    from broker.ports import Clock, Links

PLACEHOLDER = "{track_id}"
_DAY_S = 86_400
_TOKEN_BYTES = 32
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
"""What 32 random bytes look like in URL-safe base64."""
_ADVERTISES = re.compile(r"://|\bwww\.", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TrackingLinks:
    """Makes tracking links and follows them: the operator's `[tracking]` settings at work.

    `direct` shows the operator's own URL, whose only secret is the CRM's track id. `wrapped` hides
    it behind a random token of ours that expires; only the token's hash is stored.
    """

    links: Links
    clock: Clock
    url_template: str | None
    """Where an order is shown, with `{track_id}`. None = there are no tracking messages."""
    public_url: str | None
    """Where customers reach this broker, no slash at its end; needed for `wrapped` only."""
    mode: Literal["wrapped", "direct"] = "wrapped"
    expires_days: int = 7

    async def make(self, track_id: str, call_id: str) -> str:
        """A link to this order; every wrapped one is new and works beside the older ones.

        PermanentError if this track id cannot be linked to. Errors of the store pass through,
        and UnknownCallError if the call was erased.
        """
        target = self._target(track_id)
        if self.mode == "direct":
            return target
        if self.public_url is None:
            raise PermanentError("a wrapped link needs server.public_url")
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        expires_at = self.clock.time() + self.expires_days * _DAY_S
        await self.links.keep(_hashed(token), Link(target, expires_at), call_id)
        return f"{self.public_url}/t/{token}"

    async def follow(self, token: str) -> str | None:
        """Where a wrapped link leads; None if it is malformed, unknown or expired."""
        if _TOKEN.fullmatch(token) is None:
            return None
        link = await self.links.find(_hashed(token))
        if link is None or link.expires_at <= self.clock.time():
            return None
        return link.target

    def _target(self, track_id: str) -> str:
        if self.url_template is None:
            raise PermanentError("a tracking link needs tracking.url_template")
        try:
            target = self.url_template.replace(PLACEHOLDER, quote(track_id, safe=""))
        except UnicodeEncodeError as error:
            raise PermanentError("the track id is no text") from error
        if not track_id or not _same_place(target, self.url_template):
            raise PermanentError("the track id does not fit into tracking.url_template")
        return target


def envelope_for(reference: str, purpose: str, to: str, customer: Customer, link: str) -> Envelope:
    """The message that shows `link` to `customer`, at his address or number `to`.

    Besides the link it holds only his track id and the name to greet him by, and that not if it
    could be taken for another link.
    """
    shown = {"link": link, "track_id": customer.track_id, "name": _greeting(customer.name)}
    return Envelope(
        reference=reference,
        purpose=purpose,
        to=to,
        language=customer.language,
        values={name: value for name, value in shown.items() if value},
    )


def _greeting(name: str | None) -> str | None:
    """Mail programs make links of anything that looks like one, so such a name greets nobody."""
    text = clean(name)
    return None if text is None or _ADVERTISES.search(text) else text


def _same_place(target: str, template: str) -> bool:
    """Whether the two differ in nothing but the part that was filled in.

    Everything else is percent-quoted; only a segment of dots alone still climbs up the path.
    """
    made, meant = urlsplit(target), urlsplit(template)
    climbs = any(segment in {".", ".."} for segment in made.path.split("/"))
    return (made.scheme, made.netloc) == (meant.scheme, meant.netloc) and not climbs


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()

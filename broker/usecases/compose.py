"""A message as its channel gets it: whom it goes to, its words, its links, where receipts go."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from broker.domain.context import metadata
from broker.domain.errors import PermanentError, StoreUnavailableError
from broker.domain.messages import TRACKING, hand_over_key, message_id
from broker.domain.people import hashed
from broker.ports import Envelope, VendorTemplate
from broker.usecases.tracking import envelope_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.domain.context import ContextRules
    from broker.domain.message_templates import MessageTemplate
    from broker.domain.messages import Message
    from broker.domain.progress import Policy
    from broker.domain.record import Record
    from broker.ports import Channel, Talks
    from broker.usecases.tracking import TrackingLinks

_SEND_FREE_FOR_S = 600.0
"""Free words go out only while this much is left: they may wait on their way."""


@dataclass(frozen=True, slots=True)
class Compose:
    """Puts messages together; nothing is decided here."""

    channels: Mapping[str, Channel]
    links: TrackingLinks
    policy: Policy
    public_url: str | None = None
    """Where providers and customers reach this broker; without it nothing can lead back here."""
    talks: Talks | None = None
    """Who may be written to in words of our own on a channel that needs templates else."""

    async def envelope(self, record: Record, message: Message) -> Envelope:
        """The next attempt of `message`. PermanentError if it can never be sent like this."""
        if message.channel not in self.channels:
            raise PermanentError("the channel of this message is not configured any more")
        if message.purpose == TRACKING:
            return await self._tracking(record, message)
        return await self._deflection(record, message)

    async def _tracking(self, record: Record, message: Message) -> Envelope:
        customer = record.customer
        to = self.policy.tracking.address(record, message.channel)
        if customer is None or not customer.track_id or not to:
            raise PermanentError("the call has no customer to send to")
        link = await self.links.make(customer.track_id, record.id)
        reference = receipt_reference(record, message)
        return replace(
            envelope_for(hand_over_key(record.id, message), message.purpose, to, customer, link),
            receipt_url=self._receipt_url(message, reference),
            receipt_reference=reference,
        )

    async def _deflection(self, record: Record, message: Message) -> Envelope:
        template = self.policy.deflection.template_of(message)
        if template is None or message.to is None:
            raise PermanentError("the template of this message is not configured any more")
        link = self._link(message)
        words = template.words(message.language, link)
        reference = receipt_reference(record, message)
        free = await self._free(message.channel, message.to)
        approved = None if free else _approved(template, message, link)
        if approved is None and not free and self.channels[message.channel].needs_template:
            raise PermanentError("the template of this message is not approved for its channel")
        return Envelope(
            reference=hand_over_key(record.id, message),
            purpose=message.purpose,
            to=message.to,
            language=message.language,
            values={"link": link},
            text=words.text,
            title=words.title,
            template=approved,
            media_url=template.media_url,
            data=carried(record, message, self.policy.deflection.carries),
            receipt_url=self._receipt_url(message, reference),
            receipt_reference=reference,
        )

    async def _free(self, channel: str, to: str) -> bool:
        """Whether free words reach `to` on a channel that takes templates from strangers only."""
        if self.talks is None or not self.channels[channel].needs_template:
            return False
        try:
            return await self.talks.open_for(channel, hashed(to)) > _SEND_FREE_FOR_S
        except StoreUnavailableError:
            return False  # a template reaches him in any case

    def _link(self, message: Message) -> str:
        if self.public_url is None:
            raise PermanentError("a deflection needs server.public_url")
        return f"{self.public_url}/d/{message.handle}"

    def _receipt_url(self, message: Message, reference: str) -> str | None:
        if self.public_url is None or not self.channels[message.channel].calls_back:
            return None
        return f"{self.public_url}/v1/channels/{message.channel}/callback?m={reference}"


def receipt_reference(record: Record, message: Message) -> str:
    """What names the next hand-over of `message`: its id and the number of the attempt."""
    return f"{message_id(record.id, message.purpose)}.{message.attempts + 1}"


def carried(record: Record, message: Message, rules: ContextRules) -> dict[str, str]:
    """The context, for a channel that carries it to the other side."""
    known = {
        "call_id": record.id,
        "deflection_id": message_id(record.id, message.purpose),
        "handle": message.handle,
        "branch": message.branch,
        **metadata(record, message, rules),
    }
    return {name: value for name, value in known.items() if value}


def _approved(template: MessageTemplate, message: Message, link: str) -> VendorTemplate | None:
    approved = template.approved.get(message.channel)
    if approved is None:
        return None
    return VendorTemplate(
        approved.name,
        approved.language(message.language),
        template.parameters(message.channel, link),
    )

"""What goes out about deflections: offers, choices, and how a message stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from broker.domain.messages import DEFLECTION, FREE_FORM_S, message_id
from broker.web.answers import moment

if TYPE_CHECKING:
    from broker.domain.messages import Message
    from broker.domain.record import Offered, Record
    from broker.domain.variables import Variables


class OfferAnswer(BaseModel):
    """What the caller is to be offered now."""

    success: bool = True
    call_id: str
    offer: bool
    forced: bool = Field(description="Only messaging is left: no agent takes this call.")
    channels: list[str] = Field(description="Those to offer, the first choice first.")
    text: str | None = Field(description="What to say, in his language; null if the rule has none.")
    rule: str = Field(description="Which rule decided, or why none did.")
    state: str = Field(description="Of the call.")
    session: dict[str, str | bool | int] = Field(
        description="The session variables of this call; they are also written by the platform."
    )


class ChoiceAnswer(BaseModel):
    """What the key meant, and how what it began stands."""

    success: bool = True
    call_id: str
    choice: str = Field(
        description="`deflect`, `stay`, `tracking`, `invalid`, `queue`, `no_recipient`."
    )
    deflection_id: str | None = None
    state: str = Field(description="Of the deflection if there is one, else of the call.")
    session: dict[str, str | bool | int] = Field(
        description="The session variables of this call; they are also written by the platform."
    )


class DeflectionAnswer(BaseModel):
    """How the deflection stands."""

    success: bool = True
    deflection_id: str
    call_id: str | None = Field(None, description="Null for a deflection without a call.")
    channel: str
    state: str = Field(description="A message state.")
    reason: str | None = None


class TicketView(BaseModel):
    """The ticket in which a deflection is followed up."""

    crm: str
    state: str | None = Field(description="`wanted`, `kept`, `failed`; null until it is sent.")
    id: str | None
    url: str | None


class DeflectionView(DeflectionAnswer):
    """A deflection, without whom it reached."""

    template: str | None = Field(None, description="Null = the default of its channel.")
    branch: str | None = None
    attempts: int
    channels_left: list[str] = Field(description="Where it goes if this channel refuses it.")
    queued_at: str
    window_until: str | None = Field(
        None, description="Until when free words reach who answered; null = nobody has."
    )
    ticket: TicketView | None = Field(None, description="The ticket in the CRM, if it wants one.")


def offer_answer(record: Record, offer: Offered, variables: Variables) -> OfferAnswer:
    return OfferAnswer(
        call_id=record.id,
        offer=offer.offer,
        forced=offer.forced,
        channels=list(offer.channels),
        text=offer.text,
        rule=offer.rule,
        state=record.state,
        session=variables.of(record),
    )


def choice_answer(record: Record, choice: str, variables: Variables) -> ChoiceAnswer:
    """What the caller's key meant; the deflection is named if there is one."""
    message = record.message(DEFLECTION)
    return ChoiceAnswer(
        call_id=record.id,
        choice=choice,
        deflection_id=message_id(record.id, DEFLECTION) if message is not None else None,
        state=message.state if message is not None else record.state,
        session=variables.of(record),
    )


def deflection_answer(record: Record) -> DeflectionAnswer:
    """The deflection of a record that has one."""
    return DeflectionAnswer(**_deflection(record, _deflection_of(record)))


def deflection_view(record: Record) -> DeflectionView:
    """The same, in full."""
    message = _deflection_of(record)
    return DeflectionView(
        **_deflection(record, message),
        template=message.template,
        branch=message.branch,
        attempts=message.attempts,
        channels_left=[place.channel for place in message.then],
        queued_at=moment(message.queued_at),
        window_until=moment(message.talked_at + FREE_FORM_S) if message.talked_at else None,
        ticket=ticket_view(message),
    )


def ticket_view(message: Message) -> TicketView | None:
    """The ticket of a message, if it wants one."""
    ticket = message.ticket
    if ticket is None:
        return None
    return TicketView(crm=ticket.crm, state=ticket.state, id=ticket.id, url=ticket.url)


def _deflection(record: Record, message: Message) -> dict[str, Any]:
    return {
        "deflection_id": message_id(record.id, DEFLECTION),
        "call_id": None if record.standalone else record.id,
        "channel": message.channel,
        "state": message.state,
        "reason": message.reason,
    }


def _deflection_of(record: Record) -> Message:
    message = record.message(DEFLECTION)
    if message is None:
        raise LookupError("this record has no deflection")
    return message

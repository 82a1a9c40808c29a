"""The route for the agent or bot on the other channel: what a handle stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from broker.domain.messages import message_id
from broker.web.answers import moment, reply
from broker.web.deflection_answers import TicketView, ticket_view
from broker.web.problems import problem

if TYPE_CHECKING:
    from aiohttp import web

    from broker.usecases.context import TellContext, Told
    from broker.web.auth import Client


class AboutCall(BaseModel):
    """The call he comes from."""

    call_id: str | None = Field(description="Null for a deflection without a call.")
    called: str | None = Field(description="The number he dialled.")
    branch: str | None = Field(description="Where in the call flow he was.")
    reason: str | None = Field(description="Why he called, as the call flow said it.")
    lookup: str | None = Field(description="A lookup state.")
    route: str | None
    known_by: str | None = Field(
        description="`number`, or `reference`: then he may be somebody else than the customer."
    )
    received_at: str


class OtherIdentity(BaseModel):
    """Whom he is known as elsewhere."""

    kind: str = Field(description="`phone`, `whatsapp`, `email`, or another channel's word.")
    value: str


class ContextAnswer(BaseModel):
    """What a handle stands for. Nothing is masked: `[deflection.context]` says what is told."""

    success: bool = True
    deflection_id: str
    channel: str
    state: str = Field(description="The message's state.")
    choice: str | None = Field(description="What he chose last, in one word.")
    deflected_before: bool | None = Field(description="Whether an earlier call was deflected too.")
    expires_at: str
    call: AboutCall
    customer: dict[str, str | bool | list[str]]
    user: dict[str, str]
    ticket: dict[str, str]
    data: dict[str, str] = Field(description="What else the call flow sent along.")
    identities: list[OtherIdentity]
    crm_ticket: TicketView | None = Field(description="The ticket in the CRM, if there is one.")
    cut: list[str] = Field(description="What had no room: cut, with … at its end, or left out.")


@dataclass(frozen=True, slots=True)
class ContextRoutes:
    """The handler of contexts."""

    contexts: TellContext

    async def show(self, request: web.Request, client: Client) -> web.Response:  # noqa: ARG002 - one signature for all
        told = await self.contexts.of(request.match_info["handle"])
        response = problem("unknown_context") if told is None else reply(_answer(told))
        response.headers["Cache-Control"] = "no-store"
        return response


def _answer(told: Told) -> ContextAnswer:
    record, message, context = told.held.record, told.held.message, told.context
    return ContextAnswer(
        deflection_id=message_id(record.id, message.purpose),
        channel=message.channel,
        state=message.state,
        choice=record.choice,
        deflected_before=record.deflected_before,
        expires_at=moment(told.held.expires_at),
        call=AboutCall(**told.call, received_at=moment(record.received_at)),
        customer={
            key: list(value) if isinstance(value, tuple) else value
            for key, value in context.customer.items()
        },
        user=context.user,
        ticket=context.ticket,
        data=context.data,
        identities=[OtherIdentity(kind=i.kind, value=i.value) for i in record.identities],
        crm_ticket=ticket_view(message),
        cut=list(context.cut),
    )

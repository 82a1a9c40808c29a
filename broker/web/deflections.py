"""The routes that move a caller to a message channel: choice, deflect, and without a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.domain.call import checked_id
from broker.domain.errors import BadInputError
from broker.domain.messages import DEFLECTION
from broker.web.answers import reply
from broker.web.deflection_answers import (
    choice_answer,
    deflection_answer,
    deflection_view,
    offer_answer,
)
from broker.web.payloads import (
    ChoiceBody,
    DeflectBody,
    DeflectionBody,
    OfferBody,
    call_id_of,
    parse,
)

if TYPE_CHECKING:
    from aiohttp import web

    from broker.domain.variables import Variables
    from broker.usecases.deflect import Deflect
    from broker.usecases.offer import Offers
    from broker.web.auth import Client
    from broker.web.intake import Intake


@dataclass(frozen=True, slots=True)
class DeflectionRoutes:
    """The handlers of deflections."""

    intake: Intake
    deflect: Deflect
    offers: Offers
    variables: Variables

    async def offer(self, request: web.Request, client: Client) -> web.Response:
        content = await self.intake.content(request, client)
        call_id = call_id_of(request, content)
        body = parse(OfferBody, {**content, "call_id": call_id})
        record, offer = await self.offers.on_offer(call_id, body.asked())
        return reply(offer_answer(record, offer, self.variables))

    async def choice(self, request: web.Request, client: Client) -> web.Response:
        content = await self.intake.content(request, client)
        call_id = call_id_of(request, content)
        body = parse(ChoiceBody, {**content, "call_id": call_id})
        chosen = await self.deflect.on_choice(call_id, body.key, body.branch)
        record = chosen.record
        if chosen.choice == "deflect":
            record, _ = await self.intake.message_ended(request, record, DEFLECTION)
        return reply(choice_answer(record, chosen.choice, self.variables))

    async def of_call(self, request: web.Request, client: Client) -> web.Response:
        content = await self.intake.content(request, client)
        call_id = call_id_of(request, content)
        body = parse(DeflectBody, {**content, "call_id": call_id})
        record = await self.deflect.on_deflect(call_id, body.wish("flow"))
        record, status = await self.intake.message_ended(request, record, DEFLECTION)
        return reply(deflection_answer(record), status)

    async def without_call(self, request: web.Request, client: Client) -> web.Response:
        content = await self.intake.content(request, client)
        body = parse(DeflectionBody, content)
        record = await self.deflect.without_call(client.name, body.wish(f"api:{client.name}"))
        record, status = await self.intake.message_ended(request, record, DEFLECTION)
        return reply(deflection_answer(record), status)

    async def show(self, request: web.Request, client: Client) -> web.Response:  # noqa: ARG002 - one signature for all
        record = await self.deflect.find(checked_id(request.match_info["deflection_id"]))
        if record is None:
            raise BadInputError("no such deflection", code="unknown_deflection")
        return reply(deflection_view(record))

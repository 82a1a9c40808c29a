"""The route that takes requests in Adereso's shape, for IVRs that are set up for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from broker.domain.adereso import Asked, digits_of
from broker.domain.messages import DEFLECTION, message_id
from broker.web.answers import reply
from broker.web.payloads import Text, parse

if TYPE_CHECKING:
    from aiohttp import web

    from broker.domain.adereso import Adereso
    from broker.usecases.deflect import Deflect
    from broker.web.auth import Client
    from broker.web.intake import Intake


class AderesoBody(BaseModel):
    """Write to a caller: his request on the phone is the consent."""

    model_config = ConfigDict(extra="ignore")

    business_phone: Text = Field(description="The sender: one of [compat.adereso.senders].")
    recipient_phone: Text = Field(description="His number: country code first, no `+` needed.")
    metadata: Any = Field(None, description="`user` and `ticket`, each with texts by key.")
    team_id: Text | None = Field(None, description="The team that shall get his answer.")
    template_name: Text | None = Field(None, description="Default: the sender's template.")


class AderesoAnswer(BaseModel):
    """The message is queued."""

    success: bool = True
    deflection_id: str
    warnings: list[str] = Field(description="What of the metadata was not taken over, and why.")


@dataclass(frozen=True, slots=True)
class AderesoRoutes:
    """Another door to deflections without a call."""

    intake: Intake
    deflect: Deflect
    rules: Adereso

    async def ask(self, request: web.Request, client: Client) -> web.Response:
        content = await self.intake.content(request, client, renamed=False)
        body = parse(AderesoBody, content)
        wish, warnings = self.rules.wish(f"api:{client.name}", Asked(**body.model_dump()))
        called = "+" + digits_of(body.business_phone)
        record = await self.deflect.without_call(client.name, wish, called)
        record, _ = await self.intake.message_ended(request, record, DEFLECTION)
        answer = AderesoAnswer(deflection_id=message_id(record.id, DEFLECTION), warnings=warnings)
        return reply(answer)

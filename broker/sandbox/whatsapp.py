"""WhatsApp's Cloud API in the sandbox: takes approved templates, and refuses as Meta does."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.domain.call import Phone
from broker.sandbox.credentials import (
    WHATSAPP_ACCOUNT,
    WHATSAPP_NUMBER,
    WHATSAPP_TOKEN,
)
from broker.sandbox.oauth import bearer
from broker.sandbox.personas import HOTLINE, digits_of
from broker.sandbox.state import Sent, new_id
from broker.sandbox.whatsapp_callbacks import CHANNEL, WAMID, receipts, status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.typedefs import Handler

    from broker.sandbox.state import SandboxState

LONGEST = 1024
UNDELIVERABLE, NO_CONVERSATION = 131026, 131047
_PLACEHOLDER = re.compile(r"\{\{([0-9]+)\}\}")
_BAD_SPACE = re.compile(r"[\n\t]| {5}")


@dataclass(frozen=True, slots=True)
class Template:
    """A message that "Meta" has approved, or not."""

    name: str
    language: str
    text: str
    status: str = "APPROVED"
    picture: bool = False
    """Whether its header is one."""

    @property
    def placeholders(self) -> int:
        return len(set(_PLACEHOLDER.findall(self.text)))

    def filled(self, parameters: list[str]) -> str:
        return _PLACEHOLDER.sub(lambda found: parameters[int(found[1]) - 1], self.text)


TEMPLATES = (
    Template("ivr_deflect", "de", "Danke für Ihren Anruf. Hier geht es gleich weiter: {{1}}"),
    Template("ivr_deflect", "en", "Thank you for your call. Please go on here: {{1}}"),
    Template("ivr_deflect", "es", "Gracias por su llamada. Continúe aquí: {{1}}"),
    Template("ivr_welcome", "de", "Danke für Ihren Anruf. Antworten Sie einfach hier."),
    Template("ivr_welcome", "en", "Thank you for your call. Just answer here."),
    Template("ivr_welcome", "es", "Gracias por su llamada. Responda aquí mismo."),
    Template("ivr_picture", "en", "Have a look: {{1}}", picture=True),
    Template("ivr_paused", "en", "Nobody gets this.", "PAUSED"),
)


class RefusedError(Exception):
    """Answered as the Graph API answers what it does not take."""

    def __init__(self, code: int, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(f"error {code}")
        self.code = code
        self.status = status


@dataclass(frozen=True, slots=True)
class Order:
    """What a request asks to be sent."""

    to: str
    content: Mapping[str, Any]
    reference: str | None


@dataclass(slots=True)
class WhatsApp:
    """`/{version}/{number}/messages`, the number itself, and the account's templates."""

    state: SandboxState
    templates: tuple[Template, ...] = field(default=TEMPLATES)

    def routes(self) -> list[web.RouteDef]:
        version = r"/{version:v\d+\.\d}"
        return [
            web.get(version + "/{id}", self.number),
            web.get(version + "/{id}/message_templates", self.list_templates),
            web.post(version + "/{id}/messages", self.send),
        ]

    async def number(self, request: web.Request) -> web.Response:
        """The number, if it is ours."""
        _admit(request, WHATSAPP_NUMBER)
        return web.json_response({"id": WHATSAPP_NUMBER, "display_phone_number": HOTLINE})

    async def list_templates(self, request: web.Request) -> web.Response:
        """Every template whose name begins with `?name=`."""
        _admit(request, WHATSAPP_ACCOUNT)
        wanted = request.query.get("name", "")
        found = [_listed(one) for one in self.templates if one.name.startswith(wanted)]
        return web.json_response({"data": found})

    async def send(self, request: web.Request) -> web.Response:
        """200 with the `wamid`; what became of it is told by callbacks."""
        _admit(request, WHATSAPP_NUMBER)
        order = self._order(await request.json())
        message = Sent(CHANNEL, order.to, order.content, id=WAMID + new_id())
        code = self._failure(order)
        if code is None:
            self.state.outbox.append(message)
        self._tell(order, message.id, code)
        sent = {"id": message.id, "message_status": "accepted"}
        contact = {"input": order.to, "wa_id": digits_of(order.to)}
        answer = {"messaging_product": CHANNEL, "contacts": [contact], "messages": [sent]}
        return web.json_response(answer)

    def _order(self, body: Mapping[str, Any]) -> Order:
        if body.get("messaging_product") != CHANNEL:
            raise RefusedError(100)
        phone = Phone.read(f"+{digits_of(str(body.get('to', '')))}")
        if phone is None:
            raise RefusedError(131009)
        reference = body.get("biz_opaque_callback_data")
        if body.get("type") == "template":
            content = self._from_template(body["template"])
        else:
            text = body.get("text") or {"body": body.get("image", {}).get("caption")}
            content = {"text": text["body"]}
        if not content["text"]:
            raise RefusedError(131008)
        return Order(phone.e164, content, reference)

    def _from_template(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        name, language = asked["name"], asked["language"]["code"]
        found = [one for one in self.templates if (one.name, one.language) == (name, language)]
        if not found:
            raise RefusedError(132001, HTTPStatus.NOT_FOUND)
        (template,) = found
        parameters = _parameters(asked)
        if len(parameters) != template.placeholders:
            raise RefusedError(132000)
        if any(one["type"] == "header" for one in asked.get("components", [])) != template.picture:
            raise RefusedError(132012)
        if template.status != "APPROVED":
            raise RefusedError(132015)
        text = template.filled(parameters)
        if len(text) > LONGEST:
            raise RefusedError(132005)
        return {
            "text": text,
            "template": name,
            "language": language,
            "parameters": parameters,
        }

    def _failure(self, order: Order) -> int | None:
        """Meta's code for what it takes and cannot deliver."""
        numbers = {digits_of(number) or number for number in self.state.faults.undeliverable}
        owner = self.state.fixture.owner(order.to)
        if owner is not None and not owner[0].has_whatsapp:
            return UNDELIVERABLE
        if numbers & {digits_of(order.to), "*"}:
            return UNDELIVERABLE
        spoke = digits_of(order.to) in self.state.conversations
        return None if spoke or "template" in order.content else NO_CONVERSATION

    def _tell(self, order: Order, identity: str, code: int | None) -> None:
        states = ["failed"] if code is not None else ["sent", "delivered", "read"]
        told = (status(order.to, identity, order.reference, state, code) for state in states)
        self.state.callbacks.post(receipts(self.state, told))


@web.middleware
async def refusing(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refusals, and bodies of no use, in the Graph API's words."""
    try:
        return await handler(request)
    except RefusedError as refused:
        return _error(refused.code, refused.status)
    except (KeyError, TypeError, ValueError, AttributeError):
        return _error(100, HTTPStatus.BAD_REQUEST)


def _admit(request: web.Request, wanted: str) -> None:
    given = (bearer(request) or "").encode()
    if not hmac.compare_digest(given, WHATSAPP_TOKEN.encode()):
        raise RefusedError(190, HTTPStatus.UNAUTHORIZED)
    if request.match_info["id"] != wanted:
        raise RefusedError(100)


def _parameters(asked: Mapping[str, Any]) -> list[str]:
    bodies = [one for one in asked.get("components", []) if one["type"] == "body"]
    texts = [one["text"] for body in bodies for one in body["parameters"]]
    if not all(texts):
        raise RefusedError(131008)
    if any(_BAD_SPACE.search(text) for text in texts):
        raise RefusedError(132007)
    return texts


def _listed(template: Template) -> dict[str, Any]:
    header = [{"type": "HEADER", "format": "IMAGE"}] if template.picture else []
    body = {"type": "BODY", "text": template.text}
    shown = {"name": template.name, "language": template.language, "status": template.status}
    return {**shown, "components": [*header, body], "category": "UTILITY", "id": "1"}


def _error(code: int, status: HTTPStatus) -> web.Response:
    error = {"message": f"(#{code}) sandbox", "type": "OAuthException", "code": code}
    return web.json_response({"error": {**error, "fbtrace_id": "sandbox"}}, status=status)

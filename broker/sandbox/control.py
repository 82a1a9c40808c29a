"""The sandbox's own controls under `/_sandbox`: place calls, break things, read the outbox."""

from __future__ import annotations

import time
from dataclasses import asdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, ValidationError, model_validator

from broker.sandbox.faults import FaultPlan
from broker.sandbox.personas import HOTLINE
from broker.sandbox.state import Call, Sent, Session
from broker.sandbox.twilio_callbacks import written
from broker.sandbox.whatsapp_callbacks import answered, verified

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from broker.sandbox.state import SandboxState

Number = Annotated[str, Field(min_length=1, max_length=64)]


STOP_WORDS = frozenset(
    ["STOP", "STOPALL", "UNSUBSCRIBE", "END", "QUIT", "REVOKE", "OPTOUT", "CANCEL"]
)
START_WORDS = frozenset({"START", "YES", "UNSTOP"})
"""Twilio's default words."""


class Reply(BaseModel):
    """What a person answers to a message."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    from_: Number = Field(alias="from")
    text: Annotated[str, Field(max_length=1600)]
    channel: Literal["sms", "whatsapp", "twilio_whatsapp"] = "sms"
    quoting: bool = False
    """WhatsApp: as an answer to the last message that this number got."""
    hidden: bool = False
    """WhatsApp: from somebody who shows a business-scoped user id instead of his number."""


class CallbackAddresses(BaseModel):
    """The body of `PUT /_sandbox/callbacks`: where providers tell what became of messages."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    whatsapp: HttpUrl | None = None
    twilio: HttpUrl | None = None
    """Where Twilio tells what people write; receipts go where each message wants them."""


class CallOrder(BaseModel):
    """The body of `POST /_sandbox/calls`: who calls, from where, what he types, when he goes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    persona: str | None = None
    """Calls from a fresh number of this persona's range."""
    from_: Annotated[Number | None, Field(alias="from")] = None
    """Any text, so that odd numbers can be tried; instead of `persona`."""
    to: Number = HOTLINE
    anonymous: bool = False
    """The number is withheld; `persona` then only says whose reference is known."""
    keys: Annotated[str | None, Field(pattern=r"^[0-9*#]{1,32}$")] = None
    """What the caller types; the session holds it as the platform's input reader does."""
    hangup_after_ms: Annotated[int | None, Field(ge=0)] = None

    @model_validator(mode="after")
    def _one_caller(self) -> Self:
        if self.persona is not None and self.from_ is not None:
            raise ValueError("give persona or from, not both")
        if self.persona is None and self.from_ is None and not self.anonymous:
            raise ValueError("give persona, from or anonymous")
        return self


class ProblemError(Exception):
    """The request is answered with problem+json; `str()` is its detail."""

    def __init__(self, status: HTTPStatus, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal of the controls as `application/problem+json` (RFC 9457)."""
    try:
        return await handler(request)
    except ProblemError as problem:
        return _problem(problem.status, problem.code, str(problem))
    except ValidationError as error:
        return _problem(HTTPStatus.BAD_REQUEST, "invalid_body", _faults_of(error))
    except web.HTTPException as error:
        status = HTTPStatus(error.status)
        return _problem(status, status.name.lower(), status.description)


def _problem(status: HTTPStatus, code: str, detail: str) -> web.Response:
    body = {"title": status.phrase, "status": status, "code": code, "detail": detail}
    return web.json_response(body, status=status, content_type="application/problem+json")


def _faults_of(error: ValidationError) -> str:
    """All that is wrong, by place, without the values."""
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    places = [(".".join(map(str, fault["loc"])), fault["msg"]) for fault in faults]
    return "; ".join(f"{place}: {message}" if place else message for place, message in places)


class Control:
    """What only a sandbox can do."""

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/calls", self.place_call),
            web.get("/calls/{id}", self.show_call),
            web.post("/calls/{id}/hangup", self.hang_up),
            web.put("/faults", self.set_faults),
            web.get("/outbox", self.outbox),
            web.post("/replies", self.reply),
            web.put("/callbacks", self.set_callbacks),
            web.post("/reset", self.reset),
        ]

    async def place_call(self, request: web.Request) -> web.Response:
        """201 with the call's three ids, its numbers and what should be found about the caller."""
        order = CallOrder.model_validate_json(await request.read())
        number = self._number(order)
        session = Session(data={"app.inputReader.reference": order.keys} if order.keys else {})
        if order.hangup_after_ms is not None:
            session.ends = session.created + order.hangup_after_ms / 1000
        call = Call(None if order.anonymous else number, order.to, session)
        self._state.calls.add(call)
        return web.json_response(_ids(call) | self._expected(number), status=HTTPStatus.CREATED)

    async def show_call(self, request: web.Request) -> web.Response:
        """The call with its session: variables now, and every write with its time."""
        call = self._call(request)
        return web.json_response(
            _ids(call)
            | {
                "state": "completed" if call.over else "in-progress",
                "age_ms": round((time.time() - call.session.created) * 1000),
                "variables": call.session.data,
                "writes": [asdict(write) for write in call.session.writes],
                "events": call.events,
            }
        )

    async def hang_up(self, request: web.Request) -> web.Response:
        """The caller hangs up; repeating it changes nothing."""
        call = self._call(request)
        call.hang_up("hangup")
        return web.json_response(_ids(call) | {"state": "completed"})

    async def set_faults(self, request: web.Request) -> web.Response:
        """Replaces all faults by the given ones (`{}` ends them); answers what now holds."""
        plan = FaultPlan.model_validate_json(await request.read())
        self._state.faults.set(plan)
        return web.json_response(plan.model_dump(exclude_defaults=True))

    async def outbox(self, request: web.Request) -> web.Response:
        """`{"messages": [...]}`, oldest first; `?to=` keeps those of one recipient."""
        to = request.query.get("to")
        messages = [m for m in self._state.outbox if to is None or m.is_to(to)]
        return web.json_response({"messages": [_message(m) for m in messages]})

    async def reply(self, request: web.Request) -> web.Response:
        """Somebody answers: `{"from": "+49...", "text": "STOP"}`; STOP and START count for SMS."""
        answer = Reply.model_validate_json(await request.read())
        if answer.channel == "whatsapp":
            self._state.callbacks.post(
                answered(
                    self._state,
                    answer.from_,
                    answer.text,
                    quoting=answer.quoting,
                    hidden=answer.hidden,
                )
            )
            return web.json_response({"success": True})
        if answer.channel == "sms":
            self._stop_or_start(answer)
        by_whatsapp = answer.channel == "twilio_whatsapp"
        told = written(
            self._state, answer.from_, answer.text, whatsapp=by_whatsapp, quoting=answer.quoting
        )
        self._state.callbacks.post(told)
        return web.json_response({"success": True})

    def _stop_or_start(self, answer: Reply) -> None:
        word = answer.text.strip().upper()
        if word in STOP_WORDS:
            self._state.opted_out.add(answer.from_)
        elif word in START_WORDS:
            self._state.opted_out.discard(answer.from_)

    async def set_callbacks(self, request: web.Request) -> web.Response:
        """Replaces all addresses; as Meta does, WhatsApp first asks whether its own is meant."""
        given = CallbackAddresses.model_validate_json(await request.read())
        addresses = {name: str(url) for name, url in given if url is not None}
        if "whatsapp" in addresses and not await verified(addresses["whatsapp"]):
            detail = "the address did not repeat the challenge"
            raise ProblemError(HTTPStatus.CONFLICT, "unverified", detail)
        self._state.callbacks.addresses = addresses
        return web.json_response(addresses)

    async def reset(self, _request: web.Request) -> web.Response:
        self._state.reset()
        return web.json_response({"success": True})

    def _number(self, order: CallOrder) -> str | None:
        if order.persona is None:
            return order.from_
        persona = self._state.fixture.persona(order.persona)
        if persona is None:
            names = ", ".join(persona.name for persona in self._state.fixture.personas)
            raise ProblemError(HTTPStatus.BAD_REQUEST, "unknown_persona", f"one of: {names}")
        return self._state.numbers.take(persona)

    def _expected(self, number: str | None) -> dict[str, Any]:
        """What the fixture knows of the caller; nothing if the number is nobody's."""
        owner = self._state.fixture.owner(number) if number else None
        if owner is None:
            return {}
        persona, suffix = owner
        caller = persona.caller(suffix)
        return {
            "persona": persona.name,
            "reference": caller.reference,
            "email": caller.email,
            "track_id": caller.track_id,
        }

    def _call(self, request: web.Request) -> Call:
        call = self._state.calls.get(request.match_info["id"])
        if call is None:
            raise ProblemError(HTTPStatus.NOT_FOUND, "unknown_call", "no such call")
        return call


def _ids(call: Call) -> dict[str, Any]:
    return {
        "call_id": call.id,
        "session_id": call.session.id,
        "conversation_id": call.conversation_id,
        "from": call.from_,
        "to": call.to,
        "anonymous": call.from_ is None,
    }


def _message(message: Sent) -> dict[str, Any]:
    known = {"id": message.id, "kind": message.kind, "to": message.to, "sent_at": message.sent_at}
    return known | dict(message.content)

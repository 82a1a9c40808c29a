"""What goes out: the answer to an automation, and the views of a call for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web
from pydantic import BaseModel, Field

from broker.domain.masking import mask
from broker.domain.messages import TRACKING

if TYPE_CHECKING:
    from broker.domain.record import Record, Step
    from broker.domain.variables import Variables

PENDING = "pending"
_OPEN_VALUES = (
    *("lookup", "route", "lookup_ms", "lookup_source"),
    *("offer", "offer_forced", "offer_text", "choice", "deflection", "deflected_before"),
)
"""What the session says of the call itself: nothing of it is personal."""


class CallAnswer(BaseModel):
    """How the call stands after this step."""

    success: bool = True
    call_id: str
    state: str = Field(description="The outcome if there is one, else the phase; or `ignored`.")
    lookup: str | None = Field(description="A lookup state, or `pending`.")
    route: str | None = Field(description="Where the call should go; null while pending.")
    reason: str | None = None
    session: dict[str, str | bool | int] = Field(
        description="The session variables of this call; they are also written by the platform."
    )


class MessageAnswer(BaseModel):
    """How the message stands."""

    success: bool = True
    call_id: str
    purpose: str
    channel: str
    state: str = Field(description="A message state.")
    lookup: str | None = Field(None, description="`pending` if the customer is not known yet.")


class MessageView(BaseModel):
    """One message of a call."""

    purpose: str
    channel: str
    state: str
    attempts: int
    reason: str | None


class StepView(BaseModel):
    """One lookup of a call."""

    name: str
    value: str | None = Field(description="Number or reference; masked without the scope admin.")
    received_at: str
    lookup: str | None = Field(description="`pending` until decided; null if it never was.")
    route: str | None
    reason: str | None
    source: str | None = Field(description="The CRM that knew the customer.")
    lookup_ms: int | None
    written: str | None = Field(description="`ok`, `failed`, or null while nothing was written.")


class CallView(BaseModel):
    """One call. Personal values are masked without the scope `admin`."""

    call_id: str
    session_id: str | None
    state: str
    phase: str
    outcome: str | None
    lookup: str | None
    route: str | None
    reason: str | None
    received_at: str
    over_at: str | None
    disposition: str | None
    caller: str | None
    called: str | None
    variables: dict[str, str | bool | int]
    data: dict[str, str]
    steps: list[StepView]
    messages: list[MessageView]


class CallList(BaseModel):
    """Live calls, newest first."""

    calls: list[CallView]
    cursor: str | None = Field(description="Send it back to get the next page; null on the last.")


class TraceView(BaseModel):
    """What happened to a call, oldest first."""

    call_id: str
    trace: list[dict[str, Any]]


class ErasedAnswer(BaseModel):
    """A person was erased: nothing of him is in the store any more."""

    success: bool = True
    state: str = Field("erased", description="Always `erased`, also if nothing was known.")
    calls: int = Field(description="How many calls were erased.")
    links: int = Field(description="How many tracking links were.")
    cached: int = Field(description="How many answers of CRMs were.")


class InvalidatedAnswer(BaseModel):
    """What was kept of a customer is not told any more."""

    success: bool = True
    state: str = Field("invalidated", description="Always, also if nothing was kept.")
    entries: int = Field(description="How many answers of the CRM were dropped.")


class Ignored(BaseModel):
    """Nothing was done: a child leg, or a call that is not known."""

    success: bool = True
    ignored: bool = True


def reply(model: BaseModel, status: int = 200) -> web.Response:
    """The model as JSON."""
    body = model.__pydantic_serializer__.to_json(model)
    return web.Response(body=body, status=status, content_type="application/json")


def json_reply(content: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(content), status=status, content_type="application/json")


def ignored_answer(call_id: str) -> CallAnswer:
    """For a child leg of a call that is not known."""
    return CallAnswer(call_id=call_id, state="ignored", lookup=None, route=None, session={})


def call_answer(record: Record, variables: Variables, step: Step | None = None) -> CallAnswer:
    """The call as it stands; if `step` is given and undecided, what it shows is `pending`."""
    shown = record.shown
    told = step if step is not None and record.customer is None else shown
    if (step is not None and step.lookup is None and not step.done) or told is None:
        waiting = any(s.lookup is None and not s.done for s in record.steps)
        lookup = PENDING if waiting else None
        return CallAnswer(
            call_id=record.id, state=record.state, lookup=lookup, route=None, session={}
        )
    return CallAnswer(
        call_id=record.id,
        state=record.state,
        lookup=told.lookup,
        route=told.route,
        reason=record.reason or told.reason,
        session=variables.of(record),
    )


def message_answer(record: Record) -> MessageAnswer:
    """The tracking message of a call, or the wish for one."""
    message = record.message(TRACKING)
    if message is None:
        return MessageAnswer(
            call_id=record.id, purpose=TRACKING, channel="email", state="queued", lookup=PENDING
        )
    shown = record.shown
    return MessageAnswer(
        call_id=record.id,
        purpose=message.purpose,
        channel=message.channel,
        state=message.state,
        lookup=shown.lookup if shown else None,
    )


def call_view(record: Record, variables: Variables, *, plain: bool) -> CallView:
    """The whole call; `plain` shows personal values."""
    shown = record.shown
    values = variables.of(record)
    open_names = {variables.names.get(source, "") for source in _OPEN_VALUES}

    def seen(text: str | None) -> str | None:
        return text if plain or text is None else mask(text)

    return CallView(
        call_id=record.id,
        session_id=record.session.id if record.session else record.data.session_id,
        state=record.state,
        phase=record.phase,
        outcome=record.outcome,
        lookup=shown.lookup if shown else None,
        route=shown.route if shown else None,
        reason=record.reason or (shown.reason if shown else None),
        received_at=moment(record.received_at),
        over_at=moment(record.over_at) if record.over_at is not None else None,
        disposition=seen(record.disposition),
        caller=seen(record.data.from_),
        called=seen(record.data.to),
        variables={
            name: mask(v) if isinstance(v, str) and not plain and name not in open_names else v
            for name, v in values.items()
        },
        data={name: text if plain else mask(text) for name, text in record.data.extra.items()},
        steps=[_step_view(step, seen(step.value)) for step in record.steps],
        messages=[
            MessageView(
                purpose=m.purpose,
                channel=m.channel,
                state=m.state,
                attempts=m.attempts,
                reason=m.reason,
            )
            for m in record.messages
        ],
    )


def _step_view(step: Step, value: str | None) -> StepView:
    return StepView(
        name=step.name,
        value=value,
        received_at=moment(step.received_at),
        lookup=step.lookup or (None if step.done else PENDING),
        route=step.route,
        reason=step.reason,
        source=step.source,
        lookup_ms=step.lookup_ms,
        written=step.written,
    )


def moment(seconds: float) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")

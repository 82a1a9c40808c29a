"""The routes of a call: each reads, calls its use case and answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from broker.domain.call import checked_id
from broker.domain.errors import BadInputError, UnknownCallError
from broker.domain.messages import TRACKING
from broker.ports import Position
from broker.web.answers import (
    CallList,
    Ignored,
    TraceView,
    call_answer,
    call_view,
    ignored_answer,
    message_answer,
    moment,
    reply,
)
from broker.web.intake import whole
from broker.web.payloads import (
    CallBody,
    CallStartBody,
    EndBody,
    ReferenceBody,
    call_id_of,
    parse,
)

if TYPE_CHECKING:
    from aiohttp import web

    from broker.domain.record import Record
    from broker.domain.variables import Variables
    from broker.usecases.finish import Finish
    from broker.usecases.identify import Identify
    from broker.usecases.notify import Notify
    from broker.usecases.watch import Watch
    from broker.web.auth import Client
    from broker.web.intake import Intake
    from broker.web.load import Load

LIST_LIMIT = 200
_CURSOR = re.compile(r"([0-9]{1,15})-([A-Za-z0-9_-]{1,64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class CallRoutes:
    """The handlers under `/v1/calls`."""

    identify: Identify
    notify: Notify
    finish: Finish
    watch: Watch
    variables: Variables
    intake: Intake
    load: Load

    async def start(self, request: web.Request, client: Client) -> web.Response:
        content = await self.intake.content(request, client)
        body = parse(CallStartBody, content)
        event = body.event()
        with self.load.accepting():
            record = await self.identify.on_call_start(event)
        if record is None:
            return reply(ignored_answer(event.call_id), 202)
        if body.reference is None or event.is_child:
            record, status = await self.intake.waited(request, record, _settled)
            return reply(call_answer(record, self.variables, _unless_known(record)), status)
        known, step = await self.identify.on_reference(event, body.reference)
        return await self._after_step(request, known or record, step)

    async def reference(self, request: web.Request, client: Client) -> web.Response:
        content = await self.intake.content(request, client)
        call_id = call_id_of(request, content)
        body = parse(ReferenceBody, {**content, "call_id": call_id})
        record, step = await self.identify.on_reference(body.event(call_id), body.reference)
        if record is None:
            return reply(ignored_answer(call_id), 202)
        return await self._after_step(request, record, step)

    async def _after_step(self, request: web.Request, record: Record, name: str) -> web.Response:
        def reached(current: Record) -> bool:
            return not name or current.step(name).answered

        record, status = await self.intake.waited(request, record, reached)
        step = record.step(name) if name else None
        return reply(call_answer(record, self.variables, step), status)

    async def tracking_email(self, request: web.Request, client: Client) -> web.Response:
        content = await self.intake.content(request, client)
        call_id = call_id_of(request, content)
        parse(CallBody, {**content, "call_id": call_id})
        record = await self.notify.on_tracking_email(call_id)
        record, status = await self.intake.message_ended(request, record, TRACKING)
        if record.message(TRACKING) is None:
            self.notify.check(record)
        return reply(message_answer(record), status)

    async def end(self, request: web.Request, client: Client) -> web.Response:
        content = await self.intake.content(request, client)
        call_id = call_id_of(request, content)
        body = parse(EndBody, {**content, "call_id": call_id})
        event = body.event(call_id)
        record = None
        if not event.is_child:
            record = await self.finish.on_end(call_id, body.disposition)
        if record is None:
            return reply(Ignored())
        return reply(call_answer(record, self.variables))

    async def list(self, request: web.Request, client: Client) -> web.Response:
        if request.query.get("state", "active") != "active":
            raise BadInputError("state can only be active")
        limit = whole(request, "limit", LIST_LIMIT, LIST_LIMIT)
        if limit < 1:
            raise BadInputError("limit must be at least 1")
        records = await self.watch.active(limit, _position(request.query.get("cursor")))
        plain = "admin" in client.scopes
        views = [call_view(record, self.variables, plain=plain) for record in records]
        following = _cursor(Position.of(records[-1])) if len(records) == limit else None
        return reply(CallList(calls=views, cursor=following))

    async def show(self, request: web.Request, client: Client) -> web.Response:
        record = await self._known(request)
        plain = "admin" in client.scopes
        return reply(call_view(record, self.variables, plain=plain))

    async def trace(self, request: web.Request, client: Client) -> web.Response:  # noqa: ARG002 - one signature for all
        record = await self._known(request)
        notes = await self.watch.trace(record.id)
        lines = [{**note, "at": moment(note["at"])} for note in notes]
        return reply(TraceView(call_id=record.id, trace=lines))

    async def _known(self, request: web.Request) -> Record:
        record = await self.watch.find(checked_id(request.match_info["call_id"]))
        if record is None:
            raise UnknownCallError("no record of this call")
        return record


def _settled(record: Record) -> bool:
    return all(step.answered for step in record.steps)


def _unless_known(record: Record) -> Any:
    """The step that is still pending, if the call shows nothing yet."""
    return record.steps[-1] if record.shown is None and record.steps else None


def _cursor(position: Position) -> str:
    return f"{position.received_ms}-{position.call_id}"


def _position(cursor: str | None) -> Position | None:
    """What a page begins after, as the page before it said."""
    if not cursor:
        return None
    parts = _CURSOR.fullmatch(cursor)
    if parts is None:
        raise BadInputError("cursor is not one of ours")
    return Position(int(parts[1]), parts[2])

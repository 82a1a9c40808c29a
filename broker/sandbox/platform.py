"""The platform's calls and sessions, in the shapes of the babelforce API v2."""

from __future__ import annotations

import json
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.sandbox.personas import digits_of
from broker.sandbox.platform_wire import RefusedError, json_object, timestamp
from broker.sandbox.state import Call, Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.sandbox.state import SandboxState

MAX_PER_PAGE = 100


class Platform:
    """Stands in for `/api/v2/calls` and `/api/v2/sessions`.

    A call has three ids: its own, its session's and its conversation's. Each is accepted only
    where it belongs, unless the fault mode `call_id_is_session` says otherwise.
    """

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/calls/reporting", self.list_calls),
            web.get("/calls/{id}", self.get_call),
            web.put("/calls/{id}/session/set", self.set_app_variables),
            web.post("/calls/{id}/hangup", self.hang_up),
            web.post("/sessions", self.create_session),
            web.get("/sessions/{id}", self.get_session),
            web.put("/sessions/{id}", self.update_session),
        ]

    async def list_calls(self, request: web.Request) -> web.Response:
        """The platform's way to view active calls: `?state=in-progress`; newest first."""
        wanted = [call for call in self._state.calls if _fits(call, request.query)][::-1]
        per_page = _positive(request.query.get("max"), MAX_PER_PAGE)
        page = _positive(request.query.get("page"), 1)
        first = (page - 1) * per_page
        return web.json_response(
            {
                "items": [_call_item(call) for call in wanted[first : first + per_page]],
                "pagination": {
                    "pages": max(1, math.ceil(len(wanted) / per_page)),
                    "total": len(wanted),
                    "current": page,
                    "max": per_page,
                    "maxResults": per_page,
                },
            }
        )

    async def get_call(self, request: web.Request) -> web.Response:
        return web.json_response({"item": _call_item(self._call(request)), "success": True})

    async def set_app_variables(self, request: web.Request) -> web.Response:
        """Keeps only names that begin with `app.`; says success either way, as documented."""
        call = self._call(request)
        variables = (await json_object(request)).get("variables", {})
        if not isinstance(variables, dict):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "variables must be an object")
        call.session.merge(variables, "calls")
        return web.json_response({"success": True})

    async def hang_up(self, request: web.Request) -> web.Response:
        """`success` is false, with 200, if the call was over already."""
        call = self._call(request)
        success = call.hang_up("system-hangup")
        return web.json_response({"item": _call_item(call), "success": success})

    async def create_session(self, _request: web.Request) -> web.Response:
        session = Session()
        self._state.calls.add_session(session)
        return self._session_answer(session)

    async def get_session(self, request: web.Request) -> web.Response:
        return self._session_answer(self._session(request))

    async def update_session(self, request: web.Request) -> web.Response:
        """Merges a flat map; after the hang-up nothing is kept and `valid` is false."""
        session = self._session(request)
        session.merge(await json_object(request), "sessions")
        return self._session_answer(session)

    def _call(self, request: web.Request) -> Call:
        call = self._state.calls.get(request.match_info["id"])
        if call is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "No such call")
        return call

    def _session(self, request: web.Request) -> Session:
        wanted = request.match_info["id"]
        session = self._state.calls.session(wanted)
        if session is None and self._state.faults.plan.platform.call_id_is_session:
            call = self._state.calls.get(wanted)
            session = call.session if call is not None else None
        if session is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "No such session")
        session.touch()
        return session

    def _session_answer(self, session: Session) -> web.Response:
        item = {
            "id": session.id,
            "valid": session.valid,
            "created": session.created,
            "last_access": session.last_access,
            "data": _shown(session.data, self._state.faults.plan.platform.session_data),
        }
        return web.json_response({"item": item, "success": True})


def _shown(data: Mapping[str, Any], form: str) -> Mapping[str, Any] | str:
    """The variables in one of the forms that the platform's documentation allows for."""
    if form == "text":
        return json.dumps(data)
    if form == "flat":
        return data
    nested: dict[str, Any] = {}
    for name, value in data.items():
        scope, dot, rest = name.partition(".")
        if dot:
            nested.setdefault(scope, {})[rest] = value
        else:
            nested[name] = value
    return nested


def _call_item(call: Call) -> dict[str, Any]:
    session = call.session
    over_at = session.ends if call.over else None
    item = {
        "id": call.id,
        "sessionId": session.id,
        "conversationId": call.conversation_id,
        "dateCreated": timestamp(session.created),
        "dateEstablished": timestamp(session.created),
        "state": "completed" if call.over else "in-progress",
        "type": "inbound",
        # What the platform shows for a withheld number is not documented; the key is required.
        "from": call.from_ or "anonymous",
        "to": call.to,
        "source": "queue",
        "domain": "external",
        "duration": int((over_at or session.last_access) - session.created),
        "anonymous": call.from_ is None,
    }
    if over_at is not None:
        item |= {"dateFinished": timestamp(over_at), "finishReason": call.finish_reason}
    return item


def _fits(call: Call, query: Mapping[str, str]) -> bool:
    item = _call_item(call)
    states = _filter(query, "state")
    callers = {digits_of(number) for number in _filter(query, "from", "fromNumber")}
    called = {digits_of(number) for number in _filter(query, "to", "toNumber")}
    return (
        (not states or item["state"] in states)
        and (not callers or digits_of(item["from"]) in callers)
        and (not called or digits_of(item["to"]) in called)
    )


def _filter(query: Mapping[str, str], *names: str) -> set[str]:
    """All values given for a filter, under any of its names, with or without `filters.`."""
    spellings = {*names, *(f"filters.{name}" for name in names)}
    return {value for name, value in query.items() if name in spellings}


def _positive(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not text.isdecimal() or int(text) < 1:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "page and max must be positive integers")
    return int(text)

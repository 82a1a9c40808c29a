"""What the platform can be told: pushes to agents and events of conversations, as in its API v2."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.sandbox.platform_wire import RefusedError, json_object, timestamp
from broker.sandbox.state import Sent, new_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.sandbox.state import Call, SandboxState

LONGEST = 250
"""Characters of a pushed message, as the API's description says."""


class PlatformTold:
    """Stands in for `/api/v2/agents/push` and `/api/v2/conversations/{id}/events`.

    Any agent exists. A conversation is known by its own id only, not by its call's.
    """

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/agents/push", self.push),
            web.post("/conversations/{id}/events", self.add_event),
            web.get("/conversations/{id}/events", self.events),
        ]

    async def push(self, request: web.Request) -> web.Response:
        """In the outbox at once, as kind `push` to the agent's id."""
        body = await json_object(request)
        message, agent = body.get("message"), body.get("agentId")
        if not isinstance(message, str) or not 1 <= len(message) <= LONGEST:
            raise RefusedError(HTTPStatus.BAD_REQUEST, f"message must have 1-{LONGEST} characters")
        if not isinstance(agent, str) or not agent:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "agentId must be given")
        self._state.outbox.append(Sent("push", agent, {"text": message, "data": _data(body)}))
        return web.json_response({"success": True, "message": "pushed"})

    async def add_event(self, request: web.Request) -> web.Response:
        call = self._conversation(request)
        body = await json_object(request)
        name = body.get("name")
        if not isinstance(name, str) or not name:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "name must be given")
        event = {
            "id": new_id(),
            "conversationId": call.conversation_id,
            "type": "external",
            "name": name,
            "dateCreated": timestamp(time.time()),
        }
        call.events.append({**event, "data": _data(body)})
        return web.json_response({"item": event, "success": True})

    async def events(self, request: web.Request) -> web.Response:
        """Newest first. Whether and where the platform shows an event's data is not documented."""
        events = [
            {key: value for key, value in event.items() if key != "data"}
            for event in reversed(self._conversation(request).events)
        ]
        pagination = {"pages": 1, "total": len(events), "current": 1, "max": 100, "maxResults": 100}
        return web.json_response({"items": events, "pagination": pagination})

    def _conversation(self, request: web.Request) -> Call:
        call = self._state.calls.conversation(request.match_info["id"])
        if call is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "No such conversation")
        return call


def _data(body: Mapping[str, Any]) -> dict[str, Any]:
    data = body.get("data", {})
    if not isinstance(data, dict):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "data must be an object")
    return data

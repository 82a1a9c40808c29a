"""The platform's SMS, metrics, business hours and ping, in the shapes of the babelforce API v2."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.sandbox.personas import HOTLINE
from broker.sandbox.platform_wire import RefusedError, json_object, timestamp
from broker.sandbox.state import Sent, new_id

if TYPE_CHECKING:
    from broker.sandbox.state import SandboxState

METRICS = {
    "agents.total": 5,
    "agents.state.available.total": 3,
    "queues.calls.waiting.total": 2,
    "queues.expected.wait-time.avg": 45,
    "queues.wait-time.avg": 30,
}
"""A quiet afternoon: five agents, three free, two callers waiting (times assumed in seconds)."""
_DAY_S = 86_400
_WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class PlatformMore:
    """Stands in for `/api/v2/sms`, `/api/v2/metrics`, `/api/v2/business-hours`, `/api/v2/ping`."""

    def __init__(self, state: SandboxState) -> None:
        self._state = state
        self._hours_id = new_id()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/sms", self.send_sms),
            web.get("/sms/{id}", self.get_sms),
            web.get("/metrics/{id}", self.metric),
            web.get("/business-hours", self.business_hours),
            web.get("/ping", self.ping),
        ]

    async def send_sms(self, request: web.Request) -> web.Response:
        """Queues the message; it is in the outbox at once, and `sent` when asked for later."""
        body = await json_object(request)
        if not all(isinstance(body.get(key), str) and body[key] for key in ("to", "text")):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "to and text must be given")
        content = {
            "from": body.get("from") or HOTLINE,
            "text": body["text"],
            "display_as": body.get("displayAs"),
            "session": body.get("session") or {},
            "conversation_id": new_id(),
        }
        message = Sent("sms", body["to"], content)
        self._state.outbox.append(message)
        return web.json_response({"item": _sms_item(message, "queued"), "success": True})

    async def get_sms(self, request: web.Request) -> web.Response:
        wanted = request.match_info["id"]
        for message in self._state.outbox:
            if message.kind == "sms" and message.id == wanted:
                return web.json_response({"item": _sms_item(message, "sent"), "success": True})
        raise RefusedError(HTTPStatus.NOT_FOUND, "No such SMS")

    async def metric(self, request: web.Request) -> web.Response:
        metric_id = request.match_info["id"]
        if metric_id not in METRICS:
            raise RefusedError(HTTPStatus.NOT_FOUND, "No such metric")
        today = time.time() // _DAY_S * _DAY_S
        time_range = {
            "value": "TODAY",
            "duration": _DAY_S,
            "from": timestamp(today),
            "to": timestamp(today + _DAY_S),
        }
        return web.json_response(
            {
                "id": metric_id,
                "type": "number",
                "metric": {"value": METRICS[metric_id]},
                "request": {"id": metric_id, "runtime": 1, "timeRange": time_range},
                "success": True,
            }
        )

    async def business_hours(self, _request: web.Request) -> web.Response:
        """One profile, open around the clock."""
        profile = {
            "id": self._hours_id,
            "name": "Support line hours",
            "enabled": True,
            "active": True,
            "timeZone": "Europe/Berlin",
            "ranges": [_whole_day(day) for day in _WEEK],
        }
        pagination = {"pages": 1, "total": 1, "current": 1, "max": 100, "maxResults": 100}
        return web.json_response({"items": [profile], "pagination": pagination})

    async def ping(self, _request: web.Request) -> web.Response:
        return web.json_response({"item": {"message": "pong"}, "success": True})


def _whole_day(day: str) -> dict[str, Any]:
    start = {"day": day, "hour": 0, "minute": 0}
    return {"id": new_id(), "start": start, "end": {"day": day, "hour": 23, "minute": 59}}


def _sms_item(message: Sent, state: str) -> dict[str, Any]:
    return {
        "id": message.id,
        "conversationId": message.content["conversation_id"],
        "dateCreated": timestamp(message.sent_at),
        "type": "outbound",
        "from": message.content["from"],
        "to": message.to,
        "text": message.content["text"],
        "state": state,
        "source": "api",
    }

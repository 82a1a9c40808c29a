"""Every driver, and the fake that stands for them in use-case tests, keeps the kit's promises."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from broker.domain.figures import EVERY_NUMBER, Figures
from broker.http_client import open_session
from broker.platforms.answer import AnswerPlatform
from broker.platforms.babelforce import BabelforceOptions, BabelforcePlatform
from broker.ports import Clock, Options
from broker.testing.fake_platform import FakePlatform
from broker.testing.loopback import LOOPBACK
from broker.testing.platform_kit import (
    CallPlatformKit,
    CountingPlatformKit,
    TellingPlatformKit,
    WritingPlatformKit,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from broker.ports import CallPlatform, Variable

FOREVER_S = 3600.0


class TestAnswer(CallPlatformKit):
    @pytest.fixture
    async def platform(self) -> AsyncIterator[CallPlatform]:
        async with open_session(LOOPBACK) as http:
            yield AnswerPlatform(Options(), http)


class RealClock(Clock):
    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class TestFake(CountingPlatformKit, WritingPlatformKit):
    @pytest.fixture(autouse=True)
    def _fake(self) -> None:
        calls = (self.call, self.other, self.ended)
        self.fake = FakePlatform(RealClock(), known={str(call.session_id) for call in calls})
        self.fake.pops_screens = self.fake.logs_back = self.fake.tells_figures = True
        self.fake.end(str(self.ended.session_id))

    @pytest.fixture
    def platform(self) -> CallPlatform:
        return self.fake

    async def stored(self, session_id: str) -> Mapping[str, Variable]:
        return self.fake.sessions[session_id]

    async def hang(self) -> None:
        self.fake.delay_s = FOREVER_S

    async def recover(self) -> None:
        self.fake.delay_s = 0.0

    async def stand(self, *, wait_s: float, agents: int, is_open: bool) -> None:
        self.fake.now = Figures(wait_s, agents, {EVERY_NUMBER: is_open})


class Babelforce:
    """As much of the API as the driver uses, with sessions that remember."""

    def __init__(self, session_of: dict[str, str], ended: set[str]) -> None:
        self.session_of = session_of
        self.ended = ended
        self.sessions: dict[str, dict[str, Any]] = {s: {} for s in session_of.values()}
        self.hanging = False
        self.losing = False
        self.pushes: list[dict[str, Any]] = []
        self.events: dict[str, list[dict[str, Any]]] = {}
        """Conversation id -> its events."""
        self.metrics: dict[str, object] = {}
        self.is_open = True

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._let_in])
        app.router.add_post("/oauth/token", self._token)
        app.router.add_get("/api/v2/ping", self._pong)
        app.router.add_get("/api/v2/calls/{id}", self._call)
        app.router.add_put("/api/v2/sessions/{id}", self._put)
        app.router.add_get("/api/v2/metrics/{id}", self._metric)
        app.router.add_get("/api/v2/business-hours", self._hours)
        app.router.add_post("/api/v2/agents/push", self._push)
        app.router.add_post("/api/v2/conversations/{id}/events", self._event)
        return app

    @web.middleware
    async def _let_in(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self.hanging:
            await asyncio.sleep(FOREVER_S)
        if request.path != "/oauth/token" and request.headers.get("Authorization") != "Bearer t1":
            return web.json_response({"code": "UNAUTHORIZED"}, status=401)
        answer: web.StreamResponse = await handler(request)
        told = request.method == "POST" and request.path != "/oauth/token"
        if self.losing and told and request.transport is not None:
            request.transport.abort()
        return answer

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        wanted = {
            "grant_type": "password",
            "username": "agent@example.com",
            "password": "secret",
            "client_id": "manager",
        }
        if dict(form) != wanted:
            return web.json_response({"error": "invalid_grant"}, status=400)
        return web.json_response({"access_token": "t1", "token_type": "bearer"})

    async def _pong(self, _: web.Request) -> web.Response:
        return web.json_response({"item": "pong", "success": True})

    async def _call(self, request: web.Request) -> web.Response:
        call_id = request.match_info["id"]
        if call_id not in self.session_of:
            return web.json_response({"code": "NOT_FOUND"}, status=404)
        item = {
            "id": call_id,
            "sessionId": self.session_of[call_id],
            "conversationId": conversation_of(call_id),
        }
        return web.json_response({"item": item, "success": True})

    async def _metric(self, request: web.Request) -> web.Response:
        value = self.metrics[request.match_info["id"]]
        return web.json_response({"metric": {"value": value}, "success": True})

    async def _hours(self, _: web.Request) -> web.Response:
        profile = {"id": "b" * 32, "name": "Line", "enabled": True, "active": self.is_open}
        return web.json_response({"items": [profile]})

    async def _push(self, request: web.Request) -> web.Response:
        self.pushes.append(await request.json())
        return web.json_response({"success": True})

    async def _event(self, request: web.Request) -> web.Response:
        conversation_id = request.match_info["id"]
        if conversation_id not in map(conversation_of, self.session_of):
            return web.json_response({"code": "NOT_FOUND"}, status=404)
        event = await request.json()
        self.events.setdefault(conversation_id, []).append(event)
        return web.json_response({"item": {"name": event["name"]}, "success": True})

    async def _put(self, request: web.Request) -> web.Response:
        session_id = request.match_info["id"]
        if session_id not in self.sessions:
            return web.json_response({"code": "NOT_FOUND"}, status=404)
        valid = session_id not in self.ended
        data = self.sessions[session_id]
        if valid:
            data |= await request.json()
        item = {"id": session_id, "valid": valid, "data": data}
        return web.json_response({"item": item, "success": True})


def conversation_of(call_id: str) -> str:
    """A third id, which is neither the call's nor the session's."""
    return "70" + call_id[2:]


class TestBabelforce(TellingPlatformKit, CountingPlatformKit, WritingPlatformKit):
    @pytest.fixture
    async def platform(self) -> AsyncIterator[CallPlatform]:
        calls = (self.call, self.other, self.ended)
        self.remote = Babelforce(
            {call.call_id: str(call.session_id) for call in calls},
            ended={str(self.ended.session_id)},
        )
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(
                TestServer(self.remote.application(), shutdown_timeout=0.0)
            )
            http = await stack.enter_async_context(open_session(LOOPBACK))
            auth = {"username": "agent@example.com", "password": "secret\n"}
            options = BabelforceOptions.model_validate(
                {
                    "base_url": str(server.make_url("/")),
                    "auth": auth,
                    "screen_pop": True,
                    "log_back": True,
                    "live_figures": True,
                }
            )
            platform = BabelforcePlatform(options, http)
            stack.push_async_callback(platform.aclose)
            yield platform

    async def stored(self, session_id: str) -> Mapping[str, Variable]:
        return self.remote.sessions[session_id]

    async def hang(self) -> None:
        self.remote.hanging = True

    async def recover(self) -> None:
        self.remote.hanging = False

    async def stand(self, *, wait_s: float, agents: int, is_open: bool) -> None:
        self.remote.metrics = {
            "queues.expected.wait-time.avg": wait_s,
            "agents.state.available.total": agents,
        }
        self.remote.is_open = is_open

    async def lose_answers(self) -> None:
        self.remote.losing = True

    async def shown(self) -> list[tuple[str, str, Mapping[str, object]]]:
        assert not [push for push in self.remote.pushes if push["broadcast"]]
        return [(push["agentId"], push["message"], push["data"]) for push in self.remote.pushes]

    async def recorded(self, call_id: str) -> list[Mapping[str, object]]:
        return [event["data"] for event in self.remote.events.get(conversation_of(call_id), [])]

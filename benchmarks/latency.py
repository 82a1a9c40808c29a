"""How soon a call is served at a steady pace: till the answer, and till its session is written."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

import aiohttp
from aiohttp import web

from benchmarks.contender import running

if TYPE_CHECKING:
    from benchmarks.contender import Contender
    from benchmarks.stubs import World

RATE = 200
WARM_UP_S = 2.0


@dataclass(slots=True)
class Call:
    """Seconds on one clock: when the call was due, sent, answered and written."""

    due: float
    sent: float = 0.0
    answered: float = 0.0
    written: float = 0.0


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of the calls of one run."""

    answered: list[float]
    written: list[float]
    lag: list[float]
    """How much too late the generator itself was."""
    lost: int
    """Calls without answer or without write."""


@dataclass(slots=True)
class Sessions:
    """The platform's side: notes when a session is written first."""

    calls: dict[str, Call] = field(default_factory=dict)

    async def write(self, request: web.Request) -> web.Response:
        await request.read()
        session_id = request.match_info["session_id"]
        call = self.calls[session_id]
        call.written = call.written or time.monotonic()
        body = f'{{"success":true,"item":{{"id":"{session_id}","valid":true}}}}'
        return web.Response(text=body, content_type="application/json")

    async def ping(self, _: web.Request) -> web.Response:
        return web.json_response({"success": True})

    async def serve(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/api/v2/ping", self.ping)
        app.router.add_put("/api/v2/sessions/{session_id}", self.write)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner


async def measure(contender: Contender, world: World, seconds: float) -> Latency:
    """Open loop, Poisson arrivals: a slow answer does not slow the next call down."""
    sessions = Sessions()
    runner = await sessions.serve()
    try:
        host, port = runner.addresses[0][:2]
        with running(contender, world, f"http://{host}:{port}") as server:
            async with aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), headers=contender.headers
            ) as http:
                await _generate(http, server.url, sessions, WARM_UP_S + seconds)
    finally:
        await runner.cleanup()
    calls = list(sessions.calls.values())
    return _summary([call for call in calls if call.due > calls[0].due + WARM_UP_S])


async def _generate(
    http: aiohttp.ClientSession, url: str, sessions: Sessions, seconds: float
) -> None:
    arrivals = random.Random(7)  # noqa: S311 - the same arrivals for every contender
    due = time.monotonic()
    end = due + seconds
    async with asyncio.TaskGroup() as calls:
        while (due := due + arrivals.expovariate(RATE)) < end:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            session_id = uuid4().hex
            call = sessions.calls[session_id] = Call(due)
            calls.create_task(_call(http, url, session_id, call, arrivals.randrange(10**8)))
    await asyncio.sleep(0.5)  # an answer at once may come before its write


async def _call(
    http: aiohttp.ClientSession, url: str, session_id: str, call: Call, number: int
) -> None:
    body = {"call_id": uuid4().hex, "session_id": session_id, "from": f"+49151{number:08d}"}
    call.sent = time.monotonic()
    with contextlib.suppress(aiohttp.ClientError):  # the call counts as lost
        async with http.post(url, json=body) as answer:
            await answer.read()
            if answer.ok:
                call.answered = time.monotonic()


def _summary(calls: list[Call]) -> Latency:
    served = [call for call in calls if call.answered and call.written]
    return Latency(
        answered=[(call.answered - call.sent) * 1000 for call in served],
        written=[(call.written - call.sent) * 1000 for call in served],
        lag=[(call.sent - call.due) * 1000 for call in served],
        lost=len(calls) - len(served),
    )

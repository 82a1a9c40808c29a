"""The least that can be done for a call with aiohttp: look up, write, answer, remember nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import aiohttp
import orjson
import uvloop
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CRM = os.environ["BENCH_CRM"]
SESSIONS = os.environ["BENCH_SESSIONS"]
HTTP = web.AppKey("HTTP", aiohttp.ClientSession)


async def call_started(request: web.Request) -> web.Response:
    call = orjson.loads(await request.read())
    http = request.app[HTTP]
    async with http.get(f"{CRM}/customers/{call['from']}") as answer:
        customer = orjson.loads(await answer.read())
    variables = {
        "ivr.email": customer["email"],
        "ivr.premium": customer["premium"],
        "ivr.track_id": customer["track_id"],
        "ivr.lookup": "found",
        "ivr.route": "premium" if customer["premium"] else "self_service",
    }
    async with http.put(
        f"{SESSIONS}/api/v2/sessions/{call['session_id']}",
        data=orjson.dumps(variables),
        headers={"Content-Type": "application/json"},
    ) as answer:
        await answer.read()
    body = orjson.dumps({"success": True, "call_id": call["call_id"], "session": variables})
    return web.Response(body=body, content_type="application/json")


async def client(app: web.Application) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as app[HTTP]:
        yield


def application() -> web.Application:
    app = web.Application()
    app.cleanup_ctx.append(client)
    app.router.add_post("/v1/calls", call_started)
    return app


if __name__ == "__main__":
    web.run_app(
        application(),
        host="127.0.0.1",
        port=int(os.environ["BENCH_PORT"]),
        access_log=None,
        loop=uvloop.new_event_loop(),
        print=None,
    )

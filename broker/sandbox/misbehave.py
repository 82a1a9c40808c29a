"""The middleware that makes an HTTP part of the sandbox misbehave as its fault says."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

    from broker.sandbox.faults import Faults, HttpFault, Part


def misbehaving(faults: Faults, part: Part) -> Middleware:
    """Every request to `part` passes here first."""

    @web.middleware
    async def misbehave(request: web.Request, handler: Handler) -> web.StreamResponse:
        fault = faults.take_http(part, request.path)
        await asyncio.sleep(fault.delay_ms / 1000)
        if fault.status is not None:
            return _error(fault.status, fault.retry_after_s)
        if fault.answer == "cut":
            return await _cut(request, await handler(request))
        if fault.answer is not None:
            return _instead(request, fault)
        return await handler(request)

    return misbehave


def _error(status: int, retry_after_s: int | None) -> web.Response:
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    code = HTTPStatus(status).name if status in set(HTTPStatus) else "UNKNOWN"
    body = {"code": code, "message": "a fault was asked for"}
    return web.json_response(body, status=status, headers=headers)


def _instead(request: web.Request, fault: HttpFault) -> web.Response:
    if fault.answer == "reset":
        _reset(request)
    if fault.answer == "html":
        return web.Response(text="<h1>It works!</h1>", content_type="text/html")
    return web.json_response({"success": False})


async def _cut(request: web.Request, answer: web.StreamResponse) -> web.StreamResponse:
    body = answer.body if isinstance(answer, web.Response) else None
    whole = body if isinstance(body, bytes) else b"{}"
    partial = web.StreamResponse(status=answer.status)
    partial.content_type = answer.content_type
    partial.content_length = len(whole)
    await partial.prepare(request)
    await partial.write(whole[: len(whole) // 2])
    _reset(request)
    return partial


def _reset(request: web.Request) -> None:
    """Whatever is sent after this never leaves."""
    if request.transport is not None:
        request.transport.abort()

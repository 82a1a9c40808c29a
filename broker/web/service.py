"""The aiohttp application: the route table behind keys, one error shape, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from broker.ports import store_answers_within
from broker.web.answers import json_reply
from broker.web.openapi import describe
from broker.web.problems import problems
from broker.web.routes import ROUTES, Handlers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from broker.metrics import Metrics
    from broker.web.auth import Doorkeeper
    from broker.web.calls import CallRoutes
    from broker.web.ops import Ops
    from broker.web.pages import Pages
    from broker.web.routes import Route


_STORE_ANSWERS_WITHIN_S = 0.15
"""All of the store's answers for one request, so that a refusal comes within 200 ms."""


def build_service(  # noqa: PLR0913 - the parts of the service
    calls: CallRoutes,
    pages: Pages,
    ops: Ops,
    doorkeeper: Doorkeeper,
    metrics: Metrics,
    *,
    version: str,
    max_body_bytes: int,
) -> web.Application:
    """An application that serves every route of the table."""
    service = web.Application(
        middlewares=[problems(metrics)],
        client_max_size=max_body_bytes,
        # Encoded bodies are refused, so nobody may make us unpack them, or fail at it, before.
        handler_args={"auto_decompress": False},
    )

    async def openapi(request: web.Request) -> web.Response:  # noqa: ARG001 - a handler's signature
        return json_reply(document)

    document = describe(ROUTES, version)
    handlers = Handlers(calls, pages, ops, openapi)
    for route in ROUTES:
        handler = _guarded(route, handlers, doorkeeper)
        service.router.add_route(route.method, route.path, handler)
        if route.method == "GET":
            service.router.add_route("HEAD", route.path, handler)
    return service


def _guarded(
    route: Route, handlers: Handlers, doorkeeper: Doorkeeper
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    scope, handler = route.scope, route.handler(handlers)
    if scope is None:
        return handler

    async def keyed(request: web.Request) -> web.StreamResponse:
        store_answers_within(_STORE_ANSWERS_WITHIN_S)
        response: web.StreamResponse = await handler(request, doorkeeper.admit(request, scope))
        return response

    return keyed

"""The aiohttp application: the route table behind keys, one error shape, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from broker.ports import store_answers_within
from broker.web.answers import json_reply
from broker.web.openapi import describe
from broker.web.payloads import STORE_ANSWERS_WITHIN_S
from broker.web.problems import RETRY_SOON, problem, problems
from broker.web.routes import ROUTES, Handlers

if TYPE_CHECKING:
    from broker.metrics import Metrics
    from broker.web.adereso import AderesoRoutes
    from broker.web.auth import Doorkeeper
    from broker.web.cache import CacheRoutes
    from broker.web.callbacks import CallbackRoutes
    from broker.web.calls import CallRoutes
    from broker.web.contexts import ContextRoutes
    from broker.web.deflections import DeflectionRoutes
    from broker.web.erasures import ErasureRoutes
    from broker.web.load import Load
    from broker.web.ops import Ops
    from broker.web.pages import Pages
    from broker.web.problems import Handler
    from broker.web.routes import Route
    from broker.web.twilio import TwilioRoutes


def build_service(  # noqa: PLR0913, PLR0917 - the parts of the service
    calls: CallRoutes,
    deflections: DeflectionRoutes,
    adereso: AderesoRoutes,
    contexts: ContextRoutes,
    callbacks: CallbackRoutes,
    twilio: TwilioRoutes,
    erasures: ErasureRoutes,
    cache: CacheRoutes,
    pages: Pages,
    ops: Ops,
    doorkeeper: Doorkeeper,
    metrics: Metrics,
    load: Load,
    *,
    version: str,
    max_body_bytes: int,
) -> web.Application:
    """An application that serves every route of the table."""
    service = web.Application(middlewares=[problems(metrics)], client_max_size=max_body_bytes)

    async def openapi(request: web.Request) -> web.Response:  # noqa: ARG001 - a handler's signature
        return json_reply(document)

    document = describe(ROUTES, version)
    handlers = Handlers(
        calls,
        deflections,
        adereso,
        contexts,
        callbacks,
        twilio,
        erasures,
        cache,
        pages,
        ops,
        openapi,
    )
    for route in ROUTES:
        handler = _guarded(route, handlers, doorkeeper)
        if route.sheds:
            handler = _shedding(handler, load, metrics)
        service.router.add_route(route.method, route.path, handler)
        if route.method == "GET":
            service.router.add_route("HEAD", route.path, handler)
    return service


def _guarded(route: Route, handlers: Handlers, doorkeeper: Doorkeeper) -> Handler:
    scope, handler = route.scope, route.handler(handlers)
    if scope is None:
        return handler

    async def keyed(request: web.Request) -> web.StreamResponse:
        store_answers_within(STORE_ANSWERS_WITHIN_S)
        response: web.StreamResponse = await handler(
            request, await doorkeeper.admit(request, scope)
        )
        return response

    return keyed


def _shedding(handler: Handler, load: Load, metrics: Metrics) -> Handler:
    """`handler`, while there is room; most are refused before, see `inbound`."""

    async def shedding(request: web.Request) -> web.StreamResponse:
        if load.full:
            metrics.shed.inc()
            return problem("overloaded", headers=RETRY_SOON)
        return await handler(request)

    return shedding

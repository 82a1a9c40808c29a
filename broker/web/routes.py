"""The table of all routes: what serves them, who may, what they take and answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from broker.web.answers import (
    CallAnswer,
    CallList,
    CallView,
    ErasedAnswer,
    Ignored,
    InvalidatedAnswer,
    MessageAnswer,
    TraceView,
)
from broker.web.payloads import (
    CallBody,
    CallStartBody,
    EndBody,
    ErasureBody,
    InvalidationBody,
    ReferenceBody,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

    from broker.web.cache import CacheRoutes
    from broker.web.calls import CallRoutes
    from broker.web.erasures import ErasureRoutes
    from broker.web.ops import Ops
    from broker.web.pages import Pages

Handler = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Handlers:
    """Who serves the routes."""

    calls: CallRoutes
    erasures: ErasureRoutes
    cache: CacheRoutes
    pages: Pages
    ops: Ops
    openapi: Handler


@dataclass(frozen=True, slots=True)
class Route:
    """One route. Without `scope` it needs no key, and its handler gets no client."""

    method: str
    path: str
    handler: Callable[[Handlers], Handler]
    summary: str
    scope: str | None = None
    body: type[BaseModel] | None = None
    answers: tuple[tuple[int, type[BaseModel] | str], ...] = ()
    """Status -> model, or the media type of what has none."""
    refusals: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    sheds: bool = False
    """Whether it brings new work, which is refused first when there is too much."""


_BODY = ("invalid_body", "invalid_id", "missing_field", "too_large", "encoding")
_STORE = ("store_unavailable",)
_KEYED = ("unauthorized", "scope", "signature")
_ANSWERED = ((200, CallAnswer), (202, CallAnswer))
_POSTED = (*_BODY, *_KEYED, "idempotency_conflict", *_STORE)

ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/v1/calls",
        lambda on: on.calls.start,
        "A call starts: accept it, look the caller up, write the answer into his session.",
        "calls",
        CallStartBody,
        _ANSWERED,
        (*_POSTED, "overloaded"),
        ("wait_ms",),
        sheds=True,
    ),
    Route(
        "POST",
        "/v1/calls/{call_id}/reference",
        lambda on: on.calls.reference,
        "The caller typed a reference: look again.",
        "calls",
        ReferenceBody,
        _ANSWERED,
        _POSTED,
        ("wait_ms",),
    ),
    Route(
        "POST",
        "/v1/calls/{call_id}/tracking-email",
        lambda on: on.calls.tracking_email,
        "Send the tracking email now, once per call.",
        "calls",
        CallBody,
        ((200, MessageAnswer), (202, MessageAnswer)),
        (*_POSTED, "unknown_call", "nothing_to_send", "sent_by_platform", "switched_off"),
        ("wait_ms",),
    ),
    Route(
        "POST",
        "/v1/calls/{call_id}/end",
        lambda on: on.calls.end,
        "The call ended. A child leg or an unknown call is ignored.",
        "calls",
        EndBody,
        ((200, CallAnswer), (200, Ignored)),
        _POSTED,
    ),
    Route(
        "GET",
        "/v1/calls",
        lambda on: on.calls.list,
        "Live calls, newest first.",
        "read",
        answers=((200, CallList),),
        refusals=("invalid_body", *_KEYED, *_STORE),
        query=("state", "limit", "cursor"),
    ),
    Route(
        "GET",
        "/v1/calls/{call_id}",
        lambda on: on.calls.show,
        "One call with its steps, variables and messages.",
        "read",
        answers=((200, CallView),),
        refusals=("invalid_id", *_KEYED, "unknown_call", *_STORE),
    ),
    Route(
        "GET",
        "/v1/calls/{call_id}/trace",
        lambda on: on.calls.trace,
        "What happened to one call, step by step.",
        "read",
        answers=((200, TraceView),),
        refusals=("invalid_id", *_KEYED, "unknown_call", *_STORE),
    ),
    Route(
        "POST",
        "/v1/erasures",
        lambda on: on.erasures.erase,
        "Erase a person, by number or email: calls, messages, links and counters.",
        "admin",
        ErasureBody,
        ((202, ErasedAnswer),),
        ("invalid_body", "missing_field", "too_large", "encoding", *_KEYED, *_STORE),
    ),
    Route(
        "POST",
        "/v1/cache/invalidations",
        lambda on: on.cache.invalidate,
        "A CRM says that a customer changed: what is kept of him is not told any more.",
        "admin",
        InvalidationBody,
        ((202, InvalidatedAnswer),),
        ("invalid_body", "missing_field", "too_large", "encoding", *_KEYED, *_STORE),
    ),
    Route(
        "GET",
        "/t/{token}",
        lambda on: on.pages.tracking,
        "A tracking link: redirects to the order.",
        answers=((302, "text/html"), (404, "text/html")),
        refusals=_STORE,
    ),
    Route(
        "GET",
        "/livez",
        lambda on: on.ops.livez,
        "Whether the process runs.",
        answers=((200, "application/json"),),
    ),
    Route(
        "GET",
        "/readyz",
        lambda on: on.ops.readyz,
        "Whether calls can be accepted.",
        answers=((200, "application/json"), (503, "application/json")),
    ),
    Route(
        "GET",
        "/metrics",
        lambda on: on.ops.render_metrics,
        "Metrics for Prometheus.",
        answers=((200, "text/plain"),),
    ),
    Route(
        "GET",
        "/openapi.json",
        lambda on: on.openapi,
        "This description.",
        answers=((200, "application/json"),),
    ),
)

"""The table of all routes: what serves them, who may, what they take and answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from broker.web.adereso import AderesoAnswer, AderesoBody
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
from broker.web.contexts import ContextAnswer
from broker.web.deflection_answers import (
    ChoiceAnswer,
    DeflectionAnswer,
    DeflectionView,
    OfferAnswer,
)
from broker.web.payloads import (
    CallBody,
    CallStartBody,
    ChoiceBody,
    DeflectBody,
    DeflectionBody,
    EndBody,
    ErasureBody,
    InvalidationBody,
    OfferBody,
    ReferenceBody,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

    from broker.web.adereso import AderesoRoutes
    from broker.web.cache import CacheRoutes
    from broker.web.callbacks import CallbackRoutes
    from broker.web.calls import CallRoutes
    from broker.web.contexts import ContextRoutes
    from broker.web.deflections import DeflectionRoutes
    from broker.web.erasures import ErasureRoutes
    from broker.web.ops import Ops
    from broker.web.pages import Pages
    from broker.web.twilio import TwilioRoutes

Handler = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Handlers:
    """Who serves the routes."""

    calls: CallRoutes
    deflections: DeflectionRoutes
    adereso: AderesoRoutes
    contexts: ContextRoutes
    callbacks: CallbackRoutes
    twilio: TwilioRoutes
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
_CALLBACK = ("invalid_body", "signature", "not_found", "too_large", "encoding")
_TWILIO = ("voice_off", "signature", "invalid_id", "too_large", "encoding")
_DEFLECTION = ("deflection_off", "no_recipient", "unknown_channel", "unknown_template")

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
        "/v1/calls/{call_id}/offer",
        lambda on: on.deflections.offer,
        "Should this caller be offered a channel now? The rules decide.",
        "calls",
        OfferBody,
        ((200, OfferAnswer),),
        (*_POSTED, "unknown_call", "deflection_off"),
    ),
    Route(
        "POST",
        "/v1/calls/{call_id}/choice",
        lambda on: on.deflections.choice,
        "The caller pressed a key: do what it is bound to.",
        "calls",
        ChoiceBody,
        ((200, ChoiceAnswer),),
        (*_POSTED, "unknown_call", "deflection_off"),
        ("wait_ms",),
    ),
    Route(
        "POST",
        "/v1/calls/{call_id}/deflect",
        lambda on: on.deflections.of_call,
        "The caller consents: write to him on a channel, once per call.",
        "deflect",
        DeflectBody,
        ((200, DeflectionAnswer), (202, DeflectionAnswer)),
        (*_POSTED, "unknown_call", *_DEFLECTION),
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
        "/v1/deflections",
        lambda on: on.deflections.without_call,
        "Write to somebody on a channel without a call; the request is his consent.",
        "deflect",
        DeflectionBody,
        ((200, DeflectionAnswer), (202, DeflectionAnswer)),
        (*_POSTED, "overloaded", *_DEFLECTION),
        ("wait_ms",),
        sheds=True,
    ),
    Route(
        "GET",
        "/v1/deflections/{deflection_id}",
        lambda on: on.deflections.show,
        "How a deflection stands.",
        "read",
        answers=((200, DeflectionView),),
        refusals=("invalid_id", *_KEYED, "unknown_deflection", *_STORE),
    ),
    Route(
        "GET",
        "/v1/context/{handle}",
        lambda on: on.contexts.show,
        "What the agent or bot on the other channel may know of who came with this handle.",
        "read",
        answers=((200, ContextAnswer),),
        refusals=(*_KEYED, "unknown_context", *_STORE),
    ),
    Route(
        "POST",
        "/v1/compat/adereso",
        lambda on: on.adereso.ask,
        "Write to a caller, asked for in Adereso's shape; the request is his consent.",
        "deflect",
        AderesoBody,
        ((200, AderesoAnswer),),
        (*_POSTED, "overloaded", *_DEFLECTION, "sender_not_allowed"),
        ("wait_ms",),
        sheds=True,
    ),
    Route(
        "POST",
        "/v1/channels/{name}/callback",
        lambda on: on.callbacks.take,
        "A messaging provider tells what became of messages, and what people answer; he signs it.",
        answers=((200, "text/plain"),),
        refusals=(*_CALLBACK, *_STORE),
        query=("m",),
    ),
    Route(
        "GET",
        "/v1/channels/{name}/callback",
        lambda on: on.callbacks.take,
        "WhatsApp's question whether this address is meant; answered to who knows verify_token.",
        answers=((200, "text/plain"),),
        refusals=_CALLBACK,
        query=("hub.mode", "hub.verify_token", "hub.challenge"),
    ),
    Route(
        "POST",
        "/v1/twilio/voice",
        lambda on: on.twilio.voice,
        "A call comes in at Twilio: what the caller hears. Signed by Twilio.",
        answers=((200, "text/xml"),),
        refusals=_TWILIO,
    ),
    Route(
        "POST",
        "/v1/twilio/gather",
        lambda on: on.twilio.gather,
        "The caller pressed keys, or none in time: what he hears next. Signed by Twilio.",
        answers=((200, "text/xml"),),
        refusals=_TWILIO,
    ),
    Route(
        "POST",
        "/v1/twilio/status",
        lambda on: on.twilio.status,
        "A leg of the call was taken or has ended. Signed by Twilio.",
        answers=((200, "text/xml"), (204, "text/xml")),
        refusals=(*_TWILIO, *_STORE),
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
        "/d/{token}",
        lambda on: on.pages.deflection,
        "A deflection link: redirects to where the person goes on, or lets him choose.",
        answers=((200, "text/html"), (302, "text/html"), (404, "text/html")),
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

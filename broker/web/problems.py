"""Every refusal as problem+json (RFC 9457) with a stable code, in one table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from aiohttp import web

from broker.domain.errors import (
    BadInputError,
    IdempotencyConflictError,
    SignatureError,
    StoreUnavailableError,
    UnknownCallError,
)
from broker.usecases import deflect, notify

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.metrics import Metrics

log = structlog.get_logger("broker.web")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of refusal."""

    status: int
    title: str


CODES: dict[str, Kind] = {
    "invalid_body": Kind(400, "The body cannot be read"),
    "invalid_id": Kind(400, "An id has characters that ids cannot have"),
    "missing_field": Kind(400, "A required field is absent"),
    "unauthorized": Kind(401, "No valid key"),
    "scope": Kind(403, "The key may not do this"),
    "signature": Kind(403, "The request is not signed as it has to be"),
    "not_found": Kind(404, "There is nothing at this address"),
    "unknown_call": Kind(404, "The call is not known"),
    "unknown_deflection": Kind(404, "The deflection is not known"),
    "unknown_context": Kind(404, "The handle is not known, or has expired"),
    "method_not_allowed": Kind(405, "This address does not take this method"),
    "nothing_to_send": Kind(409, "There is no tracking message to send"),
    "sent_by_platform": Kind(409, "The platform sends this message"),
    "switched_off": Kind(409, "This message is switched off"),
    "voice_off": Kind(409, "There is no telephone menu"),
    "deflection_off": Kind(409, "Deflection is switched off"),
    "idempotency_conflict": Kind(409, "This idempotency key was used with other content"),
    "too_large": Kind(413, "The body is too large"),
    "encoding": Kind(415, "Encoded bodies are not read"),
    "no_recipient": Kind(422, "There is nobody to send to"),
    "sender_not_allowed": Kind(422, "Nothing is sent from this number"),
    "unknown_channel": Kind(422, "There is no such channel"),
    "unknown_template": Kind(422, "There is no such template"),
    "internal": Kind(500, "The broker failed"),
    "overloaded": Kind(503, "The call was not accepted: there is too much to do"),
    "store_unavailable": Kind(503, "The call was not accepted: the store is away"),
}
"""Stable code -> HTTP status and title; docs/errors.md says what to do about each."""


REFUSALS = {**notify.REFUSALS, **deflect.REFUSALS}
RETRY_SOON = {"Retry-After": "1"}


def problem(
    code: str, detail: str = "", *, headers: Mapping[str, str] | None = None, **more: Any
) -> web.Response:
    """The response for `code`."""
    kind = CODES[code]
    content = {"type": "about:blank", "title": kind.title, "status": kind.status, "code": code}
    if detail:
        content["detail"] = detail
    return web.Response(
        body=orjson.dumps({**content, **more}),
        status=kind.status,
        content_type="application/problem+json",
        headers=headers,
    )


def refused(error: Exception) -> web.Response:
    """The response for an error of a use case; the error itself for what is none of ours."""
    if isinstance(error, BadInputError):
        headers = {"WWW-Authenticate": "Bearer"} if error.code == "unauthorized" else None
        detail = REFUSALS.get(error.code) or str(error)
        return problem(error.code, detail, headers=headers)
    if isinstance(error, SignatureError):
        return problem("signature")
    if isinstance(error, UnknownCallError):
        return problem("unknown_call")
    if isinstance(error, IdempotencyConflictError):
        return problem("idempotency_conflict")
    if isinstance(error, StoreUnavailableError):
        return problem("store_unavailable", headers=RETRY_SOON)
    raise error


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def problems(metrics: Metrics) -> Any:
    """A middleware around every handler: whatever fails is answered in one shape."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _of_aiohttp(error)
        except web.RequestPayloadError:
            return problem("invalid_body", "the body is not what its headers say")
        except ConnectionError:
            raise  # the client is gone, or was too slow: there is nobody to answer
        except StoreUnavailableError as error:
            metrics.shed.inc()
            return refused(error)
        except Exception as error:  # noqa: BLE001 - the last line of defence
            return _of_handler(error, request)

    return middleware


def _of_aiohttp(error: web.HTTPException) -> web.StreamResponse:
    """The refusals of aiohttp itself in our shape; its redirects pass."""
    if isinstance(error, web.HTTPNotFound):
        return problem("not_found")
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return problem("method_not_allowed", headers={"Allow": allowed})
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return problem("too_large")
    raise error


def _of_handler(error: Exception, request: web.Request) -> web.Response:
    try:
        return refused(error)
    except Exception:
        log.exception("request_failed", route=_route(request))
        return problem("internal")


def _route(request: web.Request) -> str:
    """The route's pattern: the address itself may hold ids and keys."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"

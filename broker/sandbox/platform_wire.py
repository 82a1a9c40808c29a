"""What all answers of the platform's API share: the bearer check, error bodies, dates."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.sandbox.oauth import is_authorized

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

    from broker.sandbox.state import SandboxState


class RefusedError(Exception):
    """The platform answers `status` with this message."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


def guarded(state: SandboxState) -> Middleware:
    """Lets only bearers of a platform token in; every refusal is `{"code", "message"}`.

    The error body is not documented; the vendor's SDKs read it so.
    """

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_authorized(request, state):
            return _refusal(HTTPStatus.UNAUTHORIZED, "Missing, invalid or expired bearer token")
        try:
            return await handler(request)
        except RefusedError as refused:
            return _refusal(refused.status, str(refused))
        except web.HTTPException as error:
            return _refusal(HTTPStatus(error.status), error.reason)

    return guard


def _refusal(status: HTTPStatus, message: str) -> web.Response:
    return web.json_response({"code": status.name, "message": message}, status=status)


def timestamp(epoch_s: float) -> str:
    """ISO 8601 in UTC, as the REST API writes dates (automations send Unix time instead)."""
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def json_object(request: web.Request) -> dict[str, Any]:
    """The request's body; RefusedError 400 unless it is a JSON object."""
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "the body must be a JSON object")
    return body

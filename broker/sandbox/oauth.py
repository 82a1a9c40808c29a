"""The platform's door: `POST /oauth/token` and the bearer check of its API."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aiohttp import web

from broker.sandbox import credentials
from broker.sandbox.state import TOKEN_TTL_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.sandbox.state import SandboxState


class OAuth:
    """Issues tokens for the password and client_credentials grants (RFC 6749, form encoded)."""

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/token", self.token)]

    async def token(self, request: web.Request) -> web.Response:
        """200 with a token, or 400 `{error, error_description}` (never 401, as documented)."""
        form = {key: str(value) for key, value in (await request.post()).items()}
        fault = _fault(form)
        if fault is not None:
            error, description = fault
            return web.json_response({"error": error, "error_description": description}, status=400)
        return web.json_response(
            {
                "access_token": self._state.issue_token(),
                "token_type": "bearer",
                "expires_in": TOKEN_TTL_S,
                "scope": "*",
                "client_id": form["client_id"],
            }
        )


def _fault(form: Mapping[str, str]) -> tuple[str, str] | None:
    """Why no token is issued, as (error, description); None if one is."""
    grant = form.get("grant_type")
    if grant is None:
        return "invalid_request", "grant_type is missing"
    if grant == "password":
        if form.get("client_id") != credentials.PUBLIC_CLIENT:
            return "invalid_client", "unknown client_id"
        good = (credentials.USERNAME, credentials.PASSWORD)
        given = (form.get("username"), form.get("password"))
        return None if given == good else ("invalid_grant", "wrong username or password")
    if grant == "client_credentials":
        good = (credentials.CLIENT_ID, credentials.CLIENT_SECRET)
        given = (form.get("client_id"), form.get("client_secret"))
        return None if given == good else ("invalid_client", "wrong client_id or client_secret")
    return "unsupported_grant_type", "use password or client_credentials"


def bearer(request: web.Request) -> str | None:
    """The token of `Authorization: Bearer ...`, or None."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def is_authorized(request: web.Request, state: SandboxState) -> bool:
    """Whether a platform token came along; the legacy X-Auth-Access-* pair no longer counts."""
    token = bearer(request)
    if token is None:
        return False
    return token == credentials.PLATFORM_TOKEN or state.tokens.get(token, 0) > time.time()

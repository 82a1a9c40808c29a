"""Firebase Cloud Messaging in the sandbox: key files, tokens for them, and push messages."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.sandbox.credentials import FCM_EMAIL, FCM_PROJECT
from broker.sandbox.oauth import bearer
from broker.sandbox.state import Sent, new_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.sandbox.state import SandboxState

LONGEST = 4096
"""Bytes of notification and data together."""
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_TTL_S = 3599
_KEY_ID = "sandbox"
_SHAPE = re.compile(r"[A-Za-z0-9_:-]{16,400}", re.ASCII)
_KEPT = re.compile(r"from|message_type|google\..*|gcm\..*")
_STATUS = {
    HTTPStatus.BAD_REQUEST: "INVALID_ARGUMENT",
    HTTPStatus.UNAUTHORIZED: "UNAUTHENTICATED",
    HTTPStatus.FORBIDDEN: "PERMISSION_DENIED",
    HTTPStatus.NOT_FOUND: "NOT_FOUND",
}


@lru_cache
def private_key() -> str:
    """The RSA key of this process's key files, PEM; it needs the extra `jwt`."""
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 - the same

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    return pem.decode()


def service_account(base_url: str) -> dict[str, str]:
    """A key file as Google's console hands it out, for the sandbox at `base_url`."""
    return {
        "type": "service_account",
        "project_id": FCM_PROJECT,
        "private_key_id": _KEY_ID,
        "private_key": private_key(),
        "client_email": FCM_EMAIL,
        "token_uri": f"{base_url}/fcm/token",
    }


@dataclass(slots=True)
class Fcm:
    """The key file, its tokens, and `/v1/projects/{project}/messages:send`."""

    state: SandboxState
    tokens: set[str] = field(default_factory=set)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/service-account", self.key_file),
            web.post("/token", self.token),
            web.post("/v1/projects/{project}/messages:send", self.send),
        ]

    async def key_file(self, request: web.Request) -> web.Response:
        """What `[channels.<name>] service_account_file` may hold; 501 without the extra `jwt`."""
        try:
            return web.json_response(service_account(str(request.url.origin())))
        except ImportError:
            text = 'the extra "jwt" is not installed'
            return web.json_response({"error": text}, status=HTTPStatus.NOT_IMPLEMENTED)

    async def token(self, request: web.Request) -> web.Response:
        """An access token for a good assertion; 400 `invalid_grant` for any other."""
        form = await request.post()
        assertion = str(form.get("assertion", ""))
        audience = str(request.url.origin()) + request.path
        if form.get("grant_type") != GRANT or not _is_good(assertion, audience):
            return web.json_response({"error": "invalid_grant"}, status=HTTPStatus.BAD_REQUEST)
        token = f"ya29.{secrets.token_urlsafe(24)}"
        self.tokens.add(token)
        answer = {"access_token": token, "expires_in": TOKEN_TTL_S, "token_type": "Bearer"}
        return web.json_response(answer)

    async def send(self, request: web.Request) -> web.Response:
        """200 with the message's name; `validateOnly` checks and sends nothing."""
        if bearer(request) not in self.tokens:
            return _error(HTTPStatus.UNAUTHORIZED)
        if request.match_info["project"] != FCM_PROJECT:
            return _error(HTTPStatus.FORBIDDEN)
        try:
            body = await request.json()
            message, only = body["message"], bool(body.get("validateOnly"))
            content = _content(message)
        except (KeyError, TypeError, ValueError, AttributeError):
            return _error(HTTPStatus.BAD_REQUEST, "INVALID_ARGUMENT")
        token = message.get("token")
        if token is not None and self.state.fixture.by_push_token(token) is None:
            if _SHAPE.fullmatch(token) is None:
                return _error(HTTPStatus.BAD_REQUEST, "INVALID_ARGUMENT")
            return _error(HTTPStatus.NOT_FOUND, "UNREGISTERED")
        return web.json_response({"name": self._taken(token, content, only=only)})

    def _taken(self, token: str | None, content: Mapping[str, Any], *, only: bool) -> str:
        place = f"projects/{FCM_PROJECT}/messages"
        if only or token is None:
            return f"{place}/fake_message_id"
        sent = Sent("push", token, content, id=f"{place}/0:{new_id()}")
        self.state.outbox.append(sent)
        return sent.id


def _is_good(assertion: str, audience: str) -> bool:
    """Whether it is signed with our key, for this address, by our account, for messages."""
    import jwt  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415 - the same

    key = form.load_pem_private_key(private_key().encode(), None).public_key()
    try:
        claims = jwt.decode(
            assertion,
            key,  # type: ignore[arg-type]  # an RSA key, as it was made
            algorithms=["RS256"],
            audience=audience,
            issuer=FCM_EMAIL,
            options={"require": ["exp", "iat", "scope"]},
        )
    except jwt.PyJWTError:
        return False
    return SCOPE in str(claims["scope"]).split()


def _content(message: Mapping[str, Any]) -> dict[str, Any]:
    """What somebody gets to see; ValueError for what FCM does not take."""
    notification, data = message.get("notification") or {}, message.get("data") or {}
    targets = [message[name] for name in ("token", "topic", "condition") if message.get(name)]
    texts = [*notification.values(), *data, *data.values()]
    if len(targets) != 1 or not all(isinstance(text, str) for text in [*targets, *texts]):
        raise ValueError("no target, or no text")
    if any(_KEPT.fullmatch(key) for key in data):
        raise ValueError("a key that FCM keeps for itself")
    if sum(len(text.encode()) for text in texts) > LONGEST:
        raise ValueError("too long")
    return {
        "title": notification.get("title"),
        "text": notification.get("body"),
        "image": notification.get("image"),
        "data": dict(data),
    }


def _error(status: HTTPStatus, code: str | None = None) -> web.Response:
    error: dict[str, Any] = {"code": status.value, "message": "sandbox", "status": _STATUS[status]}
    if code is not None:
        kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
        error["details"] = [{"@type": kind, "errorCode": code}]
    return web.json_response({"error": error}, status=status)

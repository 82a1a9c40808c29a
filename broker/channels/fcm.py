"""The channel `fcm`: a push message to somebody's app through Firebase Cloud Messaging."""

from __future__ import annotations

import re
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, SecretStr, ValidationError

from broker.channels.words import lines, one_line, texts_in
from broker.sdk import (
    Channel,
    ConfigError,
    JsonClient,
    JwtBearerAuth,
    Options,
    PermanentError,
    TokenPlace,
    UnauthorizedError,
    authorizer,
    handed_over,
    values_at,
)

if TYPE_CHECKING:
    import aiohttp

    from broker.sdk import Envelope, Reply

_NAME = "fcm"
_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
_REFUSED = frozenset({400, 403, 404})
_UNSURE = frozenset({502, 504})
"""500 is not among them: for INTERNAL Google advises another try, and the second of two equal
messages takes the first one's place."""
_CODES = frozenset(
    {
        *("INVALID_ARGUMENT", "UNREGISTERED", "SENDER_ID_MISMATCH", "THIRD_PARTY_AUTH_ERROR"),
        *("NOT_FOUND", "PERMISSION_DENIED", "UNSPECIFIED_ERROR"),
    }
)
"""What may stand in an error text: Google, "FCM Error Codes"."""
_LONGEST = 4096
"""Bytes of notification and data together, in UTF-8."""
_KEPT = re.compile(r"from|message_type|(google|gcm)\..*")
"""Names in `data` that Google keeps for itself."""
_PROJECT = re.compile(r"[a-z][a-z0-9-]{4,29}", re.ASCII)
_TRY = {"topic": "broker-check", "notification": {"title": "check"}}


class ServiceAccount(BaseModel):
    """The key file of a service account, as Google's console hands it out."""

    type: Literal["service_account"]
    project_id: str = Field(pattern=f"^{_PROJECT.pattern}$")
    client_email: str = Field(min_length=3)
    private_key: SecretStr
    private_key_id: str | None = None
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address


def _account(value: SecretStr) -> SecretStr:
    try:
        _read(value)
    except (ValidationError, ValueError):
        raise ValueError("must be the whole JSON key file of a service account") from None
    return value


def _read(value: SecretStr) -> ServiceAccount:
    return ServiceAccount.model_validate_json(value.get_secret_value())


class FcmOptions(Options):
    """`[channels.<name>]` with `driver = "fcm"`."""

    base_url: str = "https://fcm.googleapis.com"
    service_account: Annotated[SecretStr, AfterValidator(_account)]
    """The whole key file; its `project_id` says whose app it is."""
    ttl_s: int = Field(3600, ge=0, le=2_419_200)
    """How long Google keeps the message for a device that is off; 28 days at most."""
    timeout_ms: int = Field(15_000, gt=0)


class FcmChannel(Channel):
    """Sends by `POST /v1/projects/{project_id}/messages:send`; a push token is a person's.

    Not keyed, but two equal messages are shown as one: the second takes the place of the first.
    """

    options_type = FcmOptions
    reaches = "push"

    def __init__(self, options: FcmOptions, http: aiohttp.ClientSession) -> None:
        self._options = options
        account = _read(options.service_account)
        self._auth = authorizer(
            _grant(account), http, options.base_url, name=_NAME, place=TokenPlace(scope=_SCOPE)
        )
        self._client = JsonClient(http, options.base_url, name=_NAME, auth=self._auth)
        self._project = account.project_id
        self._path = f"/v1/projects/{account.project_id}/messages:send"

    async def send(self, envelope: Envelope, *, within: float) -> str | None:
        """Google's name of the message; see `Channel`."""
        message = _message(envelope, self._options.ttl_s, time.time())
        within = min(within, self._options.timeout_ms / 1000)
        reply = await handed_over(
            self._client,
            self._path,
            json={"message": message},
            within=within,
            accept=_REFUSED,
            unsure=_UNSURE,
        )
        return _taken(reply) if reply is not None else None

    async def ping(self) -> str:
        """Lets Google check a message to a topic that nobody has, which is not delivered."""
        body = {"validateOnly": True, "message": _TRY}
        try:
            reply = await self._client.request(
                "POST", self._path, json=body, accept=_REFUSED, within=5.0
            )
        except UnauthorizedError:
            raise ConfigError(_unfit("HTTP 401")) from None
        if reply.status in _REFUSED:
            raise ConfigError(_unfit(_code(reply)))
        return f"Google takes messages for the project {self._project}"

    async def aclose(self) -> None:
        await self._auth.aclose()


def _grant(account: ServiceAccount) -> JwtBearerAuth:
    """Google, "Using OAuth 2.0 for Server to Server Applications"."""
    return JwtBearerAuth(
        kind="jwt_bearer",
        issuer=account.client_email,
        audience=account.token_uri,
        private_key=account.private_key,
        key_id=account.private_key_id,
        token_url=account.token_uri,
    )


def _message(envelope: Envelope, ttl_s: int, now: float) -> dict[str, Any]:
    """PermanentError if there is nothing to show."""
    body = lines(envelope.text or "")
    if not body:
        raise PermanentError("fcm: there is no text for this message")
    title = one_line(envelope.title or "")
    shown = {"title": title, "body": body} if title else {"body": body}
    image = {"image": envelope.media_url} if envelope.media_url is not None else {}
    same = sha256(envelope.reference.encode()).hexdigest()[:32]
    return {
        "token": envelope.to,
        "notification": {**shown, **image},
        "data": _data(envelope, _LONGEST - _size(*shown.values(), *image.values())),
        "android": {"ttl": f"{ttl_s}s", "collapseKey": same, "notification": {"tag": same}},
        "apns": {"headers": {"apns-expiration": str(int(now) + ttl_s), "apns-collapse-id": same}},
    }


def _data(envelope: Envelope, room: int) -> dict[str, str]:
    """The link, and of the context what there is room for: without it the message still arrives."""
    link, data = envelope.values.get("link"), {}
    for key, value in [*([("link", link)] if link else []), *envelope.data.items()]:
        text = lines(value)
        if _KEPT.fullmatch(key) is None and _size(key, text) <= room:
            room -= _size(key, text)
            data[key] = text
    return data


def _size(*texts: str) -> int:
    return sum(len(text.encode()) for text in texts)


def _taken(reply: Reply) -> str | None:
    """Google's name of the message, if it took it."""
    if reply.status in _REFUSED:
        raise PermanentError(f"fcm: refused ({_code(reply)})")
    return next(texts_in(values_at(reply.body, "name")), None)


def _code(reply: Reply) -> str:
    """FCM's own code, else Google's status, else that of HTTP."""
    told = [
        *values_at(reply.body, "error.details[*].errorCode"),
        *values_at(reply.body, "error.status"),
    ]
    return next((code for code in texts_in(told) if code in _CODES), f"HTTP {reply.status}")


def _unfit(code: str) -> str:
    return (
        f"fcm: Google refuses a message ({code}): check that the service account may send "
        "(role Firebase Cloud Messaging API Admin) and that the API is switched on"
    )

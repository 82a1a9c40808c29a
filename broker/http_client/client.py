"""Outbound JSON for one dependency: one deadline, a size cap, and status -> error."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import aiohttp
import orjson

from broker.domain.errors import PermanentError, TemporaryError
from broker.http_client.addresses import RefusedAddressError
from broker.http_client.paths import checked_base, url_of, with_query
from broker.http_client.retry_after import retry_after
from broker.http_client.session import dependency_of
from broker.timing import time_limit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yarl import URL

    from broker.ports import TokenStore

_OK = range(200, 300)
_UNAUTHORIZED = 401
_REPEATED = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
_DECLINED = frozenset({408, 425, 429})
_TEMPORARY = frozenset({*_DECLINED, *range(500, 600)})


@dataclass(frozen=True, slots=True)
class Reply:
    """What the other side answered."""

    status: int
    body: Any
    """Parsed JSON; None if the body was empty."""
    headers: Mapping[str, str]
    """Case-insensitive."""


class ReplyLostError(TemporaryError):
    """The connection broke before the answer was whole: the request may have had its effect."""

    def __init__(self, message: str, *, repeated: bool) -> None:
        super().__init__(message)
        self.repeated = repeated
        """Whether aiohttp has sent it a second time already (see `JsonClient`)."""


class ForbiddenAddressError(PermanentError):
    """The address is an internal one; `[outbound] allow_internal` decides. Nothing was sent."""


class UnusableAnswerError(PermanentError):
    """The request was answered with 2xx, but the body is no JSON or too large to read."""


class Authorizer(ABC):
    """Authentication apart from content: the headers that let a request in."""

    @abstractmethod
    async def headers(self) -> Mapping[str, str]:
        """The headers to send now; may have to fetch a token first.

        TemporaryError: no token to be had now. PermanentError: the credentials are refused.
        """

    @abstractmethod
    def reject(self) -> None:
        """The server answered 401 to these headers: forget what can be fetched anew."""

    async def aclose(self) -> None:  # noqa: B027 - most authorizers own nothing
        """Stop what runs in the background. May be called twice."""


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: URL
    body: bytes | None
    headers: Mapping[str, str]
    accept: frozenset[int]


class _DeclinedError(TemporaryError):
    """The server is there, but does not want it now: 408, 425, 429."""


class UnauthorizedError(PermanentError):
    """The server answered 401, also to fresh headers if there were any."""

    def __init__(self, message: str, reply: Reply) -> None:
        super().__init__(message)
        self.reply = reply
        """What it said; the body is None if it was no JSON."""


class JsonClient:
    """Outbound JSON over one injected aiohttp session, for one dependency.

    It does not retry, with two exceptions inside the same deadline: a 401 is tried once more if
    `auth` has fresh headers to offer; and when a connection breaks before the first byte of an
    answer, aiohttp itself sends GET, HEAD, OPTIONS, TRACE, PUT and DELETE once more on another
    connection (aiohttp.client.IDEMPOTENT_METHODS). That is meant for kept-alive connections which
    the server has closed meanwhile, but happens on fresh ones as well.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        base_url: str,
        *,
        name: str,
        auth: Authorizer | None = None,
        headers: Mapping[str, str] | None = None,
        max_body_bytes: int = 262_144,
    ) -> None:
        """`name` stands in error texts. ConfigError if `base_url` is no plain http(s) URL."""
        self._http = http
        self._dependency = dependency_of(http, name)
        self._base = checked_base(base_url, name)
        self._name = name
        self._auth = auth
        self._headers = {"Accept": "application/json", **(headers or {})}
        self._max_body_bytes = max_body_bytes

    @property
    def base_url(self) -> str:
        """Whom it asks."""
        return str(self._base)

    @property
    def name(self) -> str:
        """What error texts call it."""
        return self._name

    @property
    def tokens(self) -> TokenStore | None:
        """Where replicas share the tokens of this dependency."""
        return self._dependency.tokens

    async def request(  # noqa: PLR0913 - the parts of an HTTP request, each named at the call
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object | None = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        accept: frozenset[int] = frozenset(),
        within: float | None = None,
    ) -> Reply:
        """The reply, if its status is 2xx or in `accept` (then a body that is no JSON is None).

        TemporaryError (with retry_after, if known): 408, 425, 429, 5xx, no connection, a token
        that cannot be had now, `within` seconds over; ReplyLostError if the connection broke.
        NotAskedError, a TemporaryError: nothing was sent, because the dependency failed several
        times in a row, wants to be left alone, or no turn was left (see `Dependency`).
        PermanentError: any other status, 3xx included as redirects are never followed;
        UnauthorizedError: 401.
        UnusableAnswerError: a body that is no JSON or larger than `max_body_bytes`, counted
        decompressed and while it streams. ForbiddenAddressError: an internal address that nobody
        allowed.
        BadInputError `invalid_id`: `path` could lead elsewhere; nothing was sent.
        """
        url = url_of(self._base, path)
        kind, body = _encoded(json, form)
        request = _Request(
            method,
            with_query(url, params) if params else url,
            body,
            {**self._headers, **kind, **(headers or {})},
            accept,
        )
        try:
            with time_limit(within):
                return await self._authorized(request)
        except TimeoutError:
            raise TemporaryError(f"{self._name}: no answer in time") from None

    def may_repeat(self) -> bool:
        """Whether the dependency's retry budget has room; if so, one retry is taken from it."""
        return self._dependency.may_repeat()

    async def pause(self, seconds: float) -> None:
        """Ask nothing for so long: the other side said so in a way of its own, not with a 429."""
        self._dependency.leave_alone(seconds)
        await self._dependency.share_pause(seconds)

    async def _authorized(self, request: _Request) -> Reply:
        if self._auth is None:
            return await self._send(request, {})
        used = await self._auth.headers()
        try:
            return await self._send(request, used)
        except UnauthorizedError:
            # Another request may have been told the same, and have fetched a new token since.
            if await self._auth.headers() == used:
                self._auth.reject()
            fresh = await self._auth.headers()
            if fresh == used:
                raise
            return await self._send(request, fresh)

    async def _send(self, request: _Request, auth: Mapping[str, str]) -> Reply:
        await self._dependency.turn(self._name)
        attempt = self._dependency.attempt(self._name)
        try:
            reply = await self._exchange(request, auth)
        except _DeclinedError as exc:
            attempt.declined(exc.retry_after)
            await self._dependency.share_pause(exc.retry_after)
            raise
        except (TemporaryError, TimeoutError) as exc:
            attempt.failed(str(exc))
            raise
        except asyncio.CancelledError:
            attempt.cut()
            raise
        except BaseException:
            attempt.answered()
            raise
        attempt.answered()
        return reply

    async def _exchange(self, request: _Request, auth: Mapping[str, str]) -> Reply:
        # `from None`: aiohttp's texts carry URLs, and URLs carry phone numbers.
        try:
            async with self._http.request(
                request.method,
                request.url,
                data=request.body,
                headers={**request.headers, **auth},
                allow_redirects=False,
            ) as response:
                return await self._reply(response, request.accept)
        except aiohttp.ClientConnectorError as exc:
            if isinstance(exc.os_error, RefusedAddressError):
                text = f"{self._name}: the address is {exc.os_error}"
                raise ForbiddenAddressError(text) from None
            raise TemporaryError(f"{self._name}: no connection ({_kind(exc)})") from None
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as exc:
            text = f"{self._name}: the connection broke ({_kind(exc)})"
            raise ReplyLostError(text, repeated=request.method in _REPEATED) from None
        except (aiohttp.ClientError, OSError) as exc:
            if isinstance(exc, TimeoutError):
                raise
            text = f"{self._name}: the answer broke off ({_kind(exc)})"
            raise ReplyLostError(text, repeated=False) from None

    async def _reply(self, response: aiohttp.ClientResponse, accept: frozenset[int]) -> Reply:
        status = response.status
        if status == _UNAUTHORIZED and status not in accept:
            raise await self._unauthorized(response)
        if status not in _OK and status not in accept:
            raise self._error(response)
        raw = await self._read(response)
        try:
            body = orjson.loads(raw) if raw else None
        except orjson.JSONDecodeError:
            if status in _OK:
                raise UnusableAnswerError(f"{self._name}: the answer is no JSON") from None
            body = None
        return Reply(status, body, response.headers)

    def _error(self, response: aiohttp.ClientResponse) -> Exception:
        text = f"{self._name}: HTTP {response.status}"
        if response.status in _TEMPORARY:
            kind = _DeclinedError if response.status in _DECLINED else TemporaryError
            return kind(text, retry_after(response.headers.get("Retry-After")))
        return PermanentError(text)

    async def _unauthorized(self, response: aiohttp.ClientResponse) -> UnauthorizedError:
        body = None
        with suppress(UnusableAnswerError, orjson.JSONDecodeError):
            body = orjson.loads(await self._read(response))
        reply = Reply(_UNAUTHORIZED, body, response.headers)
        return UnauthorizedError(f"{self._name}: HTTP {_UNAUTHORIZED}", reply)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """The decompressed body. aiohttp inflates at most 256 KB at a time, so a bomb stays small.

        It is read to its end only if it keeps to the cap; otherwise the connection is given up.
        """
        content, body = response.content, b""
        while chunk := await content.readany():
            body += chunk
            if len(body) > self._max_body_bytes:
                text = f"{self._name}: more than {self._max_body_bytes} bytes came"
                raise UnusableAnswerError(text)
        return body


def _encoded(
    json: object | None, form: Mapping[str, str] | None
) -> tuple[dict[str, str], bytes | None]:
    """Headers that tell what the body is, and the body."""
    if form is not None:
        return {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(form).encode()
    if json is not None:
        return {"Content-Type": "application/json"}, orjson.dumps(json)
    return {}, None


def _kind(exc: Exception) -> str:
    return type(exc).__name__

"""The driver: which session a call has, and variables into it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import structlog

from broker.platforms.babelforce.figures import FiguresReader
from broker.platforms.babelforce.options import NAME, BabelforceOptions, authorizer
from broker.platforms.babelforce.wire import encoded, item_of, same_id, variables_of, wire_id
from broker.sdk import (
    AnswerLostError,
    BadInputError,
    CallEndedError,
    CallPlatform,
    CallRef,
    CallReport,
    Figures,
    JsonClient,
    PermanentError,
    Reply,
    ReplyLostError,
    ScreenPop,
    Session,
    SessionNotFoundError,
    TemporaryError,
    UnusableAnswerError,
    Variable,
    once_more,
    path_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp

PING_S = 5.0
CALL_OVER = "broker-call-over"
"""The name of the event that a conversation gets."""
PROBE: Mapping[str, Variable] = {"ivr.lookup": "not_found", "ivr.premium": False}
_GONE = frozenset({404, 410})
_NO_CONTENT = frozenset({204, 205})

log = structlog.get_logger(__name__)


class BabelforcePlatform(CallPlatform):
    """Sessions by `/api/v2/sessions/{id}`, the session id of a call by `/api/v2/calls/{id}`."""

    options_type = BabelforceOptions

    def __init__(self, options: BabelforceOptions, http: aiohttp.ClientSession) -> None:
        """ConfigError if the base URL or a secret cannot be one. Nothing is sent yet."""
        self._options = options
        self._auth = authorizer(options, http)
        self._client = JsonClient(http, options.base_url, name=NAME, auth=self._auth)
        self.pops_screens, self.logs_back = options.screen_pop, options.log_back
        self._hook_s = options.hook_timeout_ms / 1000
        self.tells_figures = options.live_figures
        self._figures = FiguresReader(self._client, options)

    async def find_session(self, call: CallRef, *, within: float) -> Session:
        """See `CallPlatform`.

        PermanentError instead of a guess with `session_key = "session_id"`, and if the platform
        answers about another call.
        """
        if call.session_id is not None:
            return Session(wire_id(call.session_id), "given")
        call_id = wire_id(call.call_id)
        if self._options.session_key != "call_id":
            session_id = await self._session_of(call_id, within)
            if session_id is not None:
                return Session(session_id, "resolved")
        if self._options.session_key == "session_id":
            raise PermanentError(f"{NAME}: the session id was neither sent nor found")
        return Session(call_id, "guessed")

    async def write(
        self, session: Session, variables: Mapping[str, Variable], *, within: float
    ) -> None:
        """See `CallPlatform`. The same PUT is sent at most twice by us, and idempotent."""
        path = path_of("api", "v2", "sessions", wire_id(session.id))
        body = encoded(variables, self._options.bool_encoding)
        reply = await self._ask("PUT", path, within, body)
        _check_session(reply, session)

    async def read_session(self, session: Session, *, within: float) -> dict[str, Any]:
        """All variables of a session by their full names; errors as `write`."""
        path = path_of("api", "v2", "sessions", wire_id(session.id))
        return variables_of(_check_session(await self._ask("GET", path, within), session))

    async def pop_screen(self, pop: ScreenPop, *, within: float) -> None:
        """See `CallPlatform`: `POST /agents/push`."""
        body = {
            "agentId": wire_id(pop.agent_id),
            "broadcast": False,
            "message": pop.message,
            "data": dict(pop.data),
        }
        await self._once("/api/v2/agents/push", body, min(within, self._hook_s))

    async def log_back(self, report: CallReport, *, within: float) -> None:
        """See `CallPlatform`: `POST /conversations/{id}/events`; the call names its conversation.

        PermanentError if it does not.
        """
        ends_at = time.monotonic() + min(within, self._hook_s)
        conversation_id = await self._conversation_of(wire_id(report.call_id), ends_at)
        path = path_of("api", "v2", "conversations", conversation_id, "events")
        body = {"name": CALL_OVER, "data": dict(report.data)}
        await self._once(path, body, ends_at - time.monotonic())

    async def figures(self, *, within: float) -> Figures:
        """See `CallPlatform`: two metrics and the business hours, asked for at the same time."""
        return await self._figures.read(within)

    async def ping(self) -> str:
        await self._client.request("GET", "/api/v2/ping", within=PING_S)
        return "signed in, API answers"

    async def probe_session(self) -> str:
        """See `CallPlatform`. PermanentError if something else is read than was written."""
        began = time.monotonic()
        created = await self._client.request("POST", "/api/v2/sessions", within=PING_S)
        session_id = _usable_id(item_of(created.body).get("id"))
        if session_id is None:
            raise PermanentError(f"{NAME}: a new session has no id")
        session = Session(session_id, "resolved")
        await self.write(session, PROBE, within=PING_S)
        read = await self.read_session(session, within=PING_S)
        differing = [
            key
            for key, value in encoded(PROBE, self._options.bool_encoding).items()
            if read.get(key) != value
        ]
        if differing:
            raise PermanentError(f"{NAME}: read back differently: {', '.join(differing)}")
        ms = round((time.monotonic() - began) * 1000)
        return f"a session of its own written and read back in {ms} ms"

    async def aclose(self) -> None:
        await self._auth.aclose()

    async def _session_of(self, call_id: str, within: float) -> str | None:
        """The session id the platform names for a call; None if it does not tell."""
        try:
            reply = await self._ask("GET", path_of("api", "v2", "calls", call_id), within)
            if reply.status in _GONE:
                raise CallEndedError(f"{NAME}: there is no such call")
            item = item_of(reply.body)
        except (TemporaryError, PermanentError) as exc:
            log.warning("session_not_resolved", platform=NAME, reason=str(exc))
            return None
        _check_id(item.get("id"), call_id, "call")
        return _usable_id(item.get("sessionId"))

    async def _conversation_of(self, call_id: str, ends_at: float) -> str:
        path = path_of("api", "v2", "calls", call_id)
        reply = await self._ask("GET", path, ends_at - time.monotonic())
        if reply.status in _GONE:
            raise PermanentError(f"{NAME}: there is no such call")
        item = item_of(reply.body)
        _check_id(item.get("id"), call_id, "call")
        conversation_id = _usable_id(item.get("conversationId"))
        if conversation_id is None:
            raise PermanentError(f"{NAME}: the call names no conversation")
        return conversation_id

    async def _once(self, path: str, body: Mapping[str, Any], within: float) -> None:
        """POST it, and never again: the API takes no idempotency key.

        AnswerLostError: it may have arrived. TemporaryError, PermanentError: it has not.
        """
        try:
            async with asyncio.timeout(max(0.0, within)):
                reply = await self._client.request("POST", path, json=body)
        except TimeoutError:
            raise AnswerLostError(f"{NAME}: no answer in time") from None
        except (ReplyLostError, UnusableAnswerError) as error:
            raise AnswerLostError(str(error)) from None
        if isinstance(reply.body, dict) and reply.body.get("success") is False:
            raise PermanentError(f"{NAME}: the answer says success=false")

    async def _ask(
        self, method: str, path: str, within: float, body: Mapping[str, Variable] | None = None
    ) -> Reply:
        async def attempt(left: float) -> Reply:
            return await self._client.request(method, path, json=body, accept=_GONE, within=left)

        return await once_more(attempt, within, may_repeat=self._client.may_repeat)


def _check_session(reply: Reply, session: Session) -> dict[str, Any]:
    """The session's `item`, if the answer is about `session` and it is alive."""
    if reply.status in _GONE:
        raise _gone(session)
    if reply.status in _NO_CONTENT:
        return {}
    item = item_of(reply.body)
    # Whether a call id is taken for its session's id is not documented. If so, the answer names
    # the real one: a guess has no other id to be held against.
    if session.source != "guessed":
        _check_id(item.get("id"), session.id, "session")
    if item.get("valid") is False:
        raise _gone(session)
    return item


def _gone(session: Session) -> CallEndedError | SessionNotFoundError:
    if session.source == "guessed":
        return SessionNotFoundError(f"{NAME}: the guessed session id is not known")
    return CallEndedError(f"{NAME}: the session is over")


def _check_id(named: object, asked: str, kind: str) -> None:
    """PermanentError if the answer names another one than we asked for; silence is no fault."""
    if isinstance(named, str) and named and not same_id(named, asked):
        log.error("answered_for_another", platform=NAME, kind=kind)
        raise PermanentError(f"{NAME}: the answer is about another {kind}")


def _usable_id(value: object) -> str | None:
    """`value` as an id on the wire; None if it is absent or cannot stand in a path."""
    if not isinstance(value, str):
        return None
    try:
        path_of(value)
    except BadInputError:
        return None
    return wire_id(value)

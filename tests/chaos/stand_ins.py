"""The phone platform, the CRM and the message providers, all of them writing down what they saw."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from aiohttp import encode_basic_auth, web
from aiosmtpd.smtp import SMTP
from standardwebhooks import Webhook, WebhookVerificationError

from tests.chaos.history import Call, Refused, Sent, Wrote, addresses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from tests.chaos.consents import ConsentBook
    from tests.chaos.history import Event


DEFLECTION = "deflection"
"""Of no other purpose are text messages here."""
ACCOUNT_OF = {"sms": f"AC{'1' * 32}", "backup": f"AC{'2' * 32}"}
"""Channel -> account at the provider of text messages."""
ACCOUNTS = {account: channel for channel, account in ACCOUNT_OF.items()}
TEXT_TOKEN = "chaos-text-token-93be"


@dataclass(frozen=True, slots=True)
class Taken:
    """A text that the provider took."""

    sid: str
    to: str
    channel: str
    callback: str
    """Where it is told of."""


@dataclass(eq=False)
class StandIns:
    """Perfect by themselves: faults are made by the proxies in front. Ports are known once run."""

    events: list[Event]
    """Where effects are written down, in order."""
    hook_secret: str
    """What requests to the provider with keys are signed with."""
    calls: dict[str, Call] = field(default_factory=dict)
    """By call id."""
    slow: dict[str, float] = field(default_factory=dict)
    """Number or reference -> how long the CRM thinks about it, in seconds."""
    hung_up: set[str] = field(default_factory=set)
    """Ids of sessions that are over."""
    refusing: dict[str, frozenset[str]] = field(default_factory=dict)
    """Number or address -> the channels that definitely do not write to it."""
    consents: ConsentBook | None = None
    """Who is looked for in it when a deflection is taken."""
    busy: set[str] = field(default_factory=set)
    """Numbers that no text is taken for now."""
    fates: dict[str, dict[str, str]] = field(default_factory=dict)
    """Number -> channel -> what becomes of a text, `delivered` or `failed`; else nobody tells."""
    tell: Callable[[Call, Taken, str], Coroutine[Any, Any, None]] | None = None
    """Tells a broker what became of a text."""
    http_port: int = 0
    smtp_port: int = 0
    _keys: set[str] = field(default_factory=set)
    _telling: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        app = web.Application()
        app.add_routes(
            [
                web.get("/api/v2/ping", self._ping),
                web.get("/api/v2/calls/{id}", self._call),
                web.put("/api/v2/sessions/{id}", self._write),
                web.get("/customers", self._customers),
                web.post("/hook", self._hook),
                web.post("/2010-04-01/Accounts/{account}/Messages.json", self._text),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.http_port = runner.addresses[0][1]
        loop = asyncio.get_running_loop()
        smtp = await loop.create_server(self._mail_session, "127.0.0.1", 0)
        self.smtp_port = smtp.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            for task in self._telling:
                task.cancel()
            smtp.close()
            await runner.cleanup()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _ping(self, _: web.Request) -> web.Response:
        return web.json_response({"success": True})

    async def _call(self, request: web.Request) -> web.Response:
        call = self.calls.get(request.match_info["id"])
        if call is None or call.session_id in self.hung_up:
            return web.json_response({"success": False}, status=404)
        return web.json_response(
            {"success": True, "item": {"id": call.id, "sessionId": call.session_id}}
        )

    async def _write(self, request: web.Request) -> web.Response:
        session_id, variables = request.match_info["id"], await request.json()
        guessed = session_id in self.calls  # the platform did not tell in time
        if guessed or session_id in self.hung_up:
            return web.json_response({"success": False}, status=404)
        self.events.append(Wrote(self._now(), session_id, variables))
        return web.json_response({"success": True, "item": {"id": session_id, "valid": True}})

    async def _customers(self, request: web.Request) -> web.Response:
        asked = request.query.get("phone") or request.query["reference"]
        await asyncio.sleep(self.slow.get(asked, 0))
        found = [c for c in self.calls.values() if asked == (c.reference or c.number)]
        return web.json_response({"customers": [_shown(call) for call in found]})

    async def _hook(self, request: web.Request) -> web.Response:
        """A provider that takes idempotency keys: the same key again has no effect."""
        try:
            message = Webhook(self.hook_secret).verify(await request.text(), dict(request.headers))
        except WebhookVerificationError:
            return web.json_response({"error": "signature"}, status=401)
        key, data = request.headers["Idempotency-Key"], message["data"]
        if not self._takes("hook", data["to"], data["purpose"]):
            return web.json_response({"error": "never to this one"}, status=422)
        if key not in self._keys:
            self._keys.add(key)
            await self._sent(data["to"], key, data["purpose"], "hook")
        return web.json_response({"id": key})

    async def _text(self, request: web.Request) -> web.Response:
        """Twilio's way to send: no keys, so whatever is taken goes out."""
        channel = ACCOUNTS.get(request.match_info["account"])
        form = await request.post()
        if channel is None or request.headers.get("Authorization") != _login(channel):
            return web.json_response({"code": 20003, "message": "Authenticate"}, status=401)
        to = str(form["To"])
        if to in self.busy:
            return web.json_response({"code": 20429, "message": "Too many"}, status=429)
        if not self._takes(channel, to, DEFLECTION):
            return web.json_response({"code": 21211, "message": "Invalid 'To'"}, status=400)
        await self._sent(to, None, DEFLECTION, channel)
        taken = Taken(f"SM{uuid4().hex}", to, channel, str(form.get("StatusCallback", "")))
        self._tell_of(taken)
        return web.json_response({"sid": taken.sid, "status": "queued"}, status=201)

    def _tell_of(self, taken: Taken) -> None:
        fate = self.fates.get(taken.to, {}).get(taken.channel)
        if fate is not None and self.tell is not None:
            task = asyncio.create_task(self.tell(self._person(taken.to), taken, fate))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    def _person(self, to: str) -> Call:
        return next(call for call in self.calls.values() if to in addresses(call))

    async def _sent(self, to: str, key: str | None, purpose: str, channel: str) -> None:
        consented = None
        if purpose == DEFLECTION and self.consents is not None:
            consented = await self.consents.has(self._person(to))
        self.events.append(Sent(self._now(), to, key, purpose, channel, consented))

    def _takes(self, channel: str, to: str, purpose: str) -> bool:
        """Whether this one is written to; if not, that is written down."""
        if channel not in self.refusing.get(to, ()):
            return True
        self.events.append(Refused(self._now(), to, purpose, channel))
        return False

    def _mail_session(self) -> SMTP:
        return SMTP(self, hostname="mail.test", loop=asyncio.get_running_loop())

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """Called by aiosmtpd once it has read a mail to its final dot."""
        self.events += [Sent(self._now(), to) for to in envelope.rcpt_tos]
        return "250 2.0.0 taken"


def _login(channel: str) -> str:
    return encode_basic_auth(ACCOUNT_OF[channel], TEXT_TOKEN)


def _shown(call: Call) -> dict[str, Any]:
    """Without phones: the adapter core would notice somebody else's data by them."""
    person = call.person
    return {
        "id": person.customer_id,
        "email": person.email,
        "track_id": person.track_id,
        "premium": person.premium,
    }

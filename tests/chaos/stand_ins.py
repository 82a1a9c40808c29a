"""The phone platform, the CRM and the message providers, all of them writing down what they saw."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiosmtpd.smtp import SMTP
from standardwebhooks import Webhook, WebhookVerificationError

from tests.chaos.history import Call, Sent, Wrote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.chaos.history import Event


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
    http_port: int = 0
    smtp_port: int = 0
    _keys: set[str] = field(default_factory=set)

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
        key = request.headers["Idempotency-Key"]
        if key not in self._keys:
            self._keys.add(key)
            self.events.append(Sent(self._now(), message["data"]["to"], key))
        return web.json_response({"id": key})

    def _mail_session(self) -> SMTP:
        return SMTP(self, hostname="mail.test", loop=asyncio.get_running_loop())

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """Called by aiosmtpd once it has read a mail to its final dot."""
        self.events += [Sent(self._now(), to) for to in envelope.rcpt_tos]
        return "250 2.0.0 taken"


def _shown(call: Call) -> dict[str, Any]:
    """Without phones: the adapter core would notice somebody else's data by them."""
    person = call.person
    return {
        "id": person.customer_id,
        "email": person.email,
        "track_id": person.track_id,
        "premium": person.premium,
    }

"""One aiohttp application with all HTTP parts of the sandbox; `server` adds the mail server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from broker.sandbox.adereso import Adereso
from broker.sandbox.control import Control, problems
from broker.sandbox.crm import Crm
from broker.sandbox.fcm import Fcm
from broker.sandbox.misbehave import misbehaving
from broker.sandbox.oauth import OAuth
from broker.sandbox.personas import Fixture
from broker.sandbox.platform import Platform
from broker.sandbox.platform_more import PlatformMore
from broker.sandbox.platform_told import PlatformTold
from broker.sandbox.platform_wire import guarded
from broker.sandbox.state import SandboxState
from broker.sandbox.tracking import OrderPages
from broker.sandbox.twilio import Twilio
from broker.sandbox.webhook import Webhook
from broker.sandbox.whatsapp import WhatsApp, refusing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp.typedefs import Middleware

STATE = web.AppKey("STATE", SandboxState)


def build_sandbox(fixture: Fixture | None = None) -> web.Application:
    """A sandbox with a memory of its own, which is `application[STATE]`."""
    state = SandboxState(fixture or Fixture())
    platform, crm = misbehaving(state.faults, "platform"), misbehaving(state.faults, "crm")
    parts = (Platform(state), PlatformMore(state), PlatformTold(state))
    api = [route for part in parts for route in part.routes()]
    app = web.Application()
    app[STATE] = state
    app.add_subapp("/oauth", _part(OAuth(state).routes(), platform))
    app.add_subapp("/api/v2", _part(api, platform, guarded(state)))
    app.add_subapp("/crm", _part(Crm(state.fixture).routes(), crm))
    webhook = misbehaving(state.faults, "webhook")
    app.add_subapp("/webhook", _part(Webhook(state).routes(), webhook))
    twilio = misbehaving(state.faults, "twilio")
    app.add_subapp("/twilio", _part(Twilio(state).routes(), twilio))
    whatsapp = misbehaving(state.faults, "whatsapp")
    app.add_subapp("/whatsapp", _part(WhatsApp(state).routes(), whatsapp, refusing))
    fcm = misbehaving(state.faults, "fcm")
    app.add_subapp("/fcm", _part(Fcm(state).routes(), fcm))
    adereso = misbehaving(state.faults, "adereso")
    app.add_subapp("/adereso", _part(Adereso(state).routes(), adereso))
    app.cleanup_ctx.append(state.callbacks.context)
    app.add_subapp("/_sandbox", _part(Control(state).routes(), problems))
    app.add_routes(OrderPages(state.fixture).routes())
    return app


def _part(routes: Iterable[web.RouteDef], *middlewares: Middleware) -> web.Application:
    part = web.Application(middlewares=middlewares)
    part.add_routes(routes)
    return part

"""What customers open: tracking and deflection links. Nothing personal; GET consumes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from broker.domain.devices import Device
from broker.web.landing_page import POLICY, page

if TYPE_CHECKING:
    from broker.usecases.landing import Landing
    from broker.usecases.tracking import TrackingLinks

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "X-Content-Type-Options": "nosniff",
}
_GONE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Link not valid</title>
<meta name="viewport" content="width=device-width,initial-scale=1"></head>
<body><p>This link is not valid any more. Please use the one in your latest message.</p></body>
</html>"""


@dataclass(frozen=True, slots=True)
class Pages:
    """The public routes; they need no key."""

    links: TrackingLinks
    landing: Landing

    async def tracking(self, request: web.Request) -> web.Response:
        """Redirect to the order. Unknown and expired links are answered alike."""
        target = await self.links.follow(request.match_info["token"])
        return _gone() if target is None else _redirect(target)

    async def deflection(self, request: web.Request) -> web.Response:
        """Redirect to where the person goes on, or let him choose. No JavaScript, no cookie."""
        device = Device.of(request.headers.get("User-Agent", ""))
        opened = await self.landing.open(request.match_info["token"], device, _language(request))
        if opened is None:
            return _gone()
        if opened.redirect is not None:
            return _redirect(opened.redirect)
        headers = {**_HEADERS, "Content-Security-Policy": POLICY}
        return web.Response(text=page(opened), content_type="text/html", headers=headers)


def _gone() -> web.Response:
    return web.Response(text=_GONE, status=404, content_type="text/html", headers=_HEADERS)


def _redirect(target: str) -> web.Response:
    return web.Response(status=302, headers={**_HEADERS, "Location": target})


def _language(request: web.Request) -> str | None:
    """The first language the browser asks for; `*` and weights are not worth more."""
    first = request.headers.get("Accept-Language", "").partition(",")[0].partition(";")[0].strip()
    return first or None

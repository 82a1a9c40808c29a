"""What customers open: the tracking link. Nothing personal is shown, and GET consumes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
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

    async def tracking(self, request: web.Request) -> web.Response:
        """Redirect to the order. Unknown and expired links are answered alike."""
        target = await self.links.follow(request.match_info["token"])
        if target is None:
            return web.Response(text=_GONE, status=404, content_type="text/html", headers=_HEADERS)
        return web.Response(status=302, headers={**_HEADERS, "Location": target})

"""The shop's order-status page, which tracking links open: `GET /track/{track_id}`."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from broker.sandbox.personas import Fixture

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title></head>
<body><h1>{title}</h1><p>{text}</p></body>
</html>
"""


class OrderPages:
    """Says which order it shows, and nothing about the person."""

    def __init__(self, fixture: Fixture) -> None:
        self._fixture = fixture

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/track/{track_id}", self.show)]

    async def show(self, request: web.Request) -> web.Response:
        customer = self._fixture.by_track_id(request.match_info["track_id"])
        if customer is None:
            return _page("No such order", "Please check the link.", status=404)
        title = f"Order {customer.track_id}"
        return _page(title, "On its way: it should arrive the day after tomorrow.", status=200)


def _page(title: str, text: str, *, status: int) -> web.Response:
    page = _PAGE.format(title=escape(title), text=escape(text))
    return web.Response(text=page, content_type="text/html", status=status)

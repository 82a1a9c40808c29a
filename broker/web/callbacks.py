"""The address that messaging providers call: receipts and answers, each signed by its provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from broker.ports import Callback, store_answers_within
from broker.web.payloads import whole_body

if TYPE_CHECKING:
    from broker.usecases.receipts import Callbacks

_STORE_WITHIN_S = 5.0
"""A provider waits longer than a caller, and one callback may bring many receipts."""


@dataclass(frozen=True, slots=True)
class CallbackRoutes:
    """The handler of `/v1/channels/{name}/callback`. Whoever calls needs no key but a signature."""

    callbacks: Callbacks
    public_url: str | None
    max_body_bytes: int

    async def take(self, request: web.Request) -> web.Response:
        """200 once everything in it is kept; a provider repeats what is answered otherwise."""
        body = await whole_body(request, self.max_body_bytes)
        store_answers_within(_STORE_WITHIN_S)
        name = request.match_info["name"]
        read = await self.callbacks.on_callback(name, self._callback(request, body))
        return web.Response(text=read.answer, content_type=read.content_type)

    def _callback(self, request: web.Request, body: bytes) -> Callback:
        """What came, at the address that was signed: a proxy may have changed scheme and host."""
        return Callback(
            method=request.method,
            url=(self.public_url or str(request.url.origin())) + request.raw_path,
            query=list(request.query.items()),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
        )

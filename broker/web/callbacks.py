"""The address that messaging providers call: receipts and answers, each signed by its provider."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from broker.ports import Callback, store_answers_within
from broker.web.payloads import whole_body

if TYPE_CHECKING:
    from broker.usecases.receipts import Callbacks

MAX_BYTES = 3 * 1024 * 1024
"""Meta's bundles of receipts may have 3 MB (WhatsApp, Webhooks overview, "Payload size"); one that
is refused comes again for a week."""
_USUAL_BYTES = 65_536
_LARGE_AT_ONCE = 16
"""So many larger bodies are held at a time: who has signed them shows only when they are here."""
_STORE_WITHIN_S = 5.0
"""A provider waits longer than a caller, and one callback may bring many receipts."""


@dataclass(frozen=True, slots=True)
class CallbackRoutes:
    """The handler of `/v1/channels/{name}/callback`. Whoever calls needs no key but a signature."""

    callbacks: Callbacks
    public_url: str | None
    large: asyncio.Semaphore = field(
        init=False, default_factory=lambda: asyncio.Semaphore(_LARGE_AT_ONCE)
    )

    async def take(self, request: web.Request) -> web.Response:
        """200 once everything in it is kept; a provider repeats what is answered otherwise."""
        body = await self._body(request)
        store_answers_within(_STORE_WITHIN_S)
        name = request.match_info["name"]
        read = await self.callbacks.on_callback(name, self._callback(request, body))
        return web.Response(text=read.answer, content_type=read.content_type)

    async def _body(self, request: web.Request) -> bytes:
        """A large one, or one of unknown length, stays in the network until it is its turn."""
        length = request.content_length if request.can_read_body else 0
        waits = length is None or _USUAL_BYTES < length <= MAX_BYTES
        async with self.large if waits else nullcontext():
            return await whole_body(request.clone(client_max_size=MAX_BYTES), MAX_BYTES)

    def _callback(self, request: web.Request, body: bytes) -> Callback:
        """What came, at the address that was signed: a proxy may have changed scheme and host."""
        return Callback(
            method=request.method,
            url=(self.public_url or str(request.url.origin())) + request.raw_path,
            query=list(request.query.items()),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
        )

"""The route by which a CRM says that a customer changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.ports import store_answers_within
from broker.web.answers import InvalidatedAnswer, reply
from broker.web.payloads import InvalidationBody, parse, read_body

if TYPE_CHECKING:
    from aiohttp import web

    from broker.usecases.invalidate import Invalidate
    from broker.web.auth import Client


@dataclass(frozen=True, slots=True)
class CacheRoutes:
    """The handler of `/v1/cache/invalidations`."""

    use_case: Invalidate
    max_body_bytes: int

    async def invalidate(self, request: web.Request, client: Client) -> web.Response:  # noqa: ARG002 - one signature for all
        content = await read_body(request, {}, query=False, limit=self.max_body_bytes)
        body = parse(InvalidationBody, content)
        store_answers_within(None)  # nobody is on the telephone
        entries = await self.use_case.on_request(body.crm, body.number, body.customer_id)
        return reply(InvalidatedAnswer(entries=entries), 202)

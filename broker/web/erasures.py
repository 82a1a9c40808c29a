"""The route that erases a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.ports import store_answers_within
from broker.web.answers import ErasedAnswer, reply
from broker.web.payloads import ErasureBody, parse, read_body

if TYPE_CHECKING:
    from aiohttp import web

    from broker.usecases.erase import Erase
    from broker.web.auth import Client


@dataclass(frozen=True, slots=True)
class ErasureRoutes:
    """The handler of `/v1/erasures`."""

    use_case: Erase
    max_body_bytes: int

    async def erase(self, request: web.Request, client: Client) -> web.Response:  # noqa: ARG002 - one signature for all
        content = await read_body(request, {}, query=False, limit=self.max_body_bytes)
        body = parse(ErasureBody, content)
        store_answers_within(None)  # nobody is on the telephone, and a person may have many calls
        erased = await self.use_case.on_request(body.number, body.email)
        answer = ErasedAnswer(calls=erased.calls, links=erased.links, cached=erased.cached)
        return reply(answer, 202)

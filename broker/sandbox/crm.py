"""The sample CRM: `GET /crm/customers?phone=` or `?reference=`, with a bearer token."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.sandbox.credentials import CRM_TOKEN
from broker.sandbox.oauth import bearer

if TYPE_CHECKING:
    from broker.sandbox.personas import CrmAnswer, CrmCustomer, Fixture


class Crm:
    """Finds the fixture's customers, as slowly as their persona says."""

    def __init__(self, fixture: Fixture) -> None:
        self._fixture = fixture

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/customers", self.find)]

    async def find(self, request: web.Request) -> web.Response:
        """`{"customers": [...]}`, empty if nobody is there; 401 without token, 400 without key."""
        if bearer(request) != CRM_TOKEN:
            return _error(HTTPStatus.UNAUTHORIZED, "send the CRM's bearer token")
        answer = self._ask(request)
        if answer is None:
            return _error(HTTPStatus.BAD_REQUEST, "ask by phone or by reference")
        await asyncio.sleep(answer.after_s)
        return web.json_response({"customers": [_shown(found) for found in answer.customers]})

    def _ask(self, request: web.Request) -> CrmAnswer | None:
        phone, reference = request.query.get("phone"), request.query.get("reference")
        if phone and not reference:
            return self._fixture.by_phone(phone)
        if reference and not phone:
            return self._fixture.by_reference(reference)
        return None


def _shown(customer: CrmCustomer) -> dict[str, Any]:
    return {name: value for name, value in asdict(customer).items() if name != "reference"}


def _error(status: HTTPStatus, message: str) -> web.Response:
    return web.json_response({"error": status.phrase, "message": message}, status=status)

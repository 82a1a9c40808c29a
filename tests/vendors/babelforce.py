"""babelforce's integration dispatch on loopback, with a helpdesk behind the integration."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.testing.tokens import TokenDesk
from broker.testing.vendor import FakeVendor, Refusal
from tests.specs import spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.testing.people import Person
    from broker.testing.scripted_server import Asked
    from broker.testing.vendor import Handler

PASSWORD = "s3cret-of-manager"
TOKEN = "bf-t0ken-"
INTEGRATION = "1a2b3c4d5e6f7a8b9c0d1e2f3a4b5c6d"
TIERS = {True: "gold", False: "basic", None: None}
KNOWN = {"find_user_by_phone": {"phone", "limit"}, "find_user_by_external_id": {"external_id"}}
"""Action -> its parameters."""
NOBODY = "No user matches"


class FakeBabelforce(FakeVendor):
    """Answers in the documented envelope. The provider's part in it is made up, as nobody knows it.

    Its search by phone takes any spelling and finds too many: the last seven digits are enough.
    """

    secrets = (PASSWORD, TOKEN)

    def __init__(self, *people: Sequence[Person]) -> None:
        super().__init__(*people)
        form = {
            "grant_type": "password",
            "username": "manager@example.com",
            "password": PASSWORD,
            "client_id": "manager",
        }
        self.desk = TokenDesk(form, {"password": (400, "invalid_grant")}, TOKEN)
        self.as_text = True
        """Whether the provider's body comes as a text of JSON."""
        self.fails_for_nobody = False
        """Whether the provider says `success: false` if nobody is there."""

    def options(self) -> Mapping[str, Any]:
        return {
            "base_url": self.url,
            "integration": INTEGRATION,
            "phone": {
                "action": "find_user_by_phone",
                "param": "phone",
                "params": {"limit": 10},
                "at_most": 10,
            },
            "reference": {"action": "find_user_by_external_id", "param": "external_id"},
            "results": "response.body.users",
            "auth": {
                "kind": "password",
                "username": "manager@example.com",
                "password": PASSWORD,
                "client_id": "manager",
            },
            "region": "DE",
            "fields": {
                "phones": ["phone", "custom.mobile"],
                "reference": "external_id",
                "track_id": "custom.order",
                "language": "locale",
            },
            "premium": {"field": "custom.tier", "premium": ["gold"], "standard": ["basic"]},
        }

    def record(self, person: Person) -> dict[str, Any]:
        phone, mobile = (*person.phones, None)[:2]
        return {
            "id": int(person.id) if person.id.isdecimal() else person.id,
            "name": person.name,
            "email": person.email,
            "phone": phone,
            "locale": person.language,
            "external_id": person.reference,
            "custom": {
                "mobile": mobile,
                "order": person.track_id,
                "tier": TIERS[person.premium],
            },
        }

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        return [
            ("POST", "/oauth/token", self.desk.give),
            ("POST", "/api/v2/integrations/{id}/dispatch/{action}", self._dispatch),
        ]

    def revoke(self) -> None:
        self.desk.revoke()

    def admits(self, request: web.Request) -> bool:
        return self.desk.admits(request.headers.get("Authorization"))

    def refuses(self, asked: Asked) -> bool:
        api = spec("babelforce-subset.openapi.yaml")
        return api is not None and api.forbids(asked) is not None

    async def _dispatch(self, request: web.Request) -> web.Response:
        action = request.match_info["action"]
        if request.match_info["id"] != INTEGRATION or action not in KNOWN:
            raise Refusal(404, {"code": "NOT_FOUND", "message": "No such integration or action"})
        params = (await request.json()).get("params", {})
        if not params.keys() <= KNOWN[action]:
            return self._answer_with(action, params, success=False, message="Unknown parameter")
        found = [record for record in self.records if _fits(record, params)]
        if not found and self.fails_for_nobody:
            return self._answer_with(action, params, success=False, message=NOBODY)
        shown = found[: params.get("limit", 10)]
        body: Any = {"users": shown, "count": len(found)}
        response = {"body": json.dumps(body) if self.as_text else body}
        return self._answer_with(action, params, success=True, response=response, session={})

    def _answer_with(self, action: str, params: Any, **data: Any) -> web.Response:
        answer = {"action": action, "params": params, "context": {}, "data": data}
        return web.json_response(answer)


def _fits(record: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    if "external_id" in params:
        return str(record["external_id"]).casefold() == str(params["external_id"]).casefold()
    wanted = _digits(str(params.get("phone", "")))[-7:]
    numbers = (record["phone"], record["custom"]["mobile"])
    return any(wanted and _digits(number or "").endswith(wanted) for number in numbers)


def _digits(text: str) -> str:
    return "".join(char for char in text if char.isdecimal())

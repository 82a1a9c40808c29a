"""HubSpot on loopback: contacts with their calculated search properties."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.sdk import Phone
from broker.testing.vendor import FakeVendor, Refusal
from tests.specs import spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.testing.people import Person
    from broker.testing.scripted_server import Asked
    from broker.testing.vendor import Handler

TOKEN = "pat-eu1-s3cret"
TIERS = {True: "gold", False: "basic", None: None}


class FakeHubSpot(FakeVendor):
    """Answers `contacts/search` as the reference describes it, for EQ filters."""

    secrets = (TOKEN,)

    def options(self) -> Mapping[str, Any]:
        return {
            "base_url": self.url,
            "auth": {"kind": "bearer", "token": TOKEN},
            "region": "DE",
            "fields": {"track_id": "track_id", "reference": "customer_reference"},
            "premium": {"field": "tier", "premium": ["gold"], "standard": ["basic"]},
        }

    def record(self, person: Person) -> dict[str, Any]:
        first, _, last = (person.name or "").partition(" ")
        phone, mobile = (*person.phones, None)[:2]
        return {
            "id": person.id,
            "properties": {
                "phone": phone,
                "mobilephone": mobile,
                "hs_searchable_calculated_phone_number": _national(phone),
                "hs_searchable_calculated_mobile_number": _national(mobile),
                "email": person.email,
                "firstname": first or None,
                "lastname": last or None,
                "hs_language": person.language,
                "track_id": person.track_id,
                "customer_reference": person.reference,
                "tier": TIERS[person.premium],
            },
        }

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        return [("POST", "/crm/objects/2026-09/contacts/search", self._search)]

    def admits(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") == f"Bearer {TOKEN}"

    def refuses(self, asked: Asked) -> bool:
        contacts = spec("hubspot_contacts_2026-09.json")
        return contacts is not None and contacts.forbids(asked) is not None

    async def _search(self, request: web.Request) -> web.Response:
        body = await request.json()
        if len(body["filterGroups"]) > 6 or body.get("limit", 10) > 200:
            raise Refusal(400, {"category": "VALIDATION_ERROR"})
        known = {*self.records[0]["properties"], "hs_object_id"}
        named = {f["propertyName"] for group in body["filterGroups"] for f in group["filters"]}
        if not named <= known:
            raise Refusal(400, {"category": "VALIDATION_ERROR"})
        found = [r for r in self.records if any(_fits(r, g) for g in body["filterGroups"])]
        shown = found[: body.get("limit", 10)]
        wanted = body.get("properties", [])
        results = [
            {"id": r["id"], "properties": {n: r["properties"].get(n) for n in wanted}}
            for r in shown
        ]
        return web.json_response({"total": len(found), "results": results})


def _fits(record: dict[str, Any], group: Any) -> bool:
    """All filters of a group; texts are equal without regard to case."""
    return all(
        f["operator"] == "EQ"
        and str(record["properties"].get(f["propertyName"])).casefold() == f["value"].casefold()
        for f in group["filters"]
    )


def _national(stored: str | None) -> str | None:
    """What HubSpot calculates: area code and local number, no country code."""
    phone = Phone.read(stored, "DE") if stored else None
    return phone.national if phone else None

"""HubSpot on loopback: contacts, tickets and notes, an index that lags, and lists."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.sdk import Phone
from broker.testing.vendor import FakeVendor, Refusal
from tests.specs import spec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from broker.testing.people import Person
    from broker.testing.scripted_server import Asked
    from broker.testing.vendor import Handler

KEY = "pat-eu1-s3cret"
REFRESH = "r3fresh"
TIERS = {True: "gold", False: "basic", None: None}
VIP_LIST = "17"
UNIQUE = frozenset({"email", "customer_reference", "broker_ticket", "broker_call"})
TICKETS = frozenset(
    {"subject", "content", "hs_pipeline", "hs_pipeline_stage", "broker_ticket", "hs_object_id"}
)
NOTES = frozenset({"hs_timestamp", "hs_note_body", "broker_call", "hs_object_id"})
OBJECTS = "/crm/objects/2026-09"


class FakeHubSpot(FakeVendor):
    """As the guides and the reference describe it.

    A search knows EQ and IN, nothing of records in `unindexed`, and leaves unknown properties out.
    """

    secrets = (KEY, REFRESH)

    def __init__(self) -> None:
        super().__init__()
        self.unindexed: set[str] = set()
        self.scopes = {"contacts.read", "contacts.write", "tickets", "lists.read"}
        self.keys = {KEY}
        self.late = 0
        """How many reads do not see yet what was just made."""
        self._ids = count(9001)

    def options(self) -> Mapping[str, Any]:
        return {
            "base_url": self.url,
            "auth": {"kind": "bearer", "token": KEY},
            "region": "DE",
            "fields": {"track_id": "track_id", "reference": "customer_reference"},
            "premium": {"field": "tier", "premium": ["gold"], "standard": ["basic"]},
            "ticket_key": "broker_ticket",
            "note_key": "broker_call",
        }

    def record(self, person: Person) -> dict[str, Any]:
        first, _, last = (person.name or "").partition(" ")
        phone, mobile = (*person.phones, None)[:2]
        return {
            "id": person.id,
            "url": f"https://app.hubspot.com/contacts/4242/record/0-1/{person.id}",
            "lists": ["3", VIP_LIST] if person.premium else ["3"],
            "properties": {
                "hs_object_id": person.id,
                "phone": phone,
                "mobilephone": mobile,
                "hs_searchable_calculated_phone_number": _calculated(phone),
                "hs_searchable_calculated_mobile_number": _calculated(mobile),
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
        lists = "/crm/lists/2026-09"
        return [
            ("POST", f"{OBJECTS}/contacts/search", self._search),
            ("POST", f"{OBJECTS}/{{kind}}/batch/read", self._read),
            ("POST", f"{OBJECTS}/{{kind:tickets|notes}}", self._create),
            ("GET", "/crm/properties/2026-09/{kind}/{name}", self._property),
            ("GET", f"{lists}/{{number}}", self._list),
            ("POST", f"{lists}/records/memberships/batch/read", self._memberships),
            ("POST", "/oauth/2026-09/token", self._token),
        ]

    def gives_tokens(self, request: web.Request) -> bool:
        return request.path == "/oauth/2026-09/token"

    def admits(self, request: web.Request) -> bool:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        return scheme == "Bearer" and key in self.keys

    def refuses(self, asked: Asked) -> bool:
        contacts = spec("hubspot_contacts_2026-09.json")
        described = asked.path.endswith(("/search", "/batch/read")) and "/objects/" in asked.path
        return described and contacts is not None and contacts.forbids(asked) is not None

    def skeleton(self, asked: Asked) -> object:
        """How many spellings a number or a reference has is not part of the shape."""
        return _shape(super().skeleton(asked))

    async def _search(self, request: web.Request) -> web.Response:
        self._needs("contacts.read")
        body = await request.json()
        filters = [f for group in body["filterGroups"] for f in group["filters"]]
        if len(body["filterGroups"]) > 5 or body.get("limit", 10) > 200:
            raise _invalid()
        if not {f["propertyName"] for f in filters} <= set(self._names("contacts")):
            raise _invalid()
        groups = [group["filters"] for group in body["filterGroups"]]
        found = [
            r
            for r in self.records
            if r["id"] not in self.unindexed
            if any(all(_fits(r, f) for f in filters) for filters in groups)
        ]
        shown = [_shown(r, body.get("properties", [])) for r in found[: body.get("limit", 10)]]
        return web.json_response({"total": len(found), "results": shown})

    async def _read(self, request: web.Request) -> web.Response:
        """207 as soon as there is one value that nobody has."""
        kind = request.match_info["kind"]
        self._needs("tickets" if kind == "tickets" else "contacts.read")
        body = await request.json()
        key = body["idProperty"]
        if key not in UNIQUE or key not in self._names(kind):
            raise _invalid()
        kept = [] if self.late else self._kept(kind)
        self.late = max(0, self.late - 1)
        by_value = {r["properties"][key]: r for r in kept}
        wanted = [one["id"] for one in body["inputs"]]
        results = [_shown(by_value[v], body["properties"]) for v in wanted if v in by_value]
        answer = {"status": "COMPLETE", "results": results}
        if len(results) < len(wanted):
            errors = [{"status": "error", "category": "OBJECT_NOT_FOUND"}]
            return web.json_response({**answer, "numErrors": 1, "errors": errors}, status=207)
        return web.json_response(answer)

    async def _create(self, request: web.Request) -> web.Response:
        kind = request.match_info["kind"]
        self._needs("tickets" if kind == "tickets" else "contacts.write")
        body = await request.json()
        properties, kept = body["properties"], self._kept(kind)
        if not set(properties) <= set(self._names(kind)):
            raise _invalid()
        for key in UNIQUE & set(properties):
            if any(r["properties"][key] == properties[key] for r in kept):
                raise _invalid()
        known = {r["id"] for r in self.records}
        if not {link["to"]["id"] for link in body["associations"]} <= known:
            raise _invalid()
        number = str(next(self._ids))
        url = f"https://app.hubspot.com/contacts/4242/record/0-5/{number}"
        new = {**body, "id": number, "url": url}
        kept.append(new)
        return web.json_response(_shown(new, list(properties)), status=201)

    async def _property(self, request: web.Request) -> web.Response:
        self._needs("contacts.read")
        name = request.match_info["name"]
        if name not in self._names(request.match_info["kind"]):
            raise Refusal(404, {"category": "OBJECT_NOT_FOUND"})
        return web.json_response({"name": name, "hasUniqueValue": name in UNIQUE})

    async def _list(self, request: web.Request) -> web.Response:
        self._needs("lists.read")
        if request.match_info["number"] not in {"3", VIP_LIST}:
            raise Refusal(404, {"category": "OBJECT_NOT_FOUND"})
        return web.json_response({"list": {"listId": request.match_info["number"]}})

    async def _memberships(self, request: web.Request) -> web.Response:
        self._needs("lists.read")
        asked = {one["recordId"] for one in (await request.json())["inputs"]}
        results = [
            {
                "objectTypeId": "0-1",
                "recordId": r["id"],
                "recordListMemberships": [{"listId": number} for number in r["lists"]],
            }
            for r in self.records
            if r["id"] in asked
        ]
        return web.json_response({"status": "COMPLETE", "results": results})

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form.get("grant_type") != "refresh_token" or form.get("refresh_token") != REFRESH:
            return web.json_response({"error": "invalid_grant"}, status=400)
        self.keys = {f"access-{next(self._ids)}"}
        answer = {"access_token": next(iter(self.keys)), "expires_in": 1800, "hub_id": 4242}
        return web.json_response({**answer, "refresh_token": REFRESH})

    def _needs(self, scope: str) -> None:
        if scope not in self.scopes:
            raise Refusal(403, {"category": "MISSING_SCOPES"})

    def _kept(self, kind: str) -> list[dict[str, Any]]:
        return {"contacts": self.records, "tickets": self.tickets, "notes": self.notes}[kind]

    def _names(self, kind: str) -> Iterator[str]:
        contacts = self.records[0]["properties"]
        return iter({"contacts": contacts, "tickets": TICKETS, "notes": NOTES}[kind])


class FakeHubSpotOfLists(FakeHubSpot):
    """The same account, asked for lists and for references as unique values."""

    def options(self) -> Mapping[str, Any]:
        options = dict(super().options())
        fields = {**options["fields"], "tags": "lists"}
        return {**options, "fields": fields, "unique_reference": True}


def _fits(record: dict[str, Any], wanted: Any) -> bool:
    """IN compares in small letters and wants them; of EQ nothing is said, so it is literal here."""
    stored = str(record["properties"].get(wanted["propertyName"]))
    if wanted["operator"] == "IN":
        return stored.lower() in wanted["values"]
    if wanted["operator"] == "EQ":
        return bool(stored == wanted["value"])
    raise _invalid()


def _shown(record: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Only what was asked for; what HubSpot does not know is left out."""
    held = record["properties"]
    times = {"createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z"}
    properties = {name: held[name] for name in names if name in held}
    known = {"id": record["id"], "url": record["url"], "archived": False}
    return {**known, **times, "properties": properties}


def _calculated(stored: str | None) -> str | None:
    """Area code and local number, no country code."""
    phone = Phone.read(stored, "DE") if stored else None
    return phone.national if phone else None


def _shape(node: object) -> object:
    if not isinstance(node, tuple):
        return node
    if node and node[0] in {"values", "inputs"}:
        return (node[0], frozenset(node[1]))
    return tuple(_shape(one) for one in node)


def _invalid() -> Refusal:
    return Refusal(400, {"status": "error", "category": "VALIDATION_ERROR"})

"""Freshdesk on loopback: contacts, companies, tickets, and a search that lags behind."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.testing.people import ADA
from broker.testing.vendor import FakeVendor, Refusal
from tests.specs import spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.testing.people import Person
    from broker.testing.scripted_server import Asked
    from broker.testing.vendor import Handler

API_KEY = "fd-k3y-abcdefgh"
COMPANIES = {True: 901, False: 902, None: None}
TIERS = {901: "Premium", 902: "Basic"}
CUSTOM = ("last_order", "customer_number")
SEARCHED = {"phone", "mobile", "email", "language", *(f"cf_{name}" for name in CUSTOM)}
FILTERS = {"phone", "mobile", "email", "unique_external_id"}
ONLY_IN_VIEW = {"tags", "other_emails"}
CLAUSE = r"([a-z_]+):'([^'\"\\]*)'"
QUERY = re.compile(rf'"{CLAUSE}(?: OR {CLAUSE})*"')
SPECIFIED = re.compile(r"/api/v2/(contacts(/[^/]+)?|search/contacts)")


class FakeFreshdesk(FakeVendor):
    """Answers as the reference says: numbers are compared as they are spelled.

    What it leaves out of lists, and that empty fields are null, was seen in recorded answers of
    Freshdesk (NangoHQ/integration-templates, August 2026).
    """

    secrets = (API_KEY,)

    def __init__(self) -> None:
        super().__init__()
        self.unindexed: set[int] = set()
        """Contacts that the search does not know yet."""
        self.ignores_filters = False
        """Whether it lists contacts as if there were no filter."""
        self.rights = {"contacts", "companies", "tickets"}
        self.left = 10_000
        """Requests in this minute."""
        self.earlier = [{"id": 11, "requester_id": int(ADA.id), "subject": "Refund"}]

    def options(self) -> Mapping[str, Any]:
        return {
            "base_url": self.url,
            "auth": {"kind": "basic", "username": API_KEY, "password": "X"},
            "region": "DE",
            "fields": {"track_id": "cf_last_order"},
            "premium": {
                "field": "company.account_tier",
                "premium": ["Premium"],
                "standard": ["Basic"],
            },
            "ticket_requester": "calls@shop.example",
        }

    def record(self, person: Person) -> dict[str, Any]:
        phone, mobile = (*person.phones, None)[:2]
        return {
            "id": int(person.id),
            "name": person.name,
            "email": person.email,
            "phone": phone,
            "mobile": mobile,
            "language": person.language,
            "unique_external_id": person.reference,
            "company_id": COMPANIES[person.premium],
            "custom_fields": {
                "last_order": person.track_id,
                "customer_number": person.reference.lower(),
            },
            "tags": ["vip"] if person.premium else [],
            "other_emails": [],
        }

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        return [
            ("GET", "/api/v2/search/contacts", self._search),
            ("GET", "/api/v2/contacts", self._contacts),
            ("GET", "/api/v2/contacts/{id}", self._contact),
            ("GET", "/api/v2/companies", self._companies),
            ("GET", "/api/v2/companies/{id}", self._company),
            ("GET", "/api/v2/tickets", self._tickets),
            ("POST", "/api/v2/tickets", self._open),
            ("GET", "/api/v2/tickets/{id}/conversations", self._conversations),
            ("POST", "/api/v2/tickets/{id}/notes", self._note),
        ]

    def admits(self, request: web.Request) -> bool:
        kind, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if kind != "Basic" or b64decode(encoded).decode().partition(":")[0] != API_KEY:
            return False
        self.left -= 1
        if self.left < 0:
            raise Refusal(429, {}, {"Retry-After": "34"})
        if not any(right in request.path for right in self.rights):
            raise Refusal(403, {"code": "access_denied", "message": "not authorized"})
        return True

    def refuses(self, asked: Asked) -> bool:
        contacts = spec("freshdesk.json", "/api/v2")
        if contacts is None or SPECIFIED.fullmatch(asked.path) is None:
            return False
        return contacts.forbids(asked) is not None

    def skeleton(self, asked: Asked) -> object:
        """Of a search, what it asks without the literals; each kind of clause counts once."""
        query = asked.query.get("query", "")
        bare = re.sub(r"'[^']*'", "?", query.strip('"'))
        return (super().skeleton(asked), frozenset(bare.split(" OR ")))

    async def _search(self, request: web.Request) -> web.Response:
        query = request.query["query"]
        if len(query) > 512 or QUERY.fullmatch(query) is None:
            raise Refusal(400, _invalid("query", "invalid_value"))
        wanted = re.findall(CLAUSE, query)
        for name, _ in wanted:
            if name not in SEARCHED:
                raise Refusal(400, _invalid(name, "invalid_field"))
        known = [one for one in self.records if one["id"] not in self.unindexed]
        found = [one for one in known if any(_value(one, n) == text for n, text in wanted)]
        return web.json_response(
            {"total": len(found), "results": [_listed(one) for one in found[:30]]}
        )

    async def _contacts(self, request: web.Request) -> web.Response:
        filters = {name: value for name, value in request.query.items() if name != "per_page"}
        for name in filters:
            if name not in FILTERS:
                raise Refusal(400, _invalid(name, "invalid_field"))
        if self.ignores_filters:
            filters = {}
        found = [one for one in self.records if all(one[n] == text for n, text in filters.items())]
        return web.json_response([_listed(one) for one in found[: _per_page(request)]])

    async def _contact(self, request: web.Request) -> web.Response:
        return web.json_response(_by_id(self.records, request))

    async def _companies(self, request: web.Request) -> web.Response:
        return web.json_response([_of(identity) for identity in TIERS][: _per_page(request)])

    async def _company(self, request: web.Request) -> web.Response:
        return web.json_response(_by_id([_of(identity) for identity in TIERS], request))

    async def _tickets(self, request: web.Request) -> web.Response:
        names = set(request.query) - {"per_page"}
        for name in names - {"requester_id", "email"}:
            raise Refusal(400, _invalid(name, "invalid_field"))
        newest = [*reversed(self.tickets), *self.earlier]
        found = [
            ticket
            for ticket in newest
            if all(str(ticket.get(name)) == request.query[name] for name in names)
        ]
        return web.json_response(found[: _per_page(request)])

    async def _open(self, request: web.Request) -> web.Response:
        body = await request.json()
        if not isinstance(body.get("requester_id"), int) and "@" not in body.get("email", ""):
            raise Refusal(400, _invalid("requester_id", "missing_field"))
        if len(body["subject"]) > 255:
            raise Refusal(400, _invalid("subject", "invalid_value"))
        ticket = {"id": 100 + len(self.tickets), **body}
        self.tickets.append(ticket)
        return web.json_response(ticket, status=201)

    async def _conversations(self, request: web.Request) -> web.Response:
        size, page = _per_page(request), int(request.query.get("page", "1"))
        notes = [note for note in self.notes if note["ticket_id"] == request.match_info["id"]]
        return web.json_response(notes[size * (page - 1) : size * page])

    async def _note(self, request: web.Request) -> web.Response:
        body = await request.json()
        text = re.sub(r"<[^>]*>", " ", body["body"])
        note = {"ticket_id": request.match_info["id"], "body_text": text, **body}
        self.notes.append(note)
        return web.json_response(note, status=201)


def _value(contact: dict[str, Any], name: str) -> object:
    if name.startswith("cf_"):
        return contact["custom_fields"][name.removeprefix("cf_")]
    return contact[name]


def _listed(contact: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in contact.items() if name not in ONLY_IN_VIEW}


def _of(identity: int) -> dict[str, Any]:
    return {"id": identity, "account_tier": TIERS[identity], "custom_fields": {"segment": "b2b"}}


def _by_id(records: Sequence[dict[str, Any]], request: web.Request) -> dict[str, Any]:
    for record in records:
        if str(record["id"]) == request.match_info["id"]:
            return record
    raise Refusal(404)


def _per_page(request: web.Request) -> int:
    size = int(request.query.get("per_page", "30"))
    if not 1 <= size <= 100:
        raise Refusal(400, _invalid("per_page", "invalid_value"))
    return size


def _invalid(field: str, code: str) -> dict[str, Any]:
    error = {"field": field, "message": "It should be something else", "code": code}
    return {"description": "Validation failed", "errors": [error]}

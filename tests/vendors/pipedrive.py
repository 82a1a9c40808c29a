"""Pipedrive on loopback: a search that shows no field by its name, persons by id, and notes."""

from __future__ import annotations

import re
from base64 import b64decode
from itertools import count
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.testing.vendor import TOKENS, FakeVendor, Refusal
from tests.specs import spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.testing.people import Person
    from broker.testing.scripted_server import Asked
    from broker.testing.vendor import Handler

TOKEN = "f00dfeed00000000000000000000000000c0ffee"
CLIENT = {"client_id": "0123456789abcdef", "client_secret": "cl1ent-s3cret"}
REFRESH = "1:2:r3fresh"
REFERENCE, TRACK, LANGUAGE, TIER = (digit * 40 for digit in "abcd")
"""Keys of custom fields: 40 characters."""
TIERS = {True: {"id": 31, "label": "Gold"}, False: {"id": 32, "label": "Basic"}, None: None}
VIP = {"id": 5, "label": "VIP"}
SEARCHED = frozenset({"custom_fields", "email", "notes", "phone", "name"})


class FakePipedrive(FakeVendor):
    """As the reference describes API v2.

    How a number is compared nobody says, so it is taken literally: the term stands in it as typed.
    """

    secrets = (TOKEN, CLIENT["client_secret"], REFRESH)

    def __init__(self) -> None:
        super().__init__()
        self.ignores_format = False
        self.tokens = {TOKEN}
        self.rights = {"contacts:read", "contacts:full"}
        self.gone: set[int] = set()
        """Persons whom only the search still has."""
        self._ids = count(7001)

    def options(self) -> Mapping[str, Any]:
        return {
            "base_url": self.url,
            "auth": {"kind": "header", "name": "x-api-token", "value": TOKEN},
            "region": "DE",
            "fields": {"reference": REFERENCE, "track_id": TRACK, "language": LANGUAGE},
            "premium": {"field": TIER, "premium": ["gold"], "standard": ["basic"]},
        }

    def record(self, person: Person) -> dict[str, Any]:
        custom = {REFERENCE: person.reference, TRACK: person.track_id, LANGUAGE: person.language}
        emails = [("old@example.com", False), (person.email, True)] if person.email else []
        return {
            "id": int(person.id),
            "name": person.name,
            "phones": [
                {"value": number, "primary": not i, "label": "work"}
                for i, number in enumerate(person.phones)
            ],
            "emails": [{"value": v, "primary": p, "label": "work"} for v, p in emails],
            "is_deleted": False,
            "labels": [VIP] if person.premium else [],
            "custom_fields": {**custom, TIER: TIERS[person.premium]},
        }

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        return [
            ("GET", "/api/v2/persons/search", self._search),
            ("GET", "/api/v2/persons/{number}", self._person),
            ("GET", "/api/v2/personFields/{key}", self._field),
            ("GET", "/api/v1/notes", self._notes),
            ("POST", "/api/v1/notes", self._write),
            ("POST", TOKENS, self._token),
        ]

    def admits(self, request: web.Request) -> bool:
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return request.headers.get("x-api-token", bearer) in self.tokens

    def refuses(self, asked: Asked) -> bool:
        described = spec("pipedrive_v2.json", "/api/v2")
        if described is None or not asked.path.startswith("/api/v2/persons/"):
            return False
        return described.forbids(asked) is not None

    async def _search(self, request: web.Request) -> web.Response:
        self._needs("contacts:read")
        query = request.query
        term, exact = query["term"], query.get("exact_match") == "true"
        limit = int(query.get("limit", "100"))
        if query.get("fields") not in SEARCHED or len(term) < (1 if exact else 2) or limit > 500:
            raise _refusal(400, "Invalid request")
        found = [r for r in self.records if self._has(r, query["fields"], term, exact=exact)]
        items = [{"result_score": 0.5, "item": _item(record)} for record in found[:limit]]
        cursor = "eyJmaWVsZCI6ImlkIn0" if len(found) > limit else None
        return _answer({"items": items}, additional_data={"next_cursor": cursor})

    def _has(self, record: dict[str, Any], field: str, term: str, *, exact: bool) -> bool:
        if field == "phone":
            values = [phone["value"] for phone in record["phones"]]
        else:
            values = [v for v in record["custom_fields"].values() if isinstance(v, str)]
        if self.ignores_format:
            term, values = _digits(term), [_digits(value) for value in values]
        wanted = term.casefold()
        return any(v.casefold() == wanted if exact else wanted in v.casefold() for v in values)

    async def _person(self, request: web.Request) -> web.Response:
        """Keys of custom fields that do not exist are left out."""
        self._needs("contacts:read")
        keys = [key for key in request.query.get("custom_fields", "").split(",") if key]
        people = [record for record in self.records if record["id"] not in self.gone]
        found = [record for record in people if str(record["id"]) == request.match_info["number"]]
        if len(keys) > 15:
            raise _refusal(400, "Too many custom fields")
        if not found:
            raise _refusal(404, "Person not found")
        held = found[0]["custom_fields"]
        custom = {key: held[key] for key in keys or held if key in held}
        if request.query.get("include_option_labels") != "true":
            custom = {k: v["id"] if isinstance(v, dict) else v for k, v in custom.items()}
        person = {**found[0], "custom_fields": custom}
        person["label_ids"] = [label["id"] for label in person["labels"]]
        if request.query.get("include_labels") != "true":
            del person["labels"]
        return _answer(person)

    async def _field(self, request: web.Request) -> web.Response:
        self._needs("contacts:read")
        if request.match_info["key"] not in self.records[0]["custom_fields"]:
            raise _refusal(404, "Field not found")
        return _answer({"field_code": request.match_info["key"]})

    async def _notes(self, request: web.Request) -> web.Response:
        """`data` is null if there are none, as everywhere in API v1."""
        self._needs("contacts:read")
        wanted = int(request.query["person_id"])
        found = [note for note in reversed(self.notes) if note["person_id"] == wanted]
        return _answer(found[: int(request.query["limit"])] or None)

    async def _write(self, request: web.Request) -> web.Response:
        """The content is HTML, and tidied."""
        self._needs("contacts:full")
        body = await request.json()
        if body["person_id"] not in {record["id"] for record in self.records}:
            raise _refusal(400, "Person not found")
        content = body["content"].replace("<br>", "<br />")
        self.notes.append({**body, "id": next(self._ids), "content": content})
        return _answer(self.notes[-1], status=201)

    async def _token(self, request: web.Request) -> web.Response:
        """The client shows itself in the header, and nowhere else."""
        shown = request.headers.get("Authorization", "").removeprefix("Basic ")
        if b64decode(shown).decode() != ":".join(CLIENT.values()):
            return web.json_response({"error": "invalid_client"}, status=401)
        form = await request.post()
        if form.get("grant_type") != "refresh_token" or form.get("refresh_token") != REFRESH:
            return web.json_response({"error": "invalid_grant"}, status=400)
        self.tokens = {f"v1u:{next(self._ids)}"}
        answer = {"access_token": next(iter(self.tokens)), "expires_in": 3599}
        return web.json_response({**answer, "refresh_token": REFRESH, "api_domain": self.url})

    def _needs(self, right: str) -> None:
        if right not in self.rights:
            raise _refusal(403, "Scope and URL mismatch")


def _item(record: dict[str, Any]) -> dict[str, Any]:
    """What a search shows of a person: custom fields without their keys."""
    custom = [value for value in record["custom_fields"].values() if isinstance(value, str)]
    return {
        "id": record["id"],
        "type": "person",
        "name": record["name"],
        "phones": [phone["value"] for phone in record["phones"]],
        "emails": [email["value"] for email in record["emails"]],
        "custom_fields": custom,
        "notes": [],
    }


def _answer(data: object, status: int = 200, **more: object) -> web.Response:
    return web.json_response({"success": True, "data": data, **more}, status=status)


def _refusal(status: int, error: str) -> Refusal:
    return Refusal(status, {"success": False, "error": error, "errorCode": status})


def _digits(text: str) -> str:
    return re.sub(r"[^0-9A-Za-z]", "", text)

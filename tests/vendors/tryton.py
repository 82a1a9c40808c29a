"""Tryton's REST API on loopback: what trytond 8.2.1 was seen to answer, over a few models."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from broker.sdk import Phone
from broker.testing.vendor import FakeVendor, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from broker.testing.people import Person
    from broker.testing.scripted_server import Asked
    from broker.testing.vendor import Handler

KEY = "tryton-s3cret"
TIERS = {True: "VIP", False: "Basic"}
MODELS: dict[str, dict[str, str | None]] = {
    "party.party": {
        **dict.fromkeys(["id", "name", "code", "code_alnum", "email", "phone", "mobile"]),
        "lang": "ir.lang",
        "categories": "party.category",
        "identifiers": "party.identifier",
        "contact_mechanisms": "party.contact_mechanism",
    },
    "party.contact_mechanism": dict.fromkeys(["id", "type", "value", "value_compact", "comment"]),
    "party.category": dict.fromkeys(["id", "name"]),
    "party.identifier": dict.fromkeys(["id", "type", "code"]),
    "ir.lang": dict.fromkeys(["id", "code"]),
    "ir.note": dict.fromkeys(["id", "resource", "message"]),
}
"""Models, their fields, and where a field leads."""
UNSEARCHABLE = frozenset({"email", "phone", "mobile"})


class FakeTryton(FakeVendor):
    """Evaluates domains of `=`, `in` and `like`; knows fields, rights and the database's name."""

    secrets = (KEY,)
    has_phonenumbers = True
    """An optional part of Tryton: without it `value_compact` is whatever was typed."""

    def __init__(self) -> None:
        self.unreadable: set[str] = set()
        """Models that the key's user may not read or write."""
        super().__init__()

    def options(self) -> Mapping[str, Any]:
        return {
            "base_url": self.url,
            "database": "crm",
            "auth": {"kind": "bearer", "token": KEY},
            "region": "DE",
            "fields": {"track_id": "identifiers.code"},
            "premium": {"field": "categories.name", "premium": ["VIP"], "standard": ["Basic"]},
            "web_url": "https://tryton.example.com/",
        }

    def record(self, person: Person) -> dict[str, Any]:
        mechanisms = [("phone", number, self._compact(number)) for number in person.phones]
        mechanisms += [("email", person.email, person.email)] if person.email else []
        tier = TIERS.get(person.premium) if person.premium is not None else None
        return {
            "id": int(person.id),
            "name": person.name,
            "code": person.reference,
            "email": person.email or "",
            "lang": {"id": 1, "code": person.language} if person.language else None,
            "categories": [{"id": 1, "name": tier}] if tier else [],
            "identifiers": [{"id": 1, "code": person.track_id}] if person.track_id else [],
            "contact_mechanisms": [
                {"id": i, "type": kind, "value": value, "value_compact": compact}
                for i, (kind, value, compact) in enumerate(mechanisms)
            ],
        }

    def _compact(self, number: str) -> str:
        """The parties live in Germany."""
        phone = Phone.read(number, "DE") if self.has_phonenumbers else None
        return phone.e164 if phone else number

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        return [("POST", "/{database}/rest/model/{model}/{method}", self._call)]

    def admits(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") == f"Bearer {KEY}"

    def skeleton(self, asked: Asked) -> object:
        """A list of values is one value: how many spellings there are depends on the number."""
        body = orjson.loads(asked.body)
        leaves = [(leaf[0], leaf[1]) for leaf in body.get("domain", [])]
        return (tuple(sorted(body)), tuple(leaves), tuple(body.get("fields_names", ())))

    async def _call(self, request: web.Request) -> web.Response:
        asked = request.match_info
        if asked["database"] != "crm":
            raise Refusal(404)
        if asked["model"] not in MODELS:
            raise Refusal(500)
        methods = {
            "search_read": self._search_read,
            "fields_get": self._fields_get,
            "create": self._create,
        }
        if asked["method"] not in methods:
            raise Refusal(403)
        return web.json_response(methods[asked["method"]](asked["model"], await request.json()))

    def _fields_get(self, model: str, body: Mapping[str, Any]) -> object:
        """Also of models that may not be read, and only what is there."""
        return {
            name: {"name": name, "searchable": name not in UNSEARCHABLE, "relation": relation}
            for name, relation in MODELS[model].items()
            if name in body["fields_names"]
        }

    def _search_read(self, model: str, body: Mapping[str, Any]) -> object:
        names: list[str] = body["fields_names"]
        for leaf in body["domain"]:
            self._must_know(model, leaf[0])
            if leaf[0] in UNSEARCHABLE:
                raise Refusal(500)
        for name in names:
            self._must_know(model, name)
        rows = self.records if model == "party.party" else self.notes
        found = [row for row in rows if all(_fits(row, *leaf) for leaf in body["domain"])]
        return [_read(row, names) for row in found[: body.get("limit")]]

    def _must_know(self, model: str, path: str) -> None:
        """500 for a field that is not there, 403 for one on a model that may not be read."""
        if model in self.unreadable:
            raise Refusal(403)
        name, _, rest = path.partition(".")
        relation = MODELS[model].get(name)
        if name not in MODELS[model] or (rest and not relation):
            raise Refusal(500)
        if rest:
            self._must_know(str(relation), rest)

    def _create(self, model: str, body: Mapping[str, Any]) -> object:
        (values,) = body["vlist"]
        if model != "ir.note" or self.unreadable:
            raise Refusal(403)
        known = {f"party.party,{row['id']}" for row in self.records}
        if values["resource"] not in known or not values["message"]:
            raise Refusal(400, {"status": 400, "message": "A value is required for field ..."})
        self.notes.append({**values, "id": len(self.notes) + 1})
        return [len(self.notes)]


def _fits(row: Mapping[str, Any], path: str, operator: str, value: Any) -> bool:
    found = _values(row, path.split("."))
    match operator:
        case "=":
            return value in found
        case "in":
            return any(one in value for one in found)
        case "like":
            return any(_like(str(one), value) for one in found)
    raise Refusal(500)


def _like(text: str, pattern: str) -> bool:
    signs = re.findall(r"\\.|.", pattern, re.DOTALL)
    wanted = "".join({"%": ".*", "_": "."}.get(sign, re.escape(sign[-1])) for sign in signs)
    return re.fullmatch(wanted, text, re.DOTALL) is not None


def _values(node: Any, path: Sequence[str]) -> list[Any]:
    if isinstance(node, list):
        return [value for one in node for value in _values(one, path)]
    if not path or node is None:
        return [node]
    return _values(node.get(path[0]), path[1:])


def _read(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Related records stand below `name.`, each with its id."""
    below: dict[str, list[str]] = {}
    for name in names:
        head, _, rest = name.partition(".")
        below.setdefault(head, []).extend([rest] if rest else [])
    answer: dict[str, Any] = {}
    for head, rests in below.items():
        related = row.get(head)
        if not rests:
            answer[head] = related
        elif isinstance(related, list):
            answer[f"{head}."] = [_read(one, ["id", *rests]) for one in related]
        else:
            answer[f"{head}."] = _read(related, ["id", *rests]) if related else None
    return answer

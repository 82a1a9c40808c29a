"""Odoo's JSON-2 API on loopback: domains, fields and errors as in Odoo 19, over a few models."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from broker.sdk import Phone
from broker.testing.vendor import FakeVendor, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from broker.testing.people import Person
    from broker.testing.scripted_server import Asked
    from broker.testing.vendor import Handler

KEY = "odoo-s3cret"
DATABASE = "shop"
LANGUAGES = {"de": "de_DE", "en": "en_US", None: False}
TIERS = {True: "gold", False: "basic", None: False}
TAGS = {1: "VIP", 2: "Wholesale"}
FIELDS = {
    "res.partner": {
        *("id", "name", "email", "phone", "mobile", "phone_sanitized", "ref", "lang", "type"),
        *("parent_id", "commercial_partner_id", "category_id", "x_track", "x_tier", "x_vip"),
    },
    "res.partner.category": {"id", "name"},
    "mail.message": {"id", "model", "res_id", "body", "message_type"},
    "helpdesk.ticket": {"id", "name", "description", "partner_id", "team_id", "active"},
}
_HTML = "<!doctype html><title>404 Not Found</title>"


class FakeOdoo(FakeVendor):
    """Keeps a number as E.164 besides, as the module phone_validation does."""

    secrets = (KEY,)
    has_phone_validation = True

    def __init__(self) -> None:
        super().__init__()
        self.unreadable: set[str] = set()
        """Models that the key's user may not read."""
        self.tags = [{"id": id_, "name": name} for id_, name in TAGS.items()]

    def options(self) -> Mapping[str, Any]:
        return {
            "base_url": self.url,
            "database": DATABASE,
            "auth": {"kind": "bearer", "token": KEY},
            "region": "DE",
            "fields": {"track_id": "x_track", "phones": ["phone_sanitized", "phone", "mobile"]},
            "premium": {"field": "x_tier", "premium": ["gold"], "standard": ["basic"]},
        }

    def record(self, person: Person) -> dict[str, Any]:
        phone, mobile = (*person.phones, False)[:2]
        first = Phone.read(str(mobile or phone), "DE")
        return {
            "id": int(person.id),
            "name": person.name or False,
            "email": person.email or False,
            "phone": phone,
            "mobile": mobile,
            "phone_sanitized": first.e164 if first else False,
            "ref": person.reference,
            "lang": LANGUAGES[person.language],
            "type": "contact",
            "parent_id": False,
            "commercial_partner_id": [int(person.id), person.name],
            "category_id": [],
            "x_track": person.track_id or False,
            "x_tier": TIERS[person.premium],
            "x_vip": person.premium is True,
        }

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        return [("POST", "/json/2/{model}/{method}", self._call)]

    def admits(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") == f"Bearer {KEY}"

    def skeleton(self, asked: Asked) -> object:
        """A list of values is one value: how many spellings there are depends on the number."""
        body = orjson.loads(asked.body)
        domain = body.get("domain", [])
        parts = [part if isinstance(part, str) else tuple(part[:2]) for part in domain]
        return (tuple(sorted(body)), tuple(parts), tuple(body.get("fields", ())))

    async def _call(self, request: web.Request) -> web.Response:
        if request.headers.get("X-Odoo-Database") != DATABASE:
            return web.Response(text=_HTML, status=404, content_type="text/html")
        model, method = request.match_info["model"], request.match_info["method"]
        if model not in self._known():
            raise _error(404, "werkzeug.exceptions.NotFound", f"the model {model!r} does not exist")
        methods: dict[str, Callable[..., object]] = {
            "search_read": self._search_read,
            "read": self._read,
            "fields_get": self._fields_get,
            "create": self._create,
            "message_post": self._message_post,
        }
        if method not in methods:
            raise _error(404, "werkzeug.exceptions.NotFound", "no such method")
        body = await request.json()
        body.setdefault("context", {})
        try:
            result = methods[method](model, **body)
        except TypeError as error:  # an argument that the method does not have, or misses
            name = "werkzeug.exceptions.UnprocessableEntity"
            raise _error(422, name, str(error)) from None
        return web.json_response(result)

    def _known(self) -> Mapping[str, set[str]]:
        if self.has_phone_validation:
            return FIELDS
        return {**FIELDS, "res.partner": FIELDS["res.partner"] - {"phone_sanitized"}}

    def _rows(self, model: str) -> list[dict[str, Any]]:
        return {
            "res.partner": self.records,
            "res.partner.category": self.tags,
            "mail.message": self.notes,
            "helpdesk.ticket": self.tickets,
        }[model]

    def _fields_get(
        self,
        model: str,
        context: object,  # noqa: ARG002 - as of Odoo
        allfields: Sequence[str],
        attributes: Sequence[str],
    ) -> object:
        known = self._known()[model]
        return {name: dict.fromkeys(attributes, "?") for name in allfields if name in known}

    def _search_read(
        self,
        model: str,
        context: Mapping[str, Any],
        domain: Sequence[Any],
        fields: Sequence[str],
        limit: int,
    ) -> object:
        self._must_read(model, [part[0] for part in domain if not isinstance(part, str)])
        rows = [
            row
            for row in self._rows(model)
            if row.get("active", True) or not context.get("active_test", True)
        ]
        found = [row for row in rows if _fits(row, domain)]
        return self._shown(model, found[:limit], fields)

    def _read(
        self,
        model: str,
        context: object,  # noqa: ARG002 - as of Odoo
        ids: Sequence[int],
        fields: Sequence[str],
    ) -> object:
        rows = {row["id"]: row for row in self._rows(model)}
        return self._shown(model, [rows[one] for one in ids], fields)

    def _shown(
        self, model: str, rows: Sequence[Mapping[str, Any]], fields: Sequence[str]
    ) -> object:
        self._must_read(model, fields)
        return [{name: row.get(name, False) for name in ["id", *fields]} for row in rows]

    def _must_read(self, model: str, fields: Sequence[str]) -> None:
        """AccessError for a model, ValueError for a field: Odoo answers 403 and 500."""
        if model in self.unreadable:
            raise _error(403, "odoo.exceptions.AccessError", "You are not allowed to access ...")
        for name in fields:
            if name not in self._known()[model]:
                raise _error(500, "builtins.ValueError", f"Invalid field {name!r} on {model!r}")

    def _create(self, model: str, context: object, vals_list: Sequence[Any]) -> object:  # noqa: ARG002
        (values,) = vals_list
        self._must_read(model, list(values))
        row = {"active": True, **values, "id": len(self._rows(model)) + 1}
        self._rows(model).append(row)
        return [row["id"]]

    def _message_post(
        self,
        model: str,
        context: object,  # noqa: ARG002 - as of Odoo
        ids: Sequence[int],
        **message: Any,
    ) -> object:
        """A text is escaped, unless it is said to be HTML."""
        if not {row["id"] for row in self._rows(model)}.issuperset(ids):
            raise _error(404, "odoo.exceptions.MissingError", "Record does not exist or ...")
        assert message.pop("body_is_html")
        row = {"id": len(self.notes) + 1, "model": model, "res_id": ids[0], **message}
        self.notes.append({**row, "body": f"<p>{message['body']}</p>"})
        return [row["id"]]


def _error(status: int, name: str, message: str) -> Refusal:
    return Refusal(status, {"name": name, "message": message, "arguments": [], "context": {}})


def _fits(row: Mapping[str, Any], domain: Sequence[Any]) -> bool:
    """A domain in prefix notation; whatever is left over is joined by AND."""
    stack: list[bool] = []
    for part in reversed(domain):
        if part == "|":
            stack.append(any([stack.pop(), stack.pop()]))
        elif part == "&":
            stack.append(all([stack.pop(), stack.pop()]))
        else:
            stack.append(_leaf(row, *part))
    return all(stack)


def _leaf(row: Mapping[str, Any], name: str, operator: str, value: Any) -> bool:
    found = row.get(name, False)
    match operator:
        case "=":
            return bool(found == value)
        case "in":
            return found is not False and found in value
        case "like":
            signs = {"%": ".*", "_": "."}
            wanted = "".join(signs.get(sign, re.escape(sign)) for sign in value)
            return re.search(wanted, str(found), re.DOTALL) is not None
    raise _error(500, "builtins.ValueError", f"Invalid operator {operator!r}")

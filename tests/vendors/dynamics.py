"""Dataverse on loopback: contacts, accounts, cases and notes behind the Web API and Entra."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.testing.people import CAROL
from broker.testing.tokens import TokenDesk
from broker.testing.vendor import FakeVendor, Refusal
from tests.vendors.odata import Filter, expanded, value_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.testing.people import Person
    from broker.testing.scripted_server import Asked
    from broker.testing.vendor import Handler

SECRET = "s3cret~of-Entra"
TOKEN = "eyJ0-of-Entra-"
ACCOUNT = "parentcustomerid_account"
TIERS = {True: 100_000_001, False: 100_000_002, None: None}
_API = "/api/data/v9.2"
_CRM = "Microsoft.Dynamics.CRM"
_LONGEST = {"title": 200, "description": 2000, "subject": 500, "notetext": 100_000}
_OPTIONS = {"$select", "$filter", "$expand", "$top"}
_BOUND = re.compile(r"(\w+)_(contact|account)@odata\.bind")


class FakeDynamics(FakeVendor):
    """Answers as the Web API guide describes it; unknown columns and options are refused."""

    secrets = (SECRET, TOKEN)

    def __init__(self, *people: Sequence[Person]) -> None:
        super().__init__(*people)
        self._columns = {"contact": {*self.record(CAROL)}, "account": {*self.account("")}}
        self.accounts: list[dict[str, Any]] = []
        self.cases: dict[str, dict[str, Any]] = {}
        self.annotations: dict[str, dict[str, Any]] = {}
        self.desk = TokenDesk(
            {"grant_type": "client_credentials", "client_id": "broker", "client_secret": SECRET},
            {"client_secret": (401, "invalid_client"), "scope": (400, "invalid_resource")},
            TOKEN,
        )
        self.member = True
        """Whether the application is a user of this environment."""

    def options(self) -> Mapping[str, Any]:
        return {
            "base_url": self.url,
            "auth": {
                "kind": "client_credentials",
                "token_url": f"{self.url}/tenant/oauth2/v2.0/token",
                "client_id": "broker",
                "client_secret": SECRET,
            },
            "region": "DE",
            "fields": {
                "track_id": "new_track",
                "reference": "new_customerno",
                "language": "new_language",
            },
            "premium": {"field": "new_tier", "premium": [100_000_001], "standard": [100_000_002]},
            "unknown_customer": CAROL.id,
        }

    def record(self, person: Person) -> dict[str, Any]:
        phone, mobile = (*person.phones, None)[:2]
        return {
            "contactid": person.id,
            "statecode": 0,
            "fullname": person.name,
            "emailaddress1": person.email,
            "telephone1": phone,
            "telephone2": None,
            "telephone3": None,
            "mobilephone": mobile,
            "new_language": person.language,
            "new_track": person.track_id,
            "new_customerno": person.reference,
            "new_tier": TIERS[person.premium],
            ACCOUNT: None,
        }

    def account(self, key: str, **columns: Any) -> dict[str, Any]:
        """A company; it has no tier of its own unless `columns` says so."""
        empty = dict.fromkeys(["name", "emailaddress1", "telephone1", "telephone2", "new_tier"])
        return {"accountid": key, "statecode": 0, "accountnumber": None, **empty, **columns}

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        return [
            ("POST", "/tenant/oauth2/v2.0/token", self._token),
            ("GET", f"{_API}/contacts", self._contacts),
            ("GET", f"{_API}/accounts", self._accounts),
            ("PATCH", f"{_API}/incidents({{key}})", self._case),
            ("PATCH", f"{_API}/annotations({{key}})", self._note),
        ]

    def gives_tokens(self, request: web.Request) -> bool:
        return request.path == "/tenant/oauth2/v2.0/token"

    def revoke(self) -> None:
        self.desk.revoke()

    def admits(self, request: web.Request) -> bool:
        return self.desk.admits(request.headers.get("Authorization"))

    def skeleton(self, asked: Asked) -> object:
        options = dict(asked.query)
        if "$filter" in options:
            options["$filter"] = _shape(options["$filter"])
        return tuple(sorted(options.items()))

    async def _token(self, request: web.Request) -> web.Response:
        self.desk.wanted["scope"] = f"{self.url}/.default"
        return await self.desk.give(request)

    async def _contacts(self, request: web.Request) -> web.Response:
        return self._rows(request, "contact", self.records)

    async def _accounts(self, request: web.Request) -> web.Response:
        return self._rows(request, "account", self.accounts)

    def _rows(self, request: web.Request, entity: str, rows: list[dict[str, Any]]) -> web.Response:
        self._let_in(request)
        query = request.query
        if not query.keys() <= _OPTIONS:
            raise _fault(400, "0x0", "The query option is not supported")
        try:
            wanted = Filter.parse(query["$filter"])
        except ValueError:
            raise _fault(400, "0x80060888", "Syntax error in $filter") from None
        columns = query["$select"].split(",")
        links = expanded(query.get("$expand", ""))
        self._check(entity, [*columns, *links, *(path.partition("/")[0] for path in wanted.names)])
        self._check("account", [column for inner in links.values() for column in inner])
        found = [row for row in rows if wanted.fits(row)][: int(query.get("$top", 5000))]
        key = f"{entity}id"
        value = [
            {"@odata.etag": 'W/"1"', key: row[key], **_shown(row, columns, links)} for row in found
        ]
        return web.json_response({"@odata.context": f"{self.url}{_API}/$metadata", "value": value})

    def _check(self, entity: str, names: Sequence[str]) -> None:
        for name in names:
            if name not in self._columns[entity]:
                text = f"Could not find a property named '{name}' on type '{_CRM}.{entity}'."
                raise _fault(400, "0x0", text)

    async def _case(self, request: web.Request) -> web.Response:
        case = await self._created(request, self.cases)
        if not {"customerid_contact", "customerid_account"} & case.keys():
            raise _fault(400, "0x80040276", "You should specify a parent contact or account.")
        self.tickets.append(case)
        return web.Response(status=204)

    async def _note(self, request: web.Request) -> web.Response:
        self.notes.append(await self._created(request, self.annotations))
        return web.Response(status=204)

    async def _created(
        self, request: web.Request, table: dict[str, dict[str, Any]]
    ) -> dict[str, Any]:
        """The new row. As `If-None-Match: *` demands, one that is there already is no success."""
        self._let_in(request)
        key = request.match_info["key"]
        if request.headers.get("If-None-Match") != "*" or key in table:
            raise _fault(412, "", "A record with matching key values already exists.")
        row = {"key": key}
        for name, value in (await request.json()).items():
            if (bound := _BOUND.fullmatch(name)) is not None:
                row[f"{bound[1]}_{bound[2]}"] = self._existing(bound[2], value)
            elif len(str(value)) > _LONGEST.get(name, 10):
                raise _fault(400, "0x80044331", "A validation error occurred: too long")
            else:
                row[name] = value
        table[key] = row
        return row

    def _existing(self, entity: str, link: str) -> str:
        rows = self.records if entity == "contact" else self.accounts
        keys = {f"/{entity}s({row[f'{entity}id']})": row[f"{entity}id"] for row in rows}
        if link not in keys:
            raise _fault(404, "0x80040217", f"Entity '{entity}' Does Not Exist: {link}")
        return str(keys[link])

    def _let_in(self, request: web.Request) -> None:
        if request.headers.get("OData-Version") != "4.0":
            raise _fault(400, "0x0", "OData-Version is missing")
        if not self.member:
            raise _fault(403, "0x80072560", "The user is not a member of the organization.")


def _shape(text: str) -> str:
    try:
        return Filter.parse(text).shape
    except ValueError:
        return "no filter"


def _shown(
    row: Mapping[str, Any], columns: list[str], links: Mapping[str, list[str]]
) -> dict[str, Any]:
    shown = {column: row[column] for column in columns}
    for link, inner in links.items():
        known = row[link]
        shown[link] = known and {column: value_at(known, column) for column in inner}
    return shown


def _fault(status: int, code: str, message: str) -> Refusal:
    return Refusal(status, {"error": {"code": code, "message": message}})

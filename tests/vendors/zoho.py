"""Zoho CRM on loopback: contacts behind COQL and the search index, cases, tasks and notes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from broker.testing.tokens import TokenDesk
from broker.testing.vendor import FakeVendor, Refusal
from tests.specs import spec
from tests.vendors.coql import Query

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.testing.people import Person
    from broker.testing.scripted_server import Asked
    from broker.testing.vendor import Handler

SECRET, REFRESH, TOKEN = "s3cret-of-zoho", "1000.refresh-of-zoho", "1000.access-of-zoho-"
TIERS = {True: "Gold", False: "Basic", None: None}
SCOPES = {
    *("ZohoCRM.coql.READ", "ZohoCRM.modules.contacts.READ", "ZohoSearch.securesearch.READ"),
    *("ZohoCRM.modules.cases.ALL", "ZohoCRM.modules.tasks.ALL", "ZohoCRM.modules.notes.ALL"),
}
_API = "/crm/v8"
_MOST_TOKENS = 10
_TICKET = {"Subject", "Description", "Status", "Priority"}
_FIELDS = {
    "Cases": _TICKET | {"Case_Origin", "Related_To"},
    "Tasks": _TICKET | {"Who_Id"},
    "Notes": {"Note_Title", "Note_Content", "Parent_Id"},
}
_MANDATORY = {
    "Cases": ("Subject", "Status", "Case_Origin"),
    "Tasks": ("Subject",),
    "Notes": ("Note_Content", "Parent_Id"),
}


class FakeZoho(FakeVendor):
    """Answers as the API pages of version 8 describe it: nobody is 204, a wrong token is 401."""

    secrets = (SECRET, REFRESH, TOKEN)

    def __init__(self, *people: Sequence[Person]) -> None:
        super().__init__(*people)
        self.desk = TokenDesk(
            {
                "grant_type": "refresh_token",
                "client_id": "1000.broker",
                "client_secret": SECRET,
                "refresh_token": REFRESH,
            },
            {"client_secret": (200, "invalid_client"), "refresh_token": (200, "invalid_code")},
            TOKEN,
        )
        self.scopes = set(SCOPES)
        self.modules = {"Contacts", "Cases", "Tasks", "Notes"}
        self.not_indexed: set[str] = set()
        """Ids of contacts that the search index does not know yet."""
        self.made: dict[str, list[dict[str, Any]]] = {"Cases": [], "Tasks": [], "Notes": []}
        self.tickets = self.made["Cases"]
        self.notes = self.made["Notes"]

    def options(self) -> Mapping[str, Any]:
        return {
            "base_url": self.url,
            "auth": {
                "kind": "refresh_token",
                "token_url": f"{self.url}/oauth/v2/token",
                "client_id": "1000.broker",
                "client_secret": SECRET,
                "refresh_token": REFRESH,
            },
            "region": "DE",
            "fields": {
                "track_id": "Last_Order",
                "reference": "Customer_No",
                "language": "Preferred_Language",
            },
            "premium": {"field": "Tier", "premium": ["Gold"], "standard": ["Basic"]},
        }

    def record(self, person: Person) -> dict[str, Any]:
        phone, mobile = (*person.phones, None)[:2]
        return {
            "id": person.id,
            "Full_Name": person.name,
            "Email": person.email,
            "Phone": phone,
            "Mobile": mobile,
            "Other_Phone": None,
            "Preferred_Language": person.language,
            "Last_Order": person.track_id,
            "Customer_No": person.reference,
            "Tier": TIERS[person.premium],
            "Tag": [],
            "Account_Name": None,
            "Account_Name.Tier": None,
        }

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        return [
            ("POST", "/oauth/v2/token", self._token),
            ("POST", f"{_API}/coql", self._coql),
            ("GET", f"{_API}/Contacts/search", self._search),
            ("POST", f"{_API}/{{module:Cases|Tasks}}", self._open),
            ("GET", f"{_API}/Contacts/{{id}}/Notes", self._notes),
            ("POST", f"{_API}/Contacts/{{id}}/Notes", self._note),
        ]

    def gives_tokens(self, request: web.Request) -> bool:
        return request.path == "/oauth/v2/token"

    def revoke(self) -> None:
        self.desk.revoke()

    def admits(self, request: web.Request) -> bool:
        shown = request.headers.get("Authorization", "")
        if not self.desk.admits(shown, "Zoho-oauthtoken "):
            raise _fault(401, "INVALID_TOKEN")
        return True

    def refuses(self, asked: Asked) -> bool:
        names = {f"{_API}/coql": "zoho_coql.json", f"{_API}/Contacts/search": _SEARCH_SPEC}
        judge = spec(names[asked.path]) if asked.path in names else None
        return judge is not None and judge.forbids(asked) is not None

    def skeleton(self, asked: Asked) -> object:
        if not asked.path.endswith("/coql"):
            return super().skeleton(asked)
        try:
            return Query.parse(orjson.loads(asked.body).get("select_query", "")).shape
        except ValueError:
            return "no query"

    async def _token(self, request: web.Request) -> web.Response:
        if len(self.desk.forms) >= _MOST_TOKENS:
            return web.json_response({"error": "Access Denied", "status": "failure"}, status=400)
        return await self.desk.give(request)

    async def _coql(self, request: web.Request) -> web.Response:
        try:
            query = Query.parse((await request.json())["select_query"])
        except ValueError:
            raise _fault(400, "SYNTAX_ERROR", clause="where") from None
        self._needs("ZohoCRM.coql.READ", query.module)
        contacts = query.module == "Contacts"
        known = {*self.records[0]} if contacts else {"id", *_FIELDS[query.module]}
        for name in sorted(query.named - known):
            raise _fault(400, "INVALID_QUERY", column_name=name, module=query.module)
        rows = self.records if contacts else self.made[query.module]
        found = [row for row in rows if query.fits(row)]
        return _page(found, query.limit, query.columns)

    async def _search(self, request: web.Request) -> web.Response:
        """Any phone field that contains the digits, as `equals` means contains in this index."""
        self._needs("ZohoSearch.securesearch.READ", "Contacts")
        digits = _digits(request.query["phone"])
        if len(digits) < 2:
            raise _fault(400, "INVALID_DATA")
        found = [
            row
            for row in self.records
            if row["id"] not in self.not_indexed
            and any(digits in _digits(row[name]) for name in ("Phone", "Mobile", "Other_Phone"))
        ]
        columns = request.query["fields"].split(",")
        for name in sorted({*columns} - {name for name in self.records[0] if "." not in name}):
            raise _fault(400, "INVALID_QUERY", api_name=name)
        return _page(found, int(request.query["per_page"]), ("id", *columns))

    async def _open(self, request: web.Request) -> web.Response:
        module = request.match_info["module"]
        record = await self._taken(request, module)
        for link in ("Related_To", "Who_Id"):
            self._existing(record.get(link))
        return self._keep(module, record)

    async def _notes(self, request: web.Request) -> web.Response:
        self._needs("ZohoCRM.modules.notes.ALL", "Notes")
        parent = {"id": request.match_info["id"]}
        self._existing(parent)
        mine = [note for note in self.made["Notes"] if note["Parent_Id"]["id"] == parent["id"]]
        columns = request.query["fields"].split(",")
        return _page(mine[::-1], int(request.query["per_page"]), ("id", *columns))

    async def _note(self, request: web.Request) -> web.Response:
        record = await self._taken(request, "Notes")
        self._existing(record["Parent_Id"])
        return self._keep("Notes", record)

    async def _taken(self, request: web.Request, module: str) -> dict[str, Any]:
        """The record of the request, if it has what it must and nothing that is unknown."""
        self._needs(f"ZohoCRM.modules.{module.lower()}.ALL", module)
        (record,) = (await request.json())["data"]
        for name in sorted(record.keys() - _FIELDS[module]):
            raise _refused_record("INVALID_DATA", name)
        for name in _MANDATORY[module]:
            if not record.get(name):
                raise _refused_record("MANDATORY_NOT_FOUND", name)
        return dict(record)

    def _keep(self, module: str, record: dict[str, Any]) -> web.Response:
        kept = {"id": f"9{len(self.made[module])}{len(module)}", **record}
        self.made[module].append(kept)
        done = {"code": "SUCCESS", "details": {"id": kept["id"]}, "status": "success"}
        return web.json_response({"data": [{**done, "message": "record added"}]}, status=201)

    def _existing(self, link: Mapping[str, Any] | None) -> None:
        if link is not None and link["id"] not in {row["id"] for row in self.records}:
            raise _refused_record("INVALID_DATA", "id")

    def _needs(self, scope: str, module: str) -> None:
        if scope not in self.scopes:
            raise _fault(401, "OAUTH_SCOPE_MISMATCH")
        if module not in self.modules:
            raise _fault(400, "INVALID_MODULE", resource_path_index=0)


_SEARCH_SPEC = "zoho_module_search.json"


def _page(found: list[dict[str, Any]], most: int, columns: Sequence[str]) -> web.Response:
    if not found:
        return web.Response(status=204)
    data = [{column: row.get(column) for column in columns} for row in found[:most]]
    info = {"count": len(data), "more_records": len(found) > most}
    return web.json_response({"data": data, "info": info})


def _digits(text: str | None) -> str:
    return "".join(re.findall(r"[0-9]", text or ""))


def _fault(status: int, code: str, **details: object) -> Refusal:
    told = {"code": code, "details": details, "message": "see the code", "status": "error"}
    return Refusal(status, told)


def _refused_record(code: str, name: str) -> Refusal:
    told = {"code": code, "details": {"api_name": name}, "message": "no", "status": "error"}
    return Refusal(400, {"data": [told]})

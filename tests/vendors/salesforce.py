"""Salesforce on loopback: an org with contacts, accounts and leads behind OAuth and REST."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import jwt
import orjson
from aiohttp import web

from broker.testing.vendor import FakeVendor, Refusal
from tests.vendors import soql

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.testing.people import Person
    from broker.testing.scripted_server import Asked
    from broker.testing.vendor import Handler

TOKENS = "/services/oauth2/token"
API = "/services/data/v62.0"
CLIENT, SECRET = "3MVG9-client", "0C8A-s3cret"
USER = "broker@shop.example"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TIERS = {True: "Gold", False: "Basic", None: None}

_PHONES = {"Phone", "MobilePhone", "HomePhone", "OtherPhone", "AssistantPhone", "Fax"}
_OWN = {"Id", "Name", "Customer_No__c", "Last_Order__c", "Language__c", "Tier__c", "Segments__c"}
_PERSONAL = {"Email", "MobilePhone", "HomePhone", "OtherPhone", "AssistantPhone"}
FIELDS = {
    "Contact": _OWN | _PHONES | {"Email"},
    "Account": {"Id", "Name", "Phone", "Fax", "Customer_No__c", "Tier__c", "Last_Order__c"},
    "Lead": _OWN | {"Email", "Phone", "MobilePhone", "Fax", "IsConverted"},
    "Case": {"Id", "Subject", "Description", "Origin", "ContactId", "AccountId", "Call_Ref__c"},
    "Task": {
        *("Id", "WhoId", "WhatId", "Subject", "Description", "Status", "TaskSubtype"),
        *("CallType", "CallObject", "CallDisposition", "ActivityDate"),
    },
}
"""What the user of the broker may see; all else is unknown to him."""
FIELDS_OF_PERSONS = {
    "Contact": {"IsPersonAccount"},
    "Account": {
        *("IsPersonAccount", *(f"Person{name}" for name in _PERSONAL)),
        *(f"{name[:-1]}pc" for name in _OWN if name.endswith("__c")),
    },
}
"""What comes with person accounts."""
_PREFIXES = {"Case": "500", "Task": "00T"}


class FakeSalesforce(FakeVendor):
    """Evaluates the SOQL and SOSL it gets. Numbers are indexed as words, as they were typed.

    Tokens say nothing of their life and end when the session does (`revoke`).
    """

    secrets = (CLIENT, SECRET)
    has_person_accounts = False
    public_key: str | None = None
    """Of the certificate that `jwt_bearer` has to be signed for."""

    def options(self) -> Mapping[str, Any]:
        return {
            "base_url": self.url,
            "auth": {"kind": "client_credentials", "client_id": CLIENT, "client_secret": SECRET},
            "region": "DE",
            "fields": {
                "track_id": "Last_Order__c",
                "reference": "Customer_No__c",
                "language": "Language__c",
            },
            "premium": {"field": "Tier__c", "premium": ["gold"], "standard": ["basic"]},
            "ticket_reference": "Call_Ref__c",
        }

    def record(self, person: Person) -> dict[str, Any]:
        phone, mobile = (*person.phones, None)[:2]
        return {
            "attributes": {"type": "Contact"},
            "Id": person.id,
            "IsPersonAccount": False,
            "Name": person.name,
            "Email": person.email,
            "Phone": phone,
            "MobilePhone": mobile,
            "Customer_No__c": person.reference,
            "Last_Order__c": person.track_id,
            "Language__c": person.language,
            "Tier__c": TIERS[person.premium],
            "Account": None,
        }

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        return [
            ("POST", TOKENS, self._give_token),
            ("POST", f"{API}/composite/batch", self._batch),
            ("POST", f"{API}/sobjects/{{kind}}", self._create),
        ]

    def gives_tokens(self, request: web.Request) -> bool:
        return request.path == TOKENS

    sessions = 0
    """How many tokens were given; only the newest is good."""

    def revoke(self) -> None:
        """As an administrator can, or two hours without a request."""
        self.sessions += 1

    def admits(self, request: web.Request) -> bool:
        if self.sessions and request.headers.get("Authorization") == f"Bearer {self._token}":
            return True
        raise _refusal(401, "INVALID_SESSION_ID")

    @property
    def _token(self) -> str:
        return f"00D!session.{self.sessions}"

    def skeleton(self, asked: Asked) -> object:
        body = orjson.loads(asked.body)
        requests = body.get("batchRequests")
        if requests is None:
            return super().skeleton(asked)
        return tuple(_bare(request) for request in requests)

    async def _give_token(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        if not self._lets_in(form):
            fault = {"error": "invalid_client", "error_description": "invalid client credentials"}
            return web.json_response(fault, status=400)
        self.sessions += 1
        answer = {"access_token": self._token, "instance_url": self.url, "token_type": "Bearer"}
        return web.json_response(answer | {"issued_at": "1790000000000", "signature": "c2lnbmVk"})

    def _lets_in(self, form: Mapping[str, str]) -> bool:
        if form.get("grant_type") == "client_credentials":
            return (form.get("client_id"), form.get("client_secret")) == (CLIENT, SECRET)
        if form.get("grant_type") != JWT_BEARER or self.public_key is None:
            return False
        try:
            claims = jwt.decode(
                form["assertion"], self.public_key, ["RS256"], audience=self.url, leeway=5
            )
        except jwt.PyJWTError:
            return False
        brief = claims["exp"] - claims["iat"] <= 180
        return brief and (claims["iss"], claims["sub"]) == (CLIENT, USER)

    async def _batch(self, request: web.Request) -> web.Response:
        requests = (await request.json())["batchRequests"]
        if not 1 <= len(requests) <= 25:
            raise _refusal(400, "LIMIT_EXCEEDED")
        results = [self._one_of_batch(one) for one in requests]
        failed = any(result["statusCode"] >= 400 for result in results)
        return web.json_response({"hasErrors": failed, "results": results})

    def _one_of_batch(self, request: Mapping[str, str]) -> dict[str, Any]:
        resource, statement = _parts(request)
        known = {"v62.0/query/": self._query, "v62.0/search/": self._search}
        code = "MALFORMED_SEARCH" if "search" in resource else "MALFORMED_QUERY"
        try:
            return {"statusCode": 200, "result": known[resource](statement)}
        except soql.MalformedError:
            return {"statusCode": 400, "result": _error(code)}
        except Refusal as refusal:
            return {"statusCode": refusal.status, "result": refusal.body}

    def _query(self, statement: str) -> dict[str, Any]:
        wanted = soql.select(statement)
        found = [wanted.shown(record) for record in self._all(wanted) if wanted.fits(record)]
        return {"totalSize": len(found), "done": True, "records": found[: wanted.most]}

    def _search(self, statement: str) -> dict[str, Any]:
        search = soql.search(statement)
        found = [
            wanted.shown(record)
            for wanted in search.returning
            for record in self._all(wanted)
            if any(search.finds(record.get(name) or "") for name in self._phones_of(wanted.kind))
            if wanted.fits(record)
        ]
        return {"searchRecords": found[: search.returning[0].most]}

    def _all(self, wanted: soql.Wanted) -> list[dict[str, Any]]:
        """Every record of an object, once it is known to have all that is asked for."""
        if wanted.kind not in FIELDS:
            raise _refusal(400, "INVALID_TYPE")
        for name in wanted.names:
            parent, _, field = name.rpartition(".")
            if field not in self._fields_of(parent or wanted.kind):
                raise _refusal(400, "INVALID_FIELD")
        made = {"Case": self.tickets, "Task": self.notes}.get(wanted.kind)
        if made is not None:
            return made
        return [one for one in self.records if one["attributes"]["type"] == wanted.kind]

    def _fields_of(self, kind: str) -> set[str]:
        persons = FIELDS_OF_PERSONS.get(kind, set()) if self.has_person_accounts else set()
        return FIELDS[kind] | persons

    def _phones_of(self, kind: str) -> set[str]:
        return self._fields_of(kind) & (_PHONES | {f"Person{name}" for name in _PHONES})

    async def _create(self, request: web.Request) -> web.Response:
        kind, body = request.match_info["kind"], await request.json()
        made = {"Case": self.tickets, "Task": self.notes}[kind]
        if not set(body) <= FIELDS[kind]:
            raise _refusal(400, "INVALID_FIELD")
        if len(body["Subject"]) > 255:
            raise _refusal(400, "STRING_TOO_LONG")
        ids = {record["Id"] for record in self.records}
        if not {body[name] for name in body if name.endswith("Id")} <= ids:
            raise _refusal(400, "INVALID_CROSS_REFERENCE_KEY")
        mark = body.get("Call_Ref__c")
        if mark is not None and any(one["Call_Ref__c"] == mark for one in made):
            raise _refusal(400, "DUPLICATE_VALUE")
        made.append(body | {"Id": f"{_PREFIXES[kind]}{len(made):015}"})
        return web.json_response({"id": made[-1]["Id"], "success": True, "errors": []}, status=201)


def _parts(request: Mapping[str, str]) -> tuple[str, str]:
    """Resource and statement of one request of a batch."""
    url = urlsplit(request["url"])
    query = parse_qs(url.query, strict_parsing=True)
    return url.path, query["q"][0]


def _bare(request: Mapping[str, str]) -> tuple[str, str, str]:
    resource, statement = _parts(request)
    return request["method"], resource, soql.bare_of(statement)


def _error(code: str) -> list[dict[str, str]]:
    return [{"message": f"{code} it is", "errorCode": code}]


def _refusal(status: int, code: str) -> Refusal:
    return Refusal(status, _error(code))

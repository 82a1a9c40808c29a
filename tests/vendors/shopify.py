"""Shopify on loopback: customers behind a GraphQL API that runs what it is asked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web
from graphql import (
    ExecutionResult,
    GraphQLError,
    build_schema,
    execute,
    parse,
    validate,
)

from broker.sdk import Phone
from broker.testing.tokens import TokenDesk
from broker.testing.vendor import FakeVendor, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from graphql import GraphQLResolveInfo

    from broker.testing.people import Person
    from broker.testing.scripted_server import Asked
    from broker.testing.vendor import Handler

    Info = GraphQLResolveInfo[Any]

VERSION = "2026-10"
CLIENT, SECRET = "f00-client", "shpss_s3cret"
TOKENS = "/admin/oauth/access_token"
SCOPES = {"read_customers", "read_orders", "write_customers"}
ID_DEFINITIONS = {("custom", "customer_no")}
TIERS = {True: "gold", False: "basic", None: None}
CLAUSE = re.compile(r"([a-z_]+):'([^']*)'")
SCHEMA = build_schema(Path(__file__).with_name("shopify.graphql").read_text())


class FakeShopify(FakeVendor):
    """A customer's own number is E.164 and nobody else's; the search finds too many."""

    secrets = (CLIENT, SECRET, "shpat_")

    def __init__(self) -> None:
        super().__init__()
        form = {"grant_type": "client_credentials", "client_id": CLIENT, "client_secret": SECRET}
        self.desk = TokenDesk(form, {}, "shpat_")
        self.scopes = set(SCOPES)
        self.available = 2000.0
        """Points in the bucket; they are restored at once."""
        self.search_fields = {"phone", "email", "name"}
        """Whoever searches for another field finds everybody."""
        self.written_between: str | None = None
        """What somebody else writes between our reading and our writing."""
        self.kept: dict[tuple[str, str, str], str] = {}
        """Metafields that were set: owner, namespace and key -> value."""

    def options(self) -> Mapping[str, Any]:
        return {
            "base_url": self.url,
            "auth": {"kind": "client_credentials", "client_id": CLIENT, "client_secret": SECRET},
            "region": "DE",
            "fields": {
                "language": "metafields.custom.language",
                "reference": "metafields.custom.customer_no",
            },
            "premium": {
                "field": "metafields.custom.tier",
                "premium": ["gold"],
                "standard": ["basic"],
            },
        }

    def record(self, person: Person) -> dict[str, Any]:
        first, _, last = (person.name or "").partition(" ")
        own = Phone.read(person.phones[0], "DE")
        return {
            "legacyResourceId": person.id,
            "firstName": first or None,
            "lastName": last or None,
            "email": person.email,
            "phone": own.e164 if own else None,
            "address_phone": (*person.phones, None)[1],
            "amount": "1200.0" if person.premium else "0.0",
            "tags": ["VIP"] if person.premium else [],
            "order": person.track_id,
            "metafields": {
                ("custom", "language"): person.language,
                ("custom", "customer_no"): person.reference,
                ("custom", "tier"): TIERS[person.premium],
            },
        }

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        return [
            ("POST", TOKENS, self.desk.give),
            ("POST", f"/admin/api/{VERSION}/graphql.json", self._graphql),
        ]

    def gives_tokens(self, request: web.Request) -> bool:
        return request.path == TOKENS

    def revoke(self) -> None:
        self.desk.revoke()

    def admits(self, request: web.Request) -> bool:
        shown = request.headers.get("X-Shopify-Access-Token")
        if not self.desk.admits(shown, prefix=""):
            wrong = "[API] Invalid API key or access token (unrecognized login or wrong password)"
            raise Refusal(401, {"errors": wrong})
        return True

    def skeleton(self, asked: Asked) -> object:
        """The text of the query, the names of the variables, and a search without its literals."""
        body = orjson.loads(asked.body)
        search = CLAUSE.sub(r"\1:?", body["variables"].get("search", ""))
        return (body["query"], *sorted(body["variables"]), frozenset(search.split(" OR ")))

    async def _graphql(self, request: web.Request) -> web.Response:
        body = await request.json()
        document = parse(body["query"])
        wrong = validate(SCHEMA, document)
        if wrong:
            return web.json_response({"errors": [_invalid(error) for error in wrong]})
        cost = body["query"].count("{") + 10 * body["query"].startswith("mutation")
        if cost > self.available:
            return web.json_response(self._throttled(cost))
        result = execute(SCHEMA, document, _Root(self), variable_values=body["variables"])
        assert isinstance(result, ExecutionResult)
        return web.json_response(result.formatted)

    def _throttled(self, cost: int) -> dict[str, Any]:
        status = {
            "maximumAvailable": 2000.0,
            "currentlyAvailable": self.available,
            "restoreRate": 100.0,
        }
        details = {"requestedQueryCost": cost, "actualQueryCost": None, "throttleStatus": status}
        error = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
        return {"errors": [error], "extensions": {"cost": details}}

    def needs(self, scope: str) -> None:
        if scope not in self.scopes:
            text = f"Access denied. Required access: `{scope}` access scope."
            raise GraphQLError(text, extensions={"code": "ACCESS_DENIED"})

    def customers(self) -> list[dict[str, Any]]:
        """As the schema shows them; who comes second to a number has it in his address only."""
        taken: set[str] = set()
        shown = []
        for record in self.records:
            own, address = record["phone"], record["address_phone"]
            if own in taken:
                own, address = None, own
            taken.add(own)
            shown.append(self._customer(record, own, address))
        return shown

    def _customer(self, record: dict[str, Any], own: str | None, address: str | None) -> Any:
        gid = f"gid://shopify/Customer/{record['legacyResourceId']}"

        def last_order(_: Info) -> Any:
            self.needs("read_orders")
            return {"name": record["order"]} if record["order"] else None

        def metafield(_: Info, key: str, namespace: str) -> Any:
            value = self.kept.get((gid, namespace, key), record["metafields"].get((namespace, key)))
            return {"key": key, "value": value, "compareDigest": digest(value)} if value else None

        return {
            "id": gid,
            "legacyResourceId": record["legacyResourceId"],
            "firstName": record["firstName"],
            "lastName": record["lastName"],
            "locale": "en",
            "defaultEmailAddress": record["email"] and {"emailAddress": record["email"]},
            "defaultPhoneNumber": own and {"phoneNumber": own},
            "defaultAddress": address and {"phone": address},
            "amountSpent": {"amount": record["amount"], "currencyCode": "EUR"},
            "tags": record["tags"],
            "lastOrder": last_order,
            "metafield": metafield,
        }


class _Root:
    """The schema's queries and its mutation, as graphql-core calls them."""

    def __init__(self, shop: FakeShopify) -> None:
        self._shop = shop

    def customer(self, _: Info, **arguments: Any) -> Any:
        return self._first(lambda one: one["id"] == arguments["id"])

    def customerByIdentifier(self, info: Info, identifier: Any) -> Any:  # noqa: N802
        self._shop.needs("read_customers")
        ((kind, value),) = identifier.items()
        if kind == "phoneNumber":
            return self._first(lambda one: one["defaultPhoneNumber"] == {"phoneNumber": value})
        where = {"namespace": value["namespace"], "key": value["key"]}
        if tuple(where.values()) not in ID_DEFINITIONS:
            text = "Metafield definition of type 'id' is required when using custom ids."
            raise GraphQLError(text, extensions={"code": "NOT_FOUND"})
        return self._first(
            lambda one: (one["metafield"](info, **where) or {}).get("value") == value["value"]
        )

    def customers(self, _: Info, first: int, query: str) -> Any:
        self._shop.needs("read_customers")
        found = [one for one in self._shop.customers() if self._is_like(one, query)]
        return {"nodes": found[:first]}

    def orders(self, _: Info, first: int, query: str) -> Any:
        self._shop.needs("read_orders")
        names = {text.casefold() for _, text in CLAUSE.findall(query)}
        orders = [
            {"name": record["order"], "customer": None if record.get("guest") else customer}
            for record, customer in zip(self._shop.records, self._shop.customers(), strict=True)
            if record["order"] and record["order"].casefold() in names
        ]
        return {"nodes": orders[:first]}

    def metafieldsSet(self, _: Info, metafields: Any) -> Any:  # noqa: N802
        self._shop.needs("write_customers")
        (wanted,) = metafields
        where = (wanted["ownerId"], wanted["namespace"], wanted["key"])
        if self._shop.written_between:
            self._shop.kept[where] = self._shop.written_between
        now = self._shop.kept.get(where)
        if wanted["type"] != "multi_line_text_field" or not wanted["value"]:
            return _not_set("INVALID_VALUE")
        if wanted["namespace"].startswith("app--"):
            return _not_set("APP_NOT_AUTHORIZED")
        if wanted["compareDigest"] != (digest(now) if now else None):
            return _not_set("STALE_OBJECT")
        self._shop.kept[where] = wanted["value"]
        lines = wanted["value"].splitlines()
        self._shop.notes[:] = [{"line": line} for line in lines]
        return {"metafields": [], "userErrors": []}

    def _first(self, fits: Callable[[dict[str, Any]], bool]) -> Any:
        return next((one for one in self._shop.customers() if fits(one)), None)

    def _is_like(self, one: dict[str, Any], query: str) -> bool:
        """Digits anywhere in a number count, as numbers are taken apart by their punctuation."""
        texts = [_digits((one[place] or {}).get(name)) for place, name in NUMBERS]
        for field, value in CLAUSE.findall(query):
            if field not in self._shop.search_fields:
                return True
            if _digits(value) and any(_digits(value) in text for text in texts):
                return True
        return False


NUMBERS = (("defaultPhoneNumber", "phoneNumber"), ("defaultAddress", "phone"))


def digest(value: str) -> str:
    return f"sha-{hash(value)}"


def _digits(text: str | None) -> str:
    return re.sub(r"\D", "", text or "", flags=re.ASCII)


def _not_set(code: str) -> dict[str, Any]:
    return {"metafields": None, "userErrors": [{"code": code, "message": "It was not set"}]}


def _invalid(error: GraphQLError) -> dict[str, Any]:
    """In the words of Shopify's own GraphQL server."""
    unknown = re.match(r"Cannot query field '(\w+)' on type '(\w+)'", error.message)
    if unknown is None:
        return {"message": error.message, "extensions": {"code": "argumentLiteralsIncompatible"}}
    field, kind = unknown.groups()
    details = {"code": "undefinedField", "typeName": kind, "fieldName": field}
    return {"message": f"Field '{field}' doesn't exist on type '{kind}'", "extensions": details}

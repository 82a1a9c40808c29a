"""Shopify customers, found by the GraphQL Admin API (docs/adapters/shopify.md)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from broker.sdk import (
    Fields,
    HttpCrmAdapter,
    HttpCrmOptions,
    PermanentError,
    Phone,
    Place,
    Places,
    Reference,
    TemporaryError,
    TokenHeader,
    TokenPlace,
    list_at,
    plain_text,
)

if TYPE_CHECKING:
    from broker.sdk import CallNote, Customer, Get, Reply

Record = Mapping[str, Any]

_PATH = r"[A-Za-z][A-Za-z0-9]*(\.[A-Za-z][A-Za-z0-9]*){0,5}"
_METAFIELD = r"metafields\.([A-Za-z0-9$:_-]{2,255})\.([A-Za-z0-9_-]{2,64})"
_ORDER = "order.name"
_ASKED_FOR = 5
"""Every record costs points, found or not."""
_LINES = 50
_NOT_FOUND = 404
_TEMPORARY = frozenset({"INTERNAL_SERVER_ERROR", "TIMEOUT"})
_OWN_NUMBER = "defaultPhoneNumber.phoneNumber"
_BY_OWN_PHONE = """
query ByOwnPhone($phone: String!) {
  one: customerByIdentifier(identifier: {phoneNumber: $phone}) { ...Known }
}"""
_BY_PHONE = """
query ByPhone($phone: String!, $search: String!) {
  one: customerByIdentifier(identifier: {phoneNumber: $phone}) { ...Known }
  more: customers(first: %d, query: $search) { nodes { ...Known } }
}"""
_BY_CUSTOM_ID = """
query ByCustomId($typed: UniqueMetafieldValueInput!, $lower: UniqueMetafieldValueInput!) {
  typed: customerByIdentifier(identifier: {customId: $typed}) { ...Known }
  lower: customerByIdentifier(identifier: {customId: $lower}) { ...Known }
}"""
_BY_ORDER = """
query ByOrder($search: String!) {
  orders(first: %d, query: $search) { nodes { name customer { ...Known } } }
}"""
_NOTES = """
query Notes($id: ID!, $namespace: String!, $key: String!) {
  customer(id: $id) { metafield(namespace: $namespace, key: $key) { value compareDigest } }
}"""
_SET_NOTES = """
mutation SetNotes($metafields: [MetafieldsSetInput!]!) {
  metafieldsSet(metafields: $metafields) { userErrors { code } }
}"""

Metafield = Annotated[str, StringConstraints(pattern=f"^{_METAFIELD}$")]


class ShopifyFields(Fields):
    """Paths in the API's `Customer`, or `metafields.<namespace>.<key>`."""

    id: Literal["legacyResourceId"] = "legacyResourceId"
    email: Place | None = "defaultEmailAddress.emailAddress"
    track_id: Place | None = "lastOrder.name"
    name: Places = ("firstName", "lastName")
    language: Place | None = "locale"
    phones: Places = (_OWN_NUMBER, "defaultAddress.phone")
    reference: Annotated[str, Field(pattern=f"^({_METAFIELD}|order\\.name)$")] | None = None
    tags: Place | None = "tags"


class ShopifyOptions(HttpCrmOptions):
    """See docs/adapters/shopify.md."""

    api_version: str = Field("2026-10", pattern=r"^20[0-9]{2}-(01|04|07|10)$")
    fields: ShopifyFields = ShopifyFields()
    notes: Metafield = "metafields.ivr.calls"

    @model_validator(mode="after")
    def _can_be_asked_for(self) -> Self:
        """Names become part of the query; values never do."""
        for place in self.fields.places(self.premium):
            if not re.fullmatch(f"{_PATH}|{_METAFIELD}", place):
                raise ValueError("a field is a path like lastOrder.name, or metafields.custom.tier")
        return self


class ShopifyAdapter(HttpCrmAdapter[ShopifyOptions]):
    """One query for each lookup; its text is always the same, values travel as variables.

    A customer's own number is unique in a shop and kept as E.164. Numbers of addresses are free
    text; the search may find them as well.
    """

    name = "shopify"
    rights = "the scopes read_customers and read_orders (for notes write_customers), and access to"
    rights += " protected customer data: name, email, phone, address"
    options_type = ShopifyOptions
    token = TokenPlace("/admin/oauth/access_token", TokenHeader("X-Shopify-Access-Token", ""))

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        owner = {"phone": phone.e164}
        if self.options.fields.phones == (_OWN_NUMBER,):
            own = (await self._known(_BY_OWN_PHONE, owner)).get("one")
            return self.found_by_phone(self._shown([own]), phone, _get)
        search = " OR ".join(f"phone:{plain_text(s)}" for s in self.spellings(phone))
        data = await self._known(_BY_PHONE % _ASKED_FOR, {**owner, "search": search})
        own, similar = data.get("one"), list_at(data, "more", "nodes")
        more = len(similar) >= _ASKED_FOR
        return self.found_by_phone(self._shown([own, *similar]), phone, _get, more=more)

    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:
        place = self.options.fields.reference
        if place is None:
            return ()
        if place == _ORDER:
            records = await self._of_order(reference.value)
        else:
            records = await self._with_custom_id(place, reference.value)
        return self.found_by_reference(records, reference, _get)

    def record_url(self, record: Record) -> str:
        return self.page(f"/admin/customers/{record['legacyResourceId']}")

    def advice(self, refused: Reply) -> str:
        """Versions end: their addresses are gone some day."""
        text = super().advice(refused)
        return f"{text} and api_version" if refused.status == _NOT_FOUND else text

    async def record_outcome(self, note: CallNote) -> None:
        """A line in the customer's metafield `notes`, the newest first; older ones drop out.

        TemporaryError if somebody else changed it at the same time: then nothing was written.
        """
        owner = {"id": f"gid://shopify/Customer/{_number(note.customer_id)}"}
        where = _named(self.options.notes)
        customer = (await self._data(_NOTES, {**owner, **where})).get("customer")
        if not isinstance(customer, Mapping):
            raise PermanentError(f"{self.name}: this customer is not there any more")
        kept = customer.get("metafield") or {}
        lines, mark = str(kept.get("value") or "").splitlines(), f"[{note.call_id}]"
        if any(line.endswith(mark) for line in lines):
            return
        began = datetime.fromtimestamp(note.began_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        line = " ".join([began, *note.text.split(), mark])
        change = {
            **where,
            "ownerId": owner["id"],
            "type": "multi_line_text_field",
            "value": "\n".join([line, *lines][:_LINES]),
            "compareDigest": kept.get("compareDigest"),
        }
        data = await self._data(_SET_NOTES, {"metafields": [change]})
        self._check_written(list_at(data, "metafieldsSet", "userErrors"))

    async def _of_order(self, name: str) -> list[Record]:
        search = f"name:{plain_text(name)} OR name:{plain_text('#' + name)}"
        data = await self._known(_BY_ORDER % _ASKED_FOR, {"search": search})
        orders = list_at(data, "orders", "nodes")
        return [
            {**order["customer"], "order": {"name": order.get("name")}}
            for order in orders
            if isinstance(order.get("customer"), Mapping)
        ]

    async def _with_custom_id(self, place: str, value: str) -> list[Record]:
        where = _named(place)
        data = await self._known(
            _BY_CUSTOM_ID,
            {"typed": {**where, "value": value}, "lower": {**where, "value": value.lower()}},
        )
        if not {"typed", "lower"} <= data.keys():
            raise PermanentError("the answer has another shape than documented")
        return _distinct([data["typed"], data["lower"]])

    def _shown(self, records: Iterable[Record | None]) -> list[Record]:
        """Those that show a number: a search that is not understood finds everybody."""
        places = self.options.fields.phones
        return [one for one in _distinct(records) if any(_get(one)(place) for place in places)]

    async def _known(self, query: str, variables: Mapping[str, Any]) -> Record:
        """The answer to a query that asks for everything that is to be known of a customer."""
        return await self._data(f"{query}\n{self._fragment}", variables)

    @cached_property
    def _fragment(self) -> str:
        places = self.options.fields.places(self.options.premium)
        return _fragment(place for place in places if place != _ORDER)

    async def _data(self, query: str, variables: Mapping[str, Any]) -> Record:
        reply = await self.ask(
            "POST",
            f"/admin/api/{self.options.api_version}/graphql.json",
            json={"query": query, "variables": variables},
        )
        body = reply.body if isinstance(reply.body, Mapping) else {}
        if body.get("errors"):
            await self._fail(list_at(body, "errors"), body)
        data = body.get("data")
        if not isinstance(data, Mapping):
            raise PermanentError("the answer has another shape than documented")
        return data

    async def _fail(self, errors: list[Record], body: Record) -> None:
        """Shopify answers 200 and says in words why not."""
        details = [e for error in errors if isinstance(e := error.get("extensions"), Mapping)]
        codes = {str(detail.get("code")) for detail in details}
        if "THROTTLED" in codes:
            seconds = _until_restored(body)
            await self._client.pause(seconds)
            raise TemporaryError(f"{self.name}: the points of this second are used up", seconds)
        if codes & _TEMPORARY:
            raise TemporaryError(f"{self.name}: it failed there")
        raise PermanentError(f"{self.name}: {self._explained(codes, details)}")

    def _explained(self, codes: set[str], details: list[Record]) -> str:
        """What the operator has to change; never Shopify's own words, which may repeat values."""
        if "ACCESS_DENIED" in codes:
            return f"a right is missing; needed: {self.rights}"
        if "undefinedField" in codes:
            named = {str(detail.get("fieldName")) for detail in details}
            places = self.options.fields.places(self.options.premium)
            wrong = [place for place in places if named & set(place.split("."))]
            return f"there is no field called {', '.join(wrong)}: check `fields` and `premium`"
        if "NOT_FOUND" in codes:
            return f"{self.options.fields.reference} is no metafield definition of the type id"
        return "the query was refused: check `fields`, `premium` and `api_version`"

    def _check_written(self, errors: list[Record]) -> None:
        codes = {error.get("code") for error in errors}
        if "STALE_OBJECT" in codes:
            raise TemporaryError(f"{self.name}: the notes were changed at the same time")
        if codes:
            raise PermanentError(f"{self.name}: the note was refused: check `notes`")


def _fragment(places: Iterable[str]) -> str:
    """`fragment Known on Customer {...}` with everything at these places."""
    tree: dict[str, Any] = {}
    for place in places:
        node = tree
        for step in _steps(place):
            node = node.setdefault(step, {})
    return f"fragment Known on Customer{_braces(tree)}"


def _steps(place: str) -> list[str]:
    if re.fullmatch(_METAFIELD, place) is None:
        return place.split(".")
    where = _named(place)
    asked = f'metafield(namespace: "{where["namespace"]}", key: "{where["key"]}")'
    return [f"{_alias(place)}: {asked}", "value"]


def _braces(tree: Mapping[str, Any]) -> str:
    inside = " ".join(f"{step}{_braces(below)}" for step, below in tree.items())
    return f" {{ {inside} }}" if inside else ""


def _alias(place: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", place)


def _named(place: str) -> dict[str, str]:
    """Namespace and key of a metafield."""
    _, namespace, key = place.split(".")
    return {"namespace": namespace, "key": key}


def _get(record: Record) -> Get:
    def get(place: str) -> object:
        path = [_alias(place), "value"] if re.fullmatch(_METAFIELD, place) else place.split(".")
        node: Any = record
        for step in path:
            node = node.get(step) if isinstance(node, Mapping) else None
        return node

    return get


def _distinct(records: Iterable[Record | None]) -> list[Record]:
    """Each customer once."""
    found = {one.get("legacyResourceId"): one for one in records if isinstance(one, Mapping)}
    return list(found.values())


def _number(identity: str) -> str:
    if not identity.isdecimal():
        raise PermanentError("the customer's id is none of Shopify's")
    return identity


def _until_restored(body: Record) -> float:
    """Seconds until there are points enough for this query, as the answer says; else one."""
    cost = (body.get("extensions") or {}).get("cost") or {}
    status = cost.get("throttleStatus") or {}
    try:
        missing = float(cost["requestedQueryCost"]) - float(status["currentlyAvailable"])
        return max(0.1, missing / float(status["restoreRate"]))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return 1.0

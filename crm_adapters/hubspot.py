"""HubSpot contacts, found by the search of the CRM API (docs/adapters/hubspot.md)."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from broker.sdk import (
    Fields,
    HttpCrmAdapter,
    HttpCrmOptions,
    PermanentError,
    Place,
    Places,
    TicketRef,
    TokenPlace,
    list_at,
    one_at,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.sdk import CallNote, Customer, Get, Phone, Reference, Ticket

_NAME = re.compile(r"^[a-z0-9_]{1,100}$", re.ASCII)
_CALCULATED = {
    "phone": "hs_searchable_calculated_phone_number",
    "mobilephone": "hs_searchable_calculated_mobile_number",
}
"""Where HubSpot keeps area code and local number, however the number was typed."""
_MOST_GROUPS = 5
"""Filter groups of one search, says the guide "Search the CRM"."""
_ASKED_FOR = 20
"""More than the two that are ambiguous, because national numbers of two countries look alike."""
_LISTS = "lists"
_CONTACT = "0-1"
_TICKET_TO_CONTACT = 16
_NOTE_TO_CONTACT = 202
"""Association types of HubSpot's own, from its table "Association type ID values"."""
_TAKEN = frozenset({400, 409})
"""How a second record with a unique value may be refused; nothing says which of them it is."""
_MISSING = frozenset({404})


class HubSpotFields(Fields):
    """Contact properties by their internal names."""

    id: Place = "hs_object_id"
    name: Places = ("firstname", "lastname")
    language: Place | None = "hs_language"
    phones: Places = ("phone", "mobilephone")
    track_id: Place | None = None
    reference: Place | None = None
    tags: Place | None = None
    """A property with several values, or `lists`: the ids of the lists the contact is in."""


class HubSpotOptions(HttpCrmOptions):
    """See docs/adapters/hubspot.md."""

    base_url: str = "https://api.hubapi.com"
    version: str = Field("2026-09", pattern=r"^[0-9]{4}-[0-9]{2}(-beta)?$")
    """Of the API, as it stands in every path."""
    fields: HubSpotFields = HubSpotFields()
    unique_reference: bool = False
    """Whether the property of `fields.reference` requires unique values: then it is read by them,
    which needs no search."""
    ticket_key: str | None = Field(None, pattern=_NAME.pattern)
    """A ticket property that requires unique values, for our reference; without it no tickets."""
    ticket_pipeline: str = "0"
    ticket_stage: str = "1"
    note_key: str | None = Field(None, pattern=_NAME.pattern)
    """A note property that requires unique values, for the call id; without it no notes."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if not all(_NAME.match(name) for name in self.fields.places(self.premium)):
            raise ValueError("properties have internal names, of small letters, digits and _")
        if len(_filters(self.fields.phones, (), ())) > _MOST_GROUPS:
            raise ValueError("fields.phones: HubSpot searches in 5; phone and mobilephone are two")
        return self


class HubSpotAdapter(HttpCrmAdapter[HubSpotOptions]):
    """One request for each lookup, and another if lists say who is premium."""

    name = "hubspot"
    rights = (
        "the scopes crm.objects.contacts.read, for lists crm.lists.read, "
        "for tickets tickets, for notes crm.objects.contacts.write"
    )
    options_type = HubSpotOptions
    token = TokenPlace(url="/oauth/2026-09/token")

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        spellings = self.spellings(phone)
        digits = [text for text in spellings if text.isdecimal()]
        found, more = await self._search(_filters(self.options.fields.phones, spellings, digits))
        return self.found_by_phone(found, phone, _get, more=more)

    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:
        place = self.options.fields.reference
        if place is None:
            return ()
        spellings = (reference.value, reference.value.lower())
        if self.options.unique_reference:
            found = await self._read("contacts", place, *spellings, properties=self._properties())
            return self.found_by_reference(await self._with_lists(found), reference, _get)
        wanted = [{"propertyName": place, "operator": "EQ", "value": text} for text in spellings]
        found, more = await self._search(wanted)
        return self.found_by_reference(found, reference, _get, more=more)

    async def create_ticket(self, ticket: Ticket) -> TicketRef:
        options = self.options
        if options.ticket_key is None:
            return await super().create_ticket(ticket)
        properties = {
            options.ticket_key: ticket.reference,
            "subject": ticket.subject,
            "content": ticket.text,
            "hs_pipeline": options.ticket_pipeline,
            "hs_pipeline_stage": options.ticket_stage,
        }
        links = _links(ticket.customer_id, _TICKET_TO_CONTACT)
        opened = await self._once("tickets", options.ticket_key, properties, links)
        return TicketRef(opened["id"], self.record_url(opened))

    async def record_outcome(self, note: CallNote) -> None:
        key = self.options.note_key
        if key is None:
            await super().record_outcome(note)
            return
        properties = {
            key: note.call_id,
            "hs_timestamp": str(round(note.began_at * 1000)),
            "hs_note_body": html.escape(note.text).replace("\n", "<br>"),
        }
        await self._once("notes", key, properties, _links(note.customer_id, _NOTE_TO_CONTACT))

    def record_url(self, record: Any) -> str | None:
        url = record.get("url")
        return url if isinstance(url, str) and url.startswith("https://") else None

    async def ping(self) -> str:
        """As the base; before that whatever the options name is looked up by its name.

        HubSpot leaves properties that it does not know out of an answer without a word.
        """
        options = self.options
        await self.ask("GET", self._property("contacts", "hs_object_id"))
        for name in self._properties():
            unique = options.unique_reference and name == options.fields.reference
            await self._check("contacts", name, unique=unique)
        for kind, key in (("tickets", options.ticket_key), ("notes", options.note_key)):
            if key is not None:
                await self._check(kind, key, unique=True)
        for number in sorted(options.premium.tags if options.premium else ()):
            await self._check_list(number)
        return await super().ping()

    async def _check(self, kind: str, name: str, *, unique: bool) -> None:
        reply = await self.ask("GET", self._property(kind, name), accept=_MISSING)
        if reply.status in _MISSING:
            raise PermanentError(f"hubspot: {kind} have no property with the internal name {name}")
        if unique and not (isinstance(reply.body, dict) and reply.body.get("hasUniqueValue")):
            text = f"hubspot: the property {name} of {kind} does not require unique values"
            raise PermanentError(text)

    async def _check_list(self, number: str) -> None:
        if self.options.fields.tags != _LISTS:
            return
        path = f"/crm/lists/{self.options.version}/{number}"
        if (await self.ask("GET", path, accept=_MISSING)).status in _MISSING:
            raise PermanentError(f"hubspot: there is no list with the id {number}")

    def _property(self, kind: str, name: str) -> str:
        return f"/crm/properties/{self.options.version}/{kind}/{name}"

    def _objects(self, kind: str, what: str = "") -> str:
        return f"/crm/objects/{self.options.version}/{kind}{what}"

    def _properties(self) -> list[str]:
        options = self.options
        return [name for name in options.fields.places(options.premium) if name != _LISTS]

    async def _search(self, filters: Sequence[Mapping[str, object]]) -> tuple[list[Any], bool]:
        """Contacts that fit one of the filters, and whether there are more of them."""
        reply = await self.ask(
            "POST",
            self._objects("contacts", "/search"),
            json={
                "filterGroups": [{"filters": [wanted]} for wanted in filters],
                "properties": self._properties(),
                "limit": _ASKED_FOR,
            },
        )
        found = list_at(reply.body, "results")
        total = reply.body.get("total")
        more = isinstance(total, int) and total > len(found)
        return await self._with_lists(found), more

    async def _read(
        self, kind: str, key: str, *values: str, properties: Sequence[str] = ()
    ) -> list[Any]:
        """Records whose `key` has one of these values; read by it, so that nothing lags behind.

        HubSpot answers 207 if there are none for some of them.
        """
        reply = await self.ask(
            "POST",
            self._objects(kind, "/batch/read"),
            json={
                "idProperty": key,
                "inputs": [{"id": value} for value in dict.fromkeys(values)],
                "properties": [*properties],
                "propertiesWithHistory": [],
            },
        )
        return list_at(reply.body, "results")

    async def _with_lists(self, contacts: list[Any]) -> list[Any]:
        """The contacts with the ids of their lists, if those are wanted."""
        if self.options.fields.tags != _LISTS or not contacts:
            return contacts
        reply = await self.ask(
            "POST",
            f"/crm/lists/{self.options.version}/records/memberships/batch/read",
            json={"inputs": [{"objectTypeId": _CONTACT, "recordId": c["id"]} for c in contacts]},
        )
        lists = {
            str(record.get("recordId")): [
                str(one.get("listId")) for one in list_at(record, "recordListMemberships")
            ]
            for record in list_at(reply.body, "results")
        }
        return [{**contact, _LISTS: lists.get(str(contact["id"]), [])} for contact in contacts]

    async def _once(
        self, kind: str, key: str, properties: Mapping[str, str], links: Sequence[object]
    ) -> Any:
        """The record with this key; made if there is none. HubSpot itself refuses a second one."""
        found = await self._read(kind, key, properties[key])
        if found:
            return found[0]
        new = {"properties": properties, "associations": links}
        reply = await self.ask("POST", self._objects(kind), json=new, accept=_TAKEN)
        if reply.status not in _TAKEN:
            return one_at(reply.body)
        found = await self._read(kind, key, properties[key])
        if not found:
            text = f"hubspot: HTTP {reply.status}: {kind} refused: check the options for them"
            raise PermanentError(text)
        return found[0]


def _filters(
    places: Sequence[str], spellings: Sequence[str], digits: Sequence[str]
) -> list[dict[str, object]]:
    """One for each property that can hold the number: as it was typed, and as it was calculated."""
    searched = dict.fromkeys(places, spellings)
    searched |= {_CALCULATED[place]: digits for place in places if place in _CALCULATED}
    return [
        {"propertyName": name, "operator": "IN", "values": [*values]}
        for name, values in searched.items()
    ]


def _links(customer: str | None, kind: int) -> list[object]:
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": kind}]
    return [] if customer is None else [{"to": {"id": customer}, "types": types}]


def _get(contact: Any) -> Get:
    properties = contact.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    known = {**properties, "hs_object_id": contact.get("id"), _LISTS: contact.get(_LISTS)}
    return known.get

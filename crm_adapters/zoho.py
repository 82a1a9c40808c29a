"""Contacts of Zoho CRM, found by its query language COQL (docs/adapters/zoho.md)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from broker.sdk import (
    Fields,
    HttpCrmAdapter,
    HttpCrmOptions,
    PermanentError,
    Phone,
    Place,
    Places,
    Reference,
    TicketRef,
    TokenHeader,
    TokenPlace,
    at_once,
    list_at,
    path_of,
    plain_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from broker.sdk import CallNote, Customer, Get, Reply, Ticket

_API = "/crm/v8"
_ASKED_FOR = 10
"""More than the two that are ambiguous, because national numbers of two countries look alike."""
_MOST_VALUES = 100
"""Of one `in`, since version 7."""
_NEWEST = 200
"""Notes of a contact that are looked at; the longest page."""
_NOBODY = 204
_LONGEST_SUBJECT = 255
_BEGUN = {
    "Cases": {"Status": "New", "Case_Origin": "Phone"},
    "Tasks": {"Status": "Not Started"},
}
_CUSTOMER = {"Cases": "Related_To", "Tasks": "Who_Id"}
_ABOUT_A_FIELD = frozenset({"INVALID_QUERY", "INVALID_DATA"})
_ADVICE = {
    "INVALID_TOKEN": "check `auth`, and that token_url is of the same data center as base_url",
    "AUTHENTICATION_FAILURE": "check `auth`, and that base_url is of the user's data center",
    "INVALID_MODULE": "there is no such module here: set `tickets` to one that is",
    "MANDATORY_NOT_FOUND": "Zoho wants more fields of a ticket: see `ticket_fields`",
    "SYNTAX_ERROR": "the query was refused: a field has an API name that is a word of SQL",
}


class ZohoFields(Fields):
    """Fields of contacts by their API names; `Account_Name.Tier` is one of the account."""

    id: Place = "id"
    email: Place | None = "Email"
    track_id: Place | None = None
    name: Places = ("Full_Name",)
    language: Place | None = None
    phones: Places = ("Phone", "Mobile")
    reference: Place | None = None
    tags: Place | None = "Tag"


class ZohoOptions(HttpCrmOptions):
    """See docs/adapters/zoho.md."""

    fields: ZohoFields = ZohoFields()
    search: bool = False
    """Whether the search index is asked as well."""
    tickets: Literal["Cases", "Tasks"] = "Cases"
    ticket_fields: Mapping[str, str] = {}
    """What a ticket holds besides, or in place of our words."""
    app_url: str | None = None
    """Where records open in a browser, such as `https://crm.zoho.eu/crm/org20070000000`."""


class ZohoAdapter(HttpCrmAdapter[ZohoOptions]):
    """One query for each lookup.

    COQL reads the records themselves; the search index is a minute behind. It compares numbers as
    they were typed, so it is asked for every spelling.
    """

    name = "zoho"
    rights = (
        "the scopes ZohoCRM.coql.READ and ZohoCRM.modules.contacts.READ, for tickets "
        "ZohoCRM.modules.cases.ALL or .tasks.ALL, for notes ZohoCRM.modules.notes.ALL, for "
        "`search` ZohoSearch.securesearch.READ, and the same rights in the user's profile"
    )
    options_type = ZohoOptions
    token = TokenPlace(header=TokenHeader(prefix="Zoho-oauthtoken "))

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        fields = self.options.fields
        asking = [self._query("Contacts", _equal(fields.phones, self.spellings(phone)))]
        if self.options.search:
            asking.append(self._search(phone))
        found: dict[str, Customer] = {}
        for records in await at_once(*asking):
            real = self.found_by_phone(records, phone, _get)
            found |= {customer.id: customer for customer in real if customer.id not in found}
            self.not_cut_off(tuple(found.values()), came=len(records), most=_ASKED_FOR)
        return tuple(found.values())

    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:
        place = self.options.fields.reference
        if place is None:
            return ()
        cases = (reference.value, reference.value.lower(), reference.value.upper())
        records = await self._query("Contacts", _equal([place], cases))
        found = self.found_by_reference(records, reference, _get)
        return self.not_cut_off(found, came=len(records), most=_ASKED_FOR)

    async def _query(self, module: str, condition: str) -> list[Any]:
        """The records that fit, with what is to be read of a contact, or a ticket's subject."""
        if not condition:
            return []
        options = self.options
        of_contact = module == "Contacts"
        names = options.fields.places(options.premium) if of_contact else ("id", "Subject")
        columns = ", ".join(names)
        # Of the text only the literals in `condition` are a caller's.
        query = f"select {columns} from {module} where {condition} limit {_ASKED_FOR}"  # noqa: S608
        return _records(await self.ask("POST", f"{_API}/coql", json={"select_query": query}))

    async def _search(self, phone: Phone) -> list[Any]:
        """Contacts of which any phone field holds the national number, as the index sees it."""
        options = self.options
        names = [name for name in options.fields.places(options.premium) if "." not in name]
        params = {
            "phone": phone.national,
            "fields": ",".join(names),
            "per_page": str(_ASKED_FOR),
        }
        return _records(await self.ask("GET", f"{_API}/Contacts/search", params=params))

    async def create_ticket(self, ticket: Ticket) -> TicketRef:
        """Found again by its reference at the end of the subject."""
        module = self.options.tickets
        mark = f" [{ticket.reference}]"
        for known in await self._query(module, f"Subject like {plain_text(f'%{mark}')}"):
            if str(known.get("Subject")).endswith(mark):
                return self._ticket(str(known.get("id")))
        customer = {_CUSTOMER[module]: {"id": ticket.customer_id}} if ticket.customer_id else {}
        record = {
            "Subject": ticket.subject[: _LONGEST_SUBJECT - len(mark)] + mark,
            "Description": ticket.text,
            **_BEGUN[module],
            **customer,
            **self.options.ticket_fields,
        }
        return self._ticket(await self._insert(f"{_API}/{module}", record))

    async def record_outcome(self, note: CallNote) -> None:
        """A note on the contact; found again by the call id at the end of its title."""
        path = f"{_API}/Contacts{path_of(note.customer_id)}/Notes"
        mark = f"[{note.call_id}]"
        params = {"fields": "Note_Title", "per_page": str(_NEWEST)}
        known = _records(await self.ask("GET", path, params=params))
        if any(str(one.get("Note_Title")).endswith(mark) for one in known):
            return
        began = datetime.fromtimestamp(note.began_at, UTC)
        record = {
            "Note_Title": f"Call of {began:%Y-%m-%d %H:%M} UTC: {note.outcome} {mark}",
            "Note_Content": note.text,
            "Parent_Id": {"module": {"api_name": "Contacts"}, "id": note.customer_id},
        }
        await self._insert(path, record)

    async def _insert(self, path: str, record: Mapping[str, object]) -> str:
        """The id of the new record. Zoho tells of each record apart whether it was taken."""
        reply = await self.ask("POST", path, json={"data": [record]})
        made: Mapping[str, Any] = next(iter(list_at(reply.body, "data")), {})
        details = made.get("details")
        identity = details.get("id") if isinstance(details, Mapping) else None
        if made.get("status") != "success" or not isinstance(identity, str):
            raise PermanentError(f"{self.name}: it was not taken: {self.advice(reply)}")
        return identity

    def record_url(self, record: Any) -> str | None:
        return self._opens("Contacts", record.get("id"))

    def _ticket(self, identity: str) -> TicketRef:
        return TicketRef(identity, self._opens(self.options.tickets, identity))

    def _opens(self, module: str, identity: object) -> str | None:
        app = self.options.app_url
        fits = isinstance(identity, str) and identity.isalnum() and identity.isascii()
        return f"{app.strip().rstrip('/')}/tab/{module}/{identity}" if app and fits else None

    def advice(self, refused: Reply) -> str:
        fault, options = _fault(refused.body), self.options
        if fault.get("code") == "OAUTH_SCOPE_MISMATCH":
            return f"a scope is missing; needed: {self.rights}"
        details = fault.get("details")
        blamed = [*details.values()] if isinstance(details, Mapping) else []
        of_tickets = (*_BEGUN[options.tickets], _CUSTOMER[options.tickets], *options.ticket_fields)
        for name in (*options.fields.places(options.premium), *of_tickets):
            if name in blamed and fault.get("code") in _ABOUT_A_FIELD:
                return f"Zoho does not take the field {name}: check its API name and its values"
        return _ADVICE.get(str(fault.get("code"))) or super().advice(refused)


def _records(reply: Reply) -> list[Any]:
    return [] if reply.status == _NOBODY else list_at(reply.body, "data")


def _equal(places: Iterable[str], texts: Iterable[str]) -> str:
    """A condition: one of the places holds one of the texts. COQL wants criteria in pairs."""
    values = ", ".join(plain_text(text) for text in list(dict.fromkeys(texts))[:_MOST_VALUES])
    condition = ""
    for place in places:
        one = f"{place} in ({values})"
        condition = f"({condition} or {one})" if condition else one
    return condition


def _fault(body: object) -> Mapping[str, Any]:
    """What an error answer tells, of the request or of its only record."""
    told = body if isinstance(body, Mapping) else {}
    data = told.get("data")
    first = data[0] if isinstance(data, list) and data else told
    return first if isinstance(first, Mapping) else {}


def _get(record: Any) -> Get:
    def get(place: str) -> object:
        value = record.get(place)
        return [_named(one) for one in value] if isinstance(value, list) else _named(value)

    return get


def _named(value: object) -> object:
    """Tags and records that are linked come as objects with a name."""
    return value.get("name") if isinstance(value, Mapping) else value

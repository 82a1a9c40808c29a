"""Contacts and accounts of Dynamics 365, kept in Dataverse (docs/adapters/dynamics.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from pydantic import Field

from broker.sdk import (
    Fields,
    HttpCrmAdapter,
    HttpCrmOptions,
    PermanentError,
    Phone,
    Place,
    Places,
    Reading,
    Reference,
    TicketRef,
    TokenPlace,
    at_once,
    list_at,
    odata_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from broker.sdk import CallNote, Customer, Get, Reply, Ticket

_API = "/api/data/v9.2"
_ASKED_FOR = 10
"""More than the two that are ambiguous, because national numbers of two countries look alike."""
_OURS = UUID("5d0c5c3e-6d0f-4f43-9a1c-0c1f6f3a2b77")
"""Namespace of the keys that we give to cases and notes."""
_KEY = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)
_ACCOUNT = "account-"
"""Before the key of an account, so that a customer's id tells which table he is in."""
_UNKNOWN_COLUMN = re.compile(r"property named '(\w+)'")
_TITLE = 200
_TEXT = 2000
_FROM_PHONE = 1
_EXISTS = 412
_THERE = frozenset({201, 204, _EXISTS})
"""The row was made (with or without showing it), or was there: a page of a proxy is neither."""
_FAULTS = {
    "0x80040217": "the customer is not in Dataverse any more",
    "0x8006088a": "this environment has no such table: cases need Customer Service",
}


class ContactFields(Fields):
    """Columns of the table contact by their logical names; `link.column` is in a related row."""

    id: Place = "contactid"
    email: Place | None = "emailaddress1"
    track_id: Place | None = None
    name: Places = ("fullname",)
    language: Place | None = None
    phones: Places = ("telephone1", "telephone2", "telephone3", "mobilephone")
    reference: Place | None = None


class AccountFields(ContactFields):
    """Columns of the table account."""

    id: Place = "accountid"
    name: Places = ("name",)
    phones: Places = ("telephone1", "telephone2")


class Accounts(Reading):
    """The option `accounts`."""

    fields: AccountFields = AccountFields()


class DynamicsOptions(HttpCrmOptions):
    """See docs/adapters/dynamics.md."""

    fields: ContactFields = ContactFields()
    accounts: Accounts | None = None
    """None = they are not asked for."""
    unknown_customer: str | None = None
    """Whose cases those of unknown callers are: the id of a contact, or `account-<id>`."""
    app_id: str | None = Field(None, pattern=_KEY.pattern + "$")
    """The model-driven app in which records open."""


@dataclass(frozen=True, slots=True)
class _Table:
    """One kind of record, and how it is read."""

    entity: str
    reading: Reading

    @property
    def columns(self) -> dict[str, str]:
        """What is to be read, as query options: columns of related rows are expanded."""
        own: list[str] = []
        related: dict[str, list[str]] = {}
        for place in self.reading.fields.places(self.reading.premium):
            link, _, column = place.rpartition(".")
            (related.setdefault(link, []) if link else own).append(column)
        links = [f"{link}($select={','.join(columns)})" for link, columns in related.items()]
        return {"$select": ",".join(own)} | ({"$expand": ",".join(links)} if links else {})

    def get(self, row: Any) -> Get:
        """The values of one row; an account's key is marked as one."""

        def get(place: str) -> object:
            link, _, column = place.rpartition(".")
            holder = row.get(link) if link else row
            value = holder.get(column) if isinstance(holder, Mapping) else None
            return f"{_ACCOUNT}{value}" if value and place == "accountid" else value

        return get


class DynamicsAdapter(HttpCrmAdapter[DynamicsOptions]):
    """One query for each table and lookup.

    Dataverse compares texts as they were typed, but for upper and lower case, so it is asked for
    every spelling of a number. Inactive rows are left out: merging leaves one behind.
    """

    name = "dynamics"
    rights = (
        "an application user in this environment whose security role reads Contact (and Account), "
        "and for tickets and notes creates and appends Case and Note"
    )
    options_type = DynamicsOptions
    token = TokenPlace(scope="/.default")

    @property
    def _tables(self) -> tuple[_Table, ...]:
        accounts = self.options.accounts
        contacts = _Table("contact", self.options)
        return (contacts, _Table("account", accounts)) if accounts else (contacts,)

    def headers(self) -> Mapping[str, str]:
        return {"OData-MaxVersion": "4.0", "OData-Version": "4.0"}

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        spelled = self.spellings(phone)

        async def those(table: _Table) -> tuple[Customer, ...]:
            rows = await self._rows(table, table.reading.fields.phones, spelled)
            found = self.found_by_phone(rows, phone, table.get, table.reading)
            return self.not_cut_off(found, came=len(rows), most=_ASKED_FOR)

        return await self._all(those)

    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:
        async def those(table: _Table) -> tuple[Customer, ...]:
            places = table.reading.fields.places_of("reference")
            rows = await self._rows(table, places, [reference.value])
            found = self.found_by_reference(rows, reference, table.get, table.reading)
            return self.not_cut_off(found, came=len(rows), most=_ASKED_FOR)

        return await self._all(those)

    async def _all(
        self, those: Callable[[_Table], Coroutine[Any, Any, tuple[Customer, ...]]]
    ) -> list[Customer]:
        found = await at_once(*map(those, self._tables))
        return [customer for customers in found for customer in customers]

    async def _rows(self, table: _Table, places: Sequence[str], texts: Sequence[str]) -> list[Any]:
        """Active rows in which one of the places equals one of the texts."""
        if not places:
            return []
        columns = [place.replace(".", "/") for place in places]
        literals = [odata_text(text) for text in texts]
        equal = " or ".join(f"{column} eq {text}" for column in columns for text in literals)
        reply = await self.ask(
            "GET",
            f"{_API}/{table.entity}s",
            params={
                **table.columns,
                "$filter": f"statecode eq 0 and ({equal})",
                "$top": str(_ASKED_FOR),
            },
        )
        return list_at(reply.body, "value")

    async def create_ticket(self, ticket: Ticket) -> TicketRef:
        """A case whose key follows from `ticket.reference`: Dataverse itself lets it in once."""
        customer = ticket.customer_id or self.options.unknown_customer
        if customer is None:
            text = "dynamics: a case needs a customer: set `unknown_customer` for the other callers"
            raise PermanentError(text)
        ending = f"\n\n{ticket.reference}"
        values = {
            "title": ticket.subject[:_TITLE],
            "description": ticket.text[: _TEXT - len(ending)] + ending,
            "caseorigincode": _FROM_PHONE,
            **_bound("customerid", customer),
        }
        key = await self._create_once("incident", ticket.reference, values)
        return TicketRef(key, self._url("incident", key))

    async def record_outcome(self, note: CallNote) -> None:
        """A note on the customer's timeline, with a key that follows from the call id."""
        began = datetime.fromtimestamp(note.began_at, UTC)
        values = {
            "subject": f"Call of {began:%Y-%m-%d %H:%M} UTC: {note.outcome}",
            "notetext": note.text,
            **_bound("objectid", note.customer_id),
        }
        await self._create_once("annotation", note.call_id, values)

    async def _create_once(self, entity: str, ours: str, values: Mapping[str, object]) -> str:
        """The key of the row, which is left alone if it is there already."""
        key = str(uuid5(_OURS, f"{entity} {ours}"))
        reply = await self.ask(
            "PATCH",
            f"{_API}/{entity}s({key})",
            json=values,
            headers={"If-None-Match": "*"},
            accept=frozenset({_EXISTS}),
        )
        if reply.status not in _THERE:
            raise PermanentError("the answer has another shape than documented")
        return key

    def record_url(self, record: Any) -> str | None:
        entity = "contact" if "contactid" in record else "account"
        return self._url(entity, record.get(f"{entity}id"))

    def _url(self, entity: str, key: object) -> str | None:
        if not isinstance(key, str) or _KEY.fullmatch(key) is None:
            return None
        app = f"&appid={self.options.app_id}" if self.options.app_id else ""
        return self.page(f"/main.aspx?etn={entity}&pagetype=entityrecord&id=%7B{key}%7D{app}")

    def advice(self, refused: Reply) -> str:
        error = refused.body.get("error") if isinstance(refused.body, Mapping) else None
        error = error if isinstance(error, Mapping) else {}
        column = _UNKNOWN_COLUMN.search(str(error.get("message")))
        if column and column[1] in self._known_columns():
            return f"Dataverse has no column {column[1]}: names are logical names, in lower case"
        return _FAULTS.get(str(error.get("code")).lower()) or super().advice(refused)

    def _known_columns(self) -> set[str]:
        """What the operator has named: nothing else of an answer may be repeated."""
        readings = [table.reading for table in self._tables]
        places = [place for one in readings for place in one.fields.places(one.premium)]
        return {part for place in places for part in place.split(".")}


def _bound(lookup: str, customer_id: str) -> dict[str, str]:
    """The lookup column set to a contact or an account. PermanentError if it is no key."""
    key = customer_id.removeprefix(_ACCOUNT)
    if _KEY.fullmatch(key) is None:
        raise PermanentError("dynamics: the customer's id is none of Dataverse")
    entity = "contact" if key == customer_id else "account"
    return {f"{lookup}_{entity}@odata.bind": f"/{entity}s({key})"}

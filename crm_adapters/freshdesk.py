"""Freshdesk contacts with their companies, tickets and notes (docs/adapters/freshdesk.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from broker.sdk import (
    ConfigError,
    Customer,
    Fields,
    Get,
    HttpCrmAdapter,
    HttpCrmOptions,
    PermanentError,
    Phone,
    Place,
    Places,
    Reference,
    TicketRef,
    at_once,
    list_at,
    one_at,
    path_of,
    plain_text,
)

if TYPE_CHECKING:
    from broker.sdk import CallNote, Reply, Ticket

Contact = Mapping[str, Any]
_Believed = Callable[[Iterable[Contact], Callable[[Contact], Get]], Sequence[Customer]]

_COMPANY = "company."
_CUSTOM = "cf_"
_LONGEST_QUERY = 512
"""Characters, quotes included (API reference, "Filter Contacts")."""
_LONGEST_SUBJECT = 180
"""Characters of ours, so that the reference behind it stays within Freshdesk's 255."""
_SEARCHED = 30
"""What a search shows at most, and a list of contacts is asked for: a full page may hide more."""
_PAGE = 100
_NEW = {"status": 2, "priority": 1, "source": 3}
"""Open, low, phone (API reference, "Ticket Properties")."""


class FreshdeskFields(Fields):
    """Attributes of a contact; `cf_...` for a custom field, `company....` for its company's."""

    id: Literal["id"] = "id"
    phones: Places = ("phone", "mobile")
    track_id: Place | None = None
    reference: Place | None = "unique_external_id"
    tags: Place | None = "tags"


class FreshdeskOptions(HttpCrmOptions):
    """See docs/adapters/freshdesk.md."""

    fields: FreshdeskFields = FreshdeskFields()
    fresh: bool = False
    """Whether the list of contacts is asked too: it knows those of the last minutes."""
    ticket_requester: str | None = None
    """Address of the contact for whom tickets are opened that nobody known asked for."""
    ticket: Mapping[str, Any] = {}
    """What else every new ticket has: `group_id`, `type`, `custom_fields` ..."""


class FreshdeskAdapter(HttpCrmAdapter[FreshdeskOptions]):
    """One search for each lookup, and more questions only about the one contact it finds.

    The search compares numbers as they are spelled, so it is asked for every spelling in every
    field at once. It shows neither a contact's tags nor its company; those are asked for if
    somebody wants them. Two contacts with one number are ambiguous whatever else is known of them.
    """

    name = "freshdesk"
    rights = "an agent whose role may view contacts and companies (for tickets: create them, too)"
    options_type = FreshdeskOptions
    max_body_bytes = 2_097_152

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        places = self.options.fields.phones
        asking = [self._search(query) for query in _queries(places, self.spellings(phone))]
        if self.options.fresh:
            listed = [place for place in places if not place.startswith(_CUSTOM)]
            asking += [self._list("contacts", {place: phone.e164}) for place in listed]
        return await self._customers(
            await at_once(*asking),
            places,
            lambda found, get: self.found_by_phone(found, phone, get),
        )

    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:
        place = self.options.fields.reference
        if place is None:
            return ()
        texts = dict.fromkeys([reference.value, reference.value.lower()])
        if place.startswith(_CUSTOM):
            asking = [self._search(query) for query in _queries([place], texts)]
        else:
            asking = [self._list("contacts", {place: text}) for text in texts]
        return await self._customers(
            await at_once(*asking),
            [place],
            lambda found, get: self.found_by_reference(found, reference, get),
        )

    def record_url(self, record: Contact) -> str:
        return self.page(f"/a/contacts/{record['id']}")

    def advice(self, refused: Reply) -> str:
        """Also names the field that Freshdesk does not know, if it is one of ours."""
        body = refused.body if isinstance(refused.body, Mapping) else {}
        errors = body.get("errors")
        blamed = {str(e.get("field")) for e in errors or () if isinstance(e, Mapping)}
        known = [place for place in self._places if place in blamed]
        if known:
            return f"it cannot look for {', '.join(known)}: check the names in `fields`"
        return super().advice(refused)

    async def ping(self) -> str:
        """Also looks whether a contact and a company have every field that is named."""
        done = await super().ping()
        contact = [place for place in self._places if not place.startswith(_COMPANY)]
        company = [place.removeprefix(_COMPANY) for place in self._company_places]
        missing = [
            *await self._missing("contacts", contact),
            *[_COMPANY + name for name in await self._missing("companies", company)],
        ]
        if missing:
            raise ConfigError(f"{self.name}: there is no field called {', '.join(missing)}")
        return done

    async def create_ticket(self, ticket: Ticket) -> TicketRef:
        """Found again by its reference at the end of the subject, among the requester's newest."""
        requester = self._requester(ticket.customer_id)
        mark = f"[{ticket.reference}]"
        for known in await self._list("tickets", requester, per_page=_PAGE):
            if str(known.get("subject")).endswith(mark):
                return self._ticket(known)
        subject = f"{ticket.subject[:_LONGEST_SUBJECT]} {mark}"
        content = {"subject": subject, "description": _html(ticket.text)}
        reply = await self.ask(
            "POST",
            path_of("api", "v2", "tickets"),
            json={**_NEW, **self.options.ticket, **requester, **content},
        )
        return self._ticket(one_at(reply.body))

    async def record_outcome(self, note: CallNote) -> None:
        """A private note on the contact's newest ticket: contacts themselves take none."""
        tickets = await self._list("tickets", self._requester(note.customer_id), per_page=1)
        if not tickets:
            text = "this contact has had no ticket for 30 days that could take a note"
            raise PermanentError(f"{self.name}: {text}")
        ticket, mark = str(tickets[0].get("id")), f"[{note.call_id}]"
        if not await self._is_noted(ticket, mark):
            await self.ask(
                "POST",
                path_of("api", "v2", "tickets", ticket, "notes"),
                json={"body": _html(f"{note.text} {mark}"), "private": True},
            )

    @property
    def _places(self) -> tuple[str, ...]:
        return self.options.fields.places(self.options.premium)

    @property
    def _company_places(self) -> tuple[str, ...]:
        return tuple(place for place in self._places if place.startswith(_COMPANY))

    async def _search(self, query: str) -> list[Contact]:
        """At most _SEARCHED contacts; what was written in the last minutes is not among them."""
        reply = await self.ask(
            "GET", path_of("api", "v2", "search", "contacts"), params={"query": query}
        )
        return list_at(reply.body, "results")

    async def _list(
        self, kind: str, wanted: Mapping[str, str | int], *, per_page: int = _SEARCHED
    ) -> list[Contact]:
        """Records of this kind that have the wanted value, the newest tickets first."""
        params = {key: str(value) for key, value in {**wanted, "per_page": per_page}.items()}
        return list_at((await self.ask("GET", path_of("api", "v2", kind), params=params)).body)

    async def _view(self, kind: str, identity: object) -> Contact:
        reply = await self.ask("GET", path_of("api", "v2", kind, str(identity)))
        return one_at(reply.body)

    async def _customers(
        self, answers: Sequence[Sequence[Contact]], places: Iterable[str], believed: _Believed
    ) -> Sequence[Customer]:
        """The customers among the contacts: those that show what was looked for.

        A contact that shows nothing in `places` is not believed, as a filter may be ignored.
        """
        contacts = {str(one.get("id")): one for answer in answers for one in answer}
        shown = [one for one in contacts.values() if any(_get(one)(p) for p in places)]
        found = [one for one in shown if believed([one], _get)]
        if len(found) == 1:
            found = [{**found[0], **await self._details(found[0])}]
        came = max(len(answer) for answer in answers)
        return self.not_cut_off(tuple(believed(found, _get)), came=came, most=_SEARCHED)

    async def _details(self, contact: Contact) -> Contact:
        """What lists leave out of a contact, as far as somebody wants to know it."""
        asking = []
        if self._needs_view(contact):
            asking.append(self._view("contacts", contact["id"]))
        company = contact.get("company_id")
        if self._company_places and company is not None:
            asking.append(self._company(company))
        return {key: value for part in await at_once(*asking) for key, value in part.items()}

    def _needs_view(self, contact: Contact) -> bool:
        """Whether a value is wanted that the list does not show; tags only if they decide."""
        premium, tags = self.options.premium, self.options.fields.tags
        idle = () if premium and premium.tags else (tags,)
        wanted = {place for place in self._places if not place.startswith((_COMPANY, _CUSTOM))}
        return not wanted.difference(idle) <= contact.keys()

    async def _company(self, identity: object) -> Contact:
        return {"company": await self._view("companies", identity)}

    async def _missing(self, kind: str, names: Sequence[str]) -> list[str]:
        """Which names the first record of this kind does not have; none if there is no record."""
        listed = await self._list(kind, {}, per_page=1) if names else []
        if not listed:
            return []
        record = {**listed[0], **await self._view(kind, listed[0].get("id"))}
        return [name for name in names if not _has(record, name)]

    def _requester(self, customer_id: str | None) -> Mapping[str, str | int]:
        """Whose tickets they are; PermanentError if nobody can say."""
        if customer_id is not None:
            return {"requester_id": _number(customer_id)}
        if self.options.ticket_requester is None:
            text = "a ticket for nobody known needs the option ticket_requester"
            raise PermanentError(f"{self.name}: {text}")
        return {"email": self.options.ticket_requester}

    def _ticket(self, ticket: Contact) -> TicketRef:
        identity = str(ticket.get("id"))
        return TicketRef(identity, self.page(f"/a/tickets/{identity}"))

    async def _is_noted(self, ticket: str, mark: str) -> bool:
        """Whether one of the ticket's conversations holds the mark; the oldest come first."""
        page, full = 0, True
        while full:
            page += 1
            reply = await self.ask(
                "GET",
                path_of("api", "v2", "tickets", ticket, "conversations"),
                params={"per_page": str(_PAGE), "page": str(page)},
            )
            conversations = list_at(reply.body)
            if any(mark in str(one.get("body_text")) for one in conversations):
                return True
            full = len(conversations) == _PAGE
        return False


def _queries(places: Iterable[str], texts: Iterable[str]) -> Iterator[str]:
    """`"phone:'1' OR mobile:'1' OR ..."`, in as many parts as its length makes necessary."""
    query = ""
    for text in texts:
        clause = " OR ".join(f"{place}:{plain_text(text)}" for place in places)
        longer = f"{query} OR {clause}" if query else clause
        if query and len(longer) + 2 > _LONGEST_QUERY:
            yield f'"{query}"'
            longer = clause
        query = longer
    yield f'"{query}"'


def _get(record: Contact) -> Get:
    """The values of a contact, or of a company, by their places."""

    def get(place: str) -> object:
        if place.startswith(_COMPANY):
            company = record.get("company")
            return _get(company)(place.removeprefix(_COMPANY)) if company else None
        if place.startswith(_CUSTOM):
            return _custom(record).get(place.removeprefix(_CUSTOM))
        return record.get(place)

    return get


def _has(record: Contact, place: str) -> bool:
    """Whether there is such a field, empty or not: Freshdesk shows empty ones as null."""
    if place.startswith(_CUSTOM):
        return place.removeprefix(_CUSTOM) in _custom(record)
    return place in record


def _custom(record: Contact) -> Contact:
    """The custom fields by their names, with which a search for them begins `cf_`."""
    custom = record.get("custom_fields")
    found = custom if isinstance(custom, Mapping) else {}
    return {str(name).removeprefix(_CUSTOM): value for name, value in found.items()}


def _number(identity: str) -> int:
    if not identity.isdecimal():
        raise PermanentError("the customer's id is none of Freshdesk's")
    return int(identity)


def _html(text: str) -> str:
    return escape(text).replace("\n", "<br>")

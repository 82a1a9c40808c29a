"""Odoo contacts, found through the External JSON-2 API of Odoo 19 (docs/adapters/odoo.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import StringConstraints, model_validator

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
    at_once,
    list_at,
)

if TYPE_CHECKING:
    from typing import Self

    from broker.sdk import CallNote, Customer, Get, Reply, Ticket

Record = Mapping[str, Any]
_Believed = Callable[[Iterable[Record]], Sequence["Customer"]]

_PARTNER = "res.partner"
_SANITIZED = "phone_sanitized"
_LEADS_TO = {
    "category_id": "res.partner.category",
    "commercial_partner_id": _PARTNER,
    "parent_id": _PARTNER,
}
"""Fields of a contact that a dotted place may begin with, and the model they lead to."""
_ASKED_FOR = 20
"""A company comes with its addresses; and national numbers of two countries look alike."""
_MARKED = 100
"""Tickets or notes read to find the one with our mark: `_` in a mark stands for any sign."""
Model = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)+$")]
Database = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class OdooFields(Fields):
    """Fields of `res.partner`; `commercial_partner_id.x` is the company's, also of a contact."""

    id: Literal["id"] = "id"
    track_id: Place | None = None
    language: Place | None = "lang"
    phones: Places = (_SANITIZED, "phone")
    reference: Place | None = "ref"
    tags: Place | None = "category_id.name"


class OdooOptions(HttpCrmOptions):
    """See docs/adapters/odoo.md."""

    fields: OdooFields = OdooFields()
    database: Database | None = None
    """Needed where one server holds several."""
    ticket_model: Model = "helpdesk.ticket"
    """Or `crm.lead`, `project.task`: whatever has `name`, `description` and `partner_id`."""
    ticket: Mapping[str, Any] = {}
    """What else every new ticket has: `team_id` ..."""

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        for place in self.fields.places(self.premium):
            relation, dot, name = place.partition(".")
            if dot and (relation not in _LEADS_TO or "." in name):
                known = ", ".join(_LEADS_TO)
                raise ValueError(f"only {known} can be followed by a dot and a field")
        return self


class OdooAdapter(HttpCrmAdapter[OdooOptions]):
    """One search for each lookup, and one more request for what the contact only refers to."""

    name = "odoo"
    rights = "to read Contacts and their tags; for notes and tickets: to write them"
    options_type = OdooOptions

    def headers(self) -> Mapping[str, str]:
        database = self.options.database
        return {"X-Odoo-Database": database} if database is not None else {}

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        spellings = self.spellings(phone)
        wanted = [
            [place, "=", phone.e164] if place == _SANITIZED else [place, "in", spellings]
            for place in self.options.fields.phones
        ]
        domain = [*["|"] * (len(wanted) - 1), *wanted]
        return await self._customers(
            domain, lambda found: self.found_by_phone(found, phone, self._get)
        )

    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:
        place = self.options.fields.reference
        if place is None:
            return ()
        either_case = dict.fromkeys([reference.value, reference.value.lower()])
        return await self._customers(
            [[place, "in", list(either_case)]],
            lambda found: self.found_by_reference(found, reference, self._get),
        )

    def record_url(self, record: Record) -> str:
        return self._url(_PARTNER, record.get("id"))

    async def create_ticket(self, ticket: Ticket) -> TicketRef:
        """Found again by its reference at the end of the name, also if it is archived."""
        model, mark = self.options.ticket_model, f"[{ticket.reference}]"
        for known in await self._marked(model, [["name", "like", mark]], "name"):
            if str(known.get("name")).endswith(mark):
                return TicketRef(str(known.get("id")), self._url(model, known.get("id")))
        values = {
            **self.options.ticket,
            "name": f"{ticket.subject} {mark}",
            "description": _html(ticket.text),
        }
        if ticket.customer_id is not None:
            values["partner_id"] = _number(ticket.customer_id)
        created = (await self._call(model, "create", {"vals_list": [values]})).body
        if not isinstance(created, list) or len(created) != 1:
            raise PermanentError("odoo: the answer has another shape than documented")
        return TicketRef(str(created[0]), self._url(model, created[0]))

    async def record_outcome(self, note: CallNote) -> None:
        """A note among the contact's messages, for colleagues only, which ends with the call."""
        partner, mark = _number(note.customer_id), f"(call {note.call_id})"
        about = [["model", "=", _PARTNER], ["res_id", "=", partner], ["body", "like", mark]]
        known = await self._marked("mail.message", about, "body")
        if any(mark in str(message.get("body")) for message in known):
            return
        new = {
            "ids": [partner],
            "body": _html(f"{note.text}\n{mark}"),
            "body_is_html": True,
            "message_type": "comment",
            "subtype_xmlid": "mail.mt_note",
        }
        await self._call(_PARTNER, "message_post", new)

    async def ping(self) -> str:
        """As always, after the names in `fields` and `premium`: Odoo answers 500 to a wrong one."""
        own = [place.partition(".")[0] for place in self._places]
        await self._check(_PARTNER, own)
        for relation, names in self._below.items():
            await self._check(_LEADS_TO[relation], names)
            await self._search(_LEADS_TO[relation], [["id", "=", 0]], names, limit=1)
        return await super().ping()

    def advice(self, refused: Reply) -> str:
        if refused.status == 404:  # noqa: PLR2004 - Not Found
            if isinstance(refused.body, Mapping):
                return "a model or a record is not there: is its app installed?"
            return "no such database, or not Odoo 19 or newer: check base_url and database"
        return super().advice(refused)

    @property
    def _places(self) -> tuple[str, ...]:
        return self.options.fields.places(self.options.premium)

    @property
    def _below(self) -> Mapping[str, Sequence[str]]:
        """What is wanted of the records that a contact refers to."""
        below: dict[str, list[str]] = {}
        for place in self._places:
            relation, _, name = place.partition(".")
            if name:
                below.setdefault(relation, []).append(name)
        return below

    async def _customers(self, domain: Sequence[object], believed: _Believed) -> Sequence[Customer]:
        own = [place.partition(".")[0] for place in self._places]
        names = dict.fromkeys(["id", "type", "parent_id", *own])
        found = await self._search(_PARTNER, domain, list(names), limit=_ASKED_FOR)
        real = [partner for partner in found if believed([partner])]
        customers = tuple(believed(await self._followed(_without_addresses(real))))
        return self.not_cut_off(customers, came=len(found), most=_ASKED_FOR)

    async def _followed(self, partners: Sequence[Record]) -> list[Record]:
        """The contacts with what they refer to in place of the ids; all relations at once."""
        below = {
            relation: names
            for relation, names in self._below.items()
            if any(_ids(partner.get(relation)) for partner in partners)
        }
        asking = [
            self._read(_LEADS_TO[relation], partners, relation, names)
            for relation, names in below.items()
        ]
        related = dict(zip(below, await at_once(*asking), strict=True))
        return [
            {
                **partner,
                **{
                    relation: [known[one] for one in _ids(partner.get(relation)) if one in known]
                    for relation, known in related.items()
                },
            }
            for partner in partners
        ]

    async def _read(
        self, model: str, partners: Iterable[Record], relation: str, names: Sequence[str]
    ) -> Mapping[object, Record]:
        ids = dict.fromkeys(one for partner in partners for one in _ids(partner.get(relation)))
        reply = await self._call(model, "read", {"ids": list(ids), "fields": list(names)})
        return {record.get("id"): record for record in list_at(reply.body)}

    async def _marked(self, model: str, domain: Sequence[object], name: str) -> list[Record]:
        return await self._search(model, domain, [name], limit=_MARKED, active_test=False)

    async def _search(
        self,
        model: str,
        domain: Sequence[object],
        names: Sequence[str],
        *,
        limit: int,
        active_test: bool = True,
    ) -> list[Record]:
        asked: dict[str, object] = {"domain": domain, "fields": names, "limit": limit}
        if not active_test:
            asked["context"] = {"active_test": False}
        return list_at((await self._call(model, "search_read", asked)).body)

    async def _call(self, model: str, method: str, arguments: Mapping[str, object]) -> Reply:
        return await self.ask("POST", f"/json/2/{model}/{method}", json=arguments)

    async def _check(self, model: str, names: Iterable[str]) -> None:
        """PermanentError if the model has no such fields, or none for this key."""
        wanted = list(dict.fromkeys(names))
        asked = {"allfields": wanted, "attributes": ["type"]}
        known = (await self._call(model, "fields_get", asked)).body
        for name in wanted:
            if not isinstance(known, Mapping) or name not in known:
                what = f"{model} has no field `{name}` that this key may see"
                more = "; phone_validation is not installed" if name == _SANITIZED else ""
                raise PermanentError(f"odoo: {what}{more}: check `fields` and `premium`")

    def _url(self, model: str, identity: object) -> str:
        return self.page(f"/odoo/{model}/{identity}")

    def _get(self, partner: Record) -> Get:
        def get(place: str) -> object:
            """Odoo says false where nothing is, so that only `premium` can look for a false."""
            relation, _, name = place.partition(".")
            value = partner.get(relation)
            if name:
                related = value if isinstance(value, list) else []
                values = [one.get(name) for one in related if isinstance(one, Mapping)]
                value = values[0] if len(values) == 1 else values
            if value is False and place not in self._truths:
                return None
            if place in self.options.fields.phones and place != _SANITIZED:
                return None if _spells(value, partner.get(_SANITIZED)) else value
            return value

        return get

    @property
    def _truths(self) -> frozenset[str]:
        """Places at which false is a value."""
        return self.options.premium.truths if self.options.premium else frozenset()


def _without_addresses(partners: Sequence[Record]) -> list[Record]:
    """Without the delivery and invoice addresses of those who are here themselves."""
    here = {partner.get("id") for partner in partners}
    return [
        partner
        for partner in partners
        if partner.get("type") == "contact" or here.isdisjoint(_ids(partner.get("parent_id")))
    ]


def _spells(typed: object, sanitized: object) -> bool:
    """Whether Odoo has made this E.164 number of what was typed: it knows the contact's country."""
    digits = "".join(sign for sign in str(typed) if sign.isdigit()).lstrip("0")
    return isinstance(sanitized, str) and sanitized.endswith(digits)


def _ids(value: object) -> list[object]:
    """`[7, "Name"]` and `[7, 8]`: a reference to one or to several; false to none."""
    if not isinstance(value, list):
        return []
    return [one for one in value if isinstance(one, int)]


def _number(identity: str) -> int:
    if not (identity.isascii() and identity.isdigit()):
        raise PermanentError("odoo: the customer's id is none of Odoo's")
    return int(identity)


def _html(text: str) -> str:
    return escape(text).replace("\n", "<br>")

"""Tryton parties, found through the REST API of trytond (docs/adapters/tryton.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import StringConstraints

from broker.sdk import (
    Fields,
    HttpCrmAdapter,
    HttpCrmOptions,
    PermanentError,
    Phone,
    Place,
    Places,
    Reference,
    list_at,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from broker.sdk import CallNote, Customer, Get, Reply

_PARTY = "party.party"
_MECHANISMS = "contact_mechanisms"
_NUMBERS = frozenset({"phone", "mobile", "fax", "other"})
"""Kinds of contact mechanism that may hold a number; the others are addresses."""
_ASKED_FOR = 10
_REFUSED = frozenset({400})
Database = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
WebUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s#?]+$")]


class TrytonFields(Fields):
    """Fields of `party.party`; a dot leads into what a field refers to."""

    id: Literal["id"] = "id"
    track_id: Place | None = None
    language: Place | None = "lang.code"
    phones: Places = (f"{_MECHANISMS}.value_compact",)
    reference: Place | None = "code"
    tags: Place | None = "categories.name"


class TrytonOptions(HttpCrmOptions):
    """See docs/adapters/tryton.md."""

    database: Database
    fields: TrytonFields = TrytonFields()
    web_url: WebUrl | None = None
    """Where agents open the web client; without it a customer has no link."""


class TrytonAdapter(HttpCrmAdapter[TrytonOptions]):
    """One request for each lookup.

    It posts to `/rest/model/party.party/search_read` instead of using GET: a number in the body
    gets into no access log, and a missing right is a 403 where GET leaves the fields out. Seen in
    trytond 8.2.1, `trytond/protocols/rest.py`.
    """

    name = "tryton"
    rights = "to read Parties, and to write them for notes"
    options_type = TrytonOptions

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        # Tryton keeps E.164 in `value_compact` if it has phonenumbers, else what was typed.
        wanted = [f"{_MECHANISMS}.value_compact", "in", self.spellings(phone)]
        parties = await self._parties(wanted)
        return self.found_by_phone(parties, phone, _get, more=len(parties) >= _ASKED_FOR)

    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:
        place = self.options.fields.reference
        if place is None:
            return ()
        either_case = dict.fromkeys([reference.value, reference.value.lower()])
        found = await self._parties([place, "in", list(either_case)])
        return self.found_by_reference(found, reference, _get, more=len(found) >= _ASKED_FOR)

    async def record_outcome(self, note: CallNote) -> None:
        """A note on the party, which ends with the call's id."""
        party = f"{_PARTY},{note.customer_id}"
        mark = f"(call {note.call_id})"
        literal = mark.replace("_", r"\_")
        same = [["resource", "=", party], ["message", "like", f"%{literal}"]]
        if await self._search("ir.note", same, ["id"], limit=1):
            return
        new = {"resource": party, "message": f"{note.text}\n{mark}"}
        reply = await self._call("ir.note", "create", {"vlist": [new]}, accept=_REFUSED)
        if reply.status in _REFUSED:
            raise PermanentError("tryton: the note was refused: the party is not there any more")

    def record_url(self, record: Any) -> str | None:
        web = self.options.web_url
        return web and f"{web}#{self.options.database}/model/{_PARTY}/{record.get('id')}"

    async def ping(self) -> str:
        """As always, after the names in `fields` and `premium`: Tryton answers 500 to a wrong one.

        One request for each model that they lead to.
        """
        options = self.options
        await self._check(_PARTY, options.fields.places(options.premium))
        return await super().ping()

    async def _check(self, model: str, places: Iterable[str]) -> None:
        """PermanentError if `model` has no such fields, or cannot be searched by the reference."""
        below: dict[str, list[str]] = {}
        for place in places:
            name, _, rest = place.partition(".")
            below.setdefault(name, []).extend([rest] if rest else [])
        reply = await self._call(model, "fields_get", {"fields_names": list(below)})
        for name, rests in below.items():
            field = _field(reply.body, name)
            relation = field.get("relation")
            if not field or (rests and not relation):
                where = (
                    f"{model} has no field `{name}`" if not field else f"`{name}` is no relation"
                )
                raise PermanentError(f"tryton: {where}: check `fields` and `premium`")
            if model == _PARTY and name == self._reference_field and not field.get("searchable"):
                raise PermanentError(f"tryton: `{name}` cannot be searched: check fields.reference")
            if rests:
                await self._check(str(relation), rests)

    @property
    def _reference_field(self) -> str:
        return (self.options.fields.reference or "").partition(".")[0]

    async def _parties(self, wanted: Sequence[object]) -> list[Any]:
        options = self.options
        places = options.fields.places(options.premium)
        names = dict.fromkeys(["id", f"{_MECHANISMS}.type", *places])
        return await self._search(_PARTY, [wanted], list(names), limit=_ASKED_FOR)

    async def _search(
        self, model: str, domain: Sequence[object], names: Sequence[str], *, limit: int
    ) -> list[Any]:
        asked = {"domain": domain, "fields_names": names, "limit": limit}
        return list_at((await self._call(model, "search_read", asked)).body)

    async def _call(
        self,
        model: str,
        method: str,
        arguments: Mapping[str, object],
        accept: frozenset[int] = frozenset(),
    ) -> Reply:
        path = f"/{self.options.database}/rest/model/{model}/{method}"
        return await self.ask("POST", path, json=arguments, accept=accept)

    def advice(self, refused: Reply) -> str:
        if refused.status == 404:  # noqa: PLR2004 - Not Found
            return "no such database at this address: check base_url and database"
        return super().advice(refused)


def _field(description: object, name: str) -> Mapping[str, Any]:
    """What `fields_get` tells of one field; empty if it does not know it."""
    field = description.get(name) if isinstance(description, Mapping) else None
    return field if isinstance(field, Mapping) else {}


def _get(party: Any) -> Get:
    def get(place: str) -> object:
        """A value; several only if the party has several of what the place leads to."""
        values = list(_values(party, place.split(".")))
        return values[0] if len(values) == 1 else values or None

    return get


def _values(node: object, path: Sequence[str]) -> Iterator[object]:
    """What a dotted path leads to: `search_read` puts related records below `name.`."""
    if not isinstance(node, Mapping):
        return
    name, *rest = path
    if not rest:
        yield node.get(name)
        return
    related = node.get(f"{name}.")
    for one in related if isinstance(related, list) else [related]:
        if name != _MECHANISMS or (isinstance(one, Mapping) and one.get("type") in _NUMBERS):
            yield from _values(one, rest)

"""Pipedrive persons: found by its search, then read by id (docs/adapters/pipedrive.md)."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any, Self

from pydantic import model_validator

from broker.sdk import (
    Customer,
    Fields,
    HttpCrmAdapter,
    HttpCrmOptions,
    PermanentError,
    Place,
    Places,
    TokenPlace,
    at_once,
    has_number,
    list_at,
    path_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.sdk import CallNote, Get, Phone, Reference

_CUSTOM = re.compile(r"^[0-9a-f]{40}$")
"""The key of a custom field: Core API concepts, "Custom fields"."""
_PLAIN = frozenset(
    {"id", "name", "first_name", "last_name", "emails", "phones", "labels", "job_title", "birthday"}
)
_SHARED = "https://api.pipedrive.com"
"""Works for every company, but shows no page to a browser."""
_MOST_CUSTOM = 15
"""Custom fields that one request may name."""
_LISTED = 100
_READ = 5
"""Of the persons a search has found: more than the two that are ambiguous, one token each."""
_NO_SUCH = frozenset({404})


class PipedriveFields(Fields):
    """Standard fields of a person, and custom ones by their keys."""

    email: Place | None = "emails"
    track_id: Place | None = None
    language: Place | None = None
    phones: Places = ("phones",)
    reference: Place | None = None
    tags: Place | None = "labels"


class PipedriveOptions(HttpCrmOptions):
    """See docs/adapters/pipedrive.md."""

    fields: PipedriveFields = PipedriveFields()
    ignores_format: bool = False
    """Whether this Pipedrive finds a number by its digits however it was typed: one search less."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        places = self.fields.places(self.premium)
        odd = [place for place in places if place not in _PLAIN and not _CUSTOM.match(place)]
        if odd:
            raise ValueError(f"no field of a person and no key of 40 characters: {', '.join(odd)}")
        if len(_custom(places)) > _MOST_CUSTOM:
            raise ValueError(f"more than {_MOST_CUSTOM} custom fields cannot be read at once")
        if self.fields.phones != ("phones",):
            raise ValueError("fields.phones: only phones can be searched")
        return self


class PipedriveAdapter(HttpCrmAdapter[PipedriveOptions]):
    """A few searches, which show no custom field by its name, then a look at who was found."""

    name = "pipedrive"
    rights = "the scope contacts:read, for notes contacts:full; a token has its user's rights"
    options_type = PipedriveOptions
    token = TokenPlace(url="https://oauth.pipedrive.com/oauth/token", basic=True)

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        terms = _terms(phone, self.spellings(phone))
        asked = terms[:1] if self.options.ignores_format else terms
        searches = [self._search(term, fields="phone") for term in asked]
        pages = await at_once(*searches)
        items = {item["id"]: item for page, _ in pages for item in page}
        fitting = [number for number, item in items.items() if self._fits(item, phone)]
        more = len(fitting) > _READ or any(more for _, more in pages)
        return self.found_by_phone(await self._read(fitting), phone, self._get, more=more)

    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:
        if self.options.fields.reference is None:
            return ()
        found, more = await self._search(
            reference.value, fields="custom_fields", exact_match="true"
        )
        people = await self._read([item["id"] for item in found])
        more = more or len(found) > _READ
        return self.found_by_reference(people, reference, self._get, more=more)

    async def record_outcome(self, note: CallNote) -> None:
        """Looks for the call id in the person's newest notes first."""
        if not note.customer_id.isdecimal():
            raise PermanentError("pipedrive: a person's id is a number")
        wanted = {"person_id": note.customer_id, "sort": "add_time DESC", "limit": str(_LISTED)}
        kept = await self.ask("GET", "/api/v1/notes", params=wanted)
        if any(_names(one, note.call_id) for one in _data(kept.body) or ()):
            return
        text = html.escape(note.text).replace("\n", "<br>")
        new = {"person_id": int(note.customer_id), "content": f"{text}<br>{note.call_id}"}
        await self.ask("POST", "/api/v1/notes", json=new)

    def record_url(self, record: Any) -> str | None:
        return None if self.page("") == _SHARED else self.page(f"/person/{record['id']}")

    async def ping(self) -> str:
        """As the base; before that every custom field that the options name is looked up."""
        for key in _custom(self.options.fields.places(self.options.premium)):
            path = f"/api/v2/personFields/{key}"
            if (await self.ask("GET", path, accept=_NO_SUCH)).status in _NO_SUCH:
                await super().ping()  # if nothing at all is there, it is the address
                raise PermanentError(f"pipedrive: persons have no custom field with the key {key}")
        return await super().ping()

    async def _search(self, term: str, **how: str) -> tuple[list[Any], bool]:
        """What is found, and whether there is more."""
        params = {"term": term, "limit": str(_LISTED), **how}
        reply = await self.ask("GET", "/api/v2/persons/search", params=params)
        items = [found.get("item") for found in list_at(reply.body, "data", "items")]
        if not all(isinstance(item, dict) and isinstance(item.get("id"), int) for item in items):
            raise PermanentError("pipedrive: the answer has another shape than documented")
        more = reply.body.get("additional_data")
        return items, isinstance(more, dict) and more.get("next_cursor") is not None

    def _fits(self, item: Mapping[str, Any], phone: Phone) -> bool:
        phones = item.get("phones")
        numbers = tuple(phones) if isinstance(phones, list) else ()
        return has_number(Customer(str(item["id"]), phones=numbers), phone, self.options.region)

    async def _read(self, numbers: Sequence[int]) -> list[Any]:
        """The first of these persons, as they are now; who was deleted since is left out."""
        people = await at_once(*(self._person(number) for number in numbers[:_READ]))
        return [person for person in people if person is not None]

    async def _person(self, number: int) -> Any:
        options = self.options
        params = {"include_option_labels": "true", "include_labels": "true"}
        if custom := _custom(options.fields.places(options.premium)):
            params["custom_fields"] = ",".join(custom)
        path = "/api/v2/persons" + path_of(str(number))
        reply = await self.ask("GET", path, params=params, accept=_NO_SUCH)
        if reply.status in _NO_SUCH:
            return None
        person = _data(reply.body)
        if not isinstance(person, dict):
            raise PermanentError("pipedrive: the answer has another shape than documented")
        return person

    @staticmethod
    def _get(person: Any) -> Get:
        custom = person.get("custom_fields")
        known = {**person, **(custom if isinstance(custom, dict) else {})}
        emails, labels, ids = (known.get(key) or [] for key in ("emails", "labels", "label_ids"))
        known["emails"] = next(iter(sorted(emails, key=_secondary)), None)
        known["labels"] = [*labels, *ids]
        return lambda place: _plain(known.get(place))


def _terms(phone: Phone, spellings: Sequence[str]) -> list[str]:
    """The fewest terms of which each spelling contains one, the national number first.

    A search finds a term anywhere inside of a number as it was typed.
    """
    code = "+" + phone.digits.removesuffix(phone.national)
    national = {text.removeprefix(code).lstrip() for text in spellings}
    terms = [phone.national]
    for text in sorted(national, key=lambda text: (len(text), text)):
        if not any(term in text for term in terms):
            terms.append(text)
    return terms


def _custom(places: Sequence[str]) -> list[str]:
    return [place for place in places if _CUSTOM.match(place)]


def _data(body: object) -> Any:
    """What a successful answer holds; None if that is nothing."""
    if not isinstance(body, dict) or body.get("success") is not True:
        raise PermanentError("pipedrive: the answer has another shape than documented")
    return body.get("data")


def _plain(value: Any) -> object:
    """The label of an option, the value of an address or an amount, or the value itself."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return value.get("value") if "value" in value else value.get("label")
    return value


def _secondary(email: Any) -> bool:
    return not (isinstance(email, dict) and email.get("primary") is True)


def _names(note: Any, call_id: str) -> bool:
    """Whether the call's id, and not a longer one, stands in the note."""
    content = note.get("content") if isinstance(note, dict) else None
    words = re.split(r"[^A-Za-z0-9_-]", content) if isinstance(content, str) else []
    return call_id in words

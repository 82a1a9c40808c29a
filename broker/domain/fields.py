"""Where a CRM keeps what a customer holds, and how its raw values become a Customer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from phonenumbers import SUPPORTED_REGIONS
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    field_validator,
)

from broker.domain.customer import Customer
from broker.domain.errors import PermanentError

if TYPE_CHECKING:
    from broker.domain.call import Reference
    from broker.domain.expressions import Get
    from broker.domain.premium import PremiumRule

Place = Annotated[str, StringConstraints(min_length=1, max_length=256)]
_SCALARS = (str, int, Decimal, UUID, date)
"""As a tuple: a union would be made anew at every look, eight times as slow."""


def _region(value: str) -> str:
    if value not in SUPPORTED_REGIONS:
        raise ValueError("must be a region in capital letters, like DE (ISO 3166)")
    return value


Region = Annotated[str, AfterValidator(_region)]
"""The country in which an adapter reads the national numbers of its CRM."""


def _several(places: object) -> object:
    return (places,) if isinstance(places, str) else places


Places = Annotated[tuple[Place, ...], BeforeValidator(_several)]
"""One place, or several."""


class Fields(BaseModel):
    """The `fields` option of an adapter: customer field -> place (a column, a path).

    A place that is None, or empty in the file, is not read. An adapter for one CRM derives its
    own, with the names of that CRM as defaults.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    id: Place = "id"
    email: Place | None = "email"
    track_id: Place | None = "track_id"
    name: Places = ("name",)
    """Several places are joined by a space."""
    language: Place | None = "language"
    phones: Places = ("phones", "phone")
    """Each place may hold one number, a list, or several separated by `;`."""
    reference: Place | None = "reference"
    tags: Place | None = None
    """A list of texts, or one text that separates them by `;`."""
    preferred_channel: Place | None = None
    push_tokens: Place | None = None
    """Of the app on his phone: a list of texts, or one text that separates them by `;`."""
    extra: Mapping[str, Place] = {}
    """Any other value -> its place; `[variables]` can name it as `extra.<key>`."""

    @field_validator(
        *("email", "track_id", "language", "reference", "tags", "preferred_channel", "push_tokens"),
        mode="before",
    )
    @classmethod
    def _not_read(cls, place: object) -> object:
        return None if place == "" else place

    def places_of(self, field: str) -> tuple[str, ...]:
        """Where one field is read; empty if nowhere."""
        places = getattr(self, field)
        if places is None or isinstance(places, tuple):
            return places or ()
        return tuple(places.values()) if isinstance(places, Mapping) else (places,)

    def places(self, premium: PremiumRule | None = None) -> tuple[str, ...]:
        """Every place to be read, without repeats."""
        named = [place for field in type(self).model_fields for place in self.places_of(field)]
        return tuple(dict.fromkeys([*named, *(premium.places if premium else ())]))

    def customer(self, get: Get, premium: PremiumRule | None = None) -> Customer:
        """The customer of one record. PermanentError without an id."""
        identity = text_of(get(self.id))
        if identity is None:
            raise PermanentError("a record came without a usable id")
        extra = {key: text_of(get(place)) for key, place in self.extra.items()}
        tags = texts_of(get(self.tags)) if self.tags is not None else None
        return Customer(
            id=identity,
            email=_one(get, self.email),
            premium=premium.decide(get, tags) if premium else None,
            track_id=_one(get, self.track_id),
            phones=tuple(
                dict.fromkeys(phone for place in self.phones for phone in texts_of(get(place)))
            ),
            name=" ".join(text for place in self.name if (text := text_of(get(place)))) or None,
            language=_one(get, self.language),
            preferred_channel=_one(get, self.preferred_channel),
            push_tokens=texts_of(get(self.push_tokens)) if self.push_tokens is not None else (),
            tags=tags or (),
            extra={key: text for key, text in extra.items() if text is not None},
            unmapped_tier=premium.unmapped(get) if premium else None,
        )

    def has_reference(self, get: Get, reference: Reference) -> bool:
        """Whether one record's reference is what was typed; one that shows none is believed."""
        stored = _one(get, self.reference)
        return stored is None or reference.is_spelled(stored)


def _one(get: Get, place: str | None) -> str | None:
    return text_of(get(place)) if place is not None else None


def text_of(value: Any) -> str | None:
    """A scalar as text; None if it is empty or none.

    A float is none either: JSON numbers beyond 64 bits arrive as one, so it may be another's id.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, _SCALARS):
        return str(value).strip() or None
    return None


def texts_of(value: object) -> tuple[str, ...]:
    """The texts of a list, or of one text that separates them by `;`."""
    parts = value if isinstance(value, (list, tuple)) else (text_of(value) or "").split(";")
    return tuple(text for part in parts if (text := text_of(part)) is not None)

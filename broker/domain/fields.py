"""Where a CRM keeps what a customer holds, and how its raw values become a Customer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from phonenumbers import SUPPORTED_REGIONS
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints

from broker.domain.customer import Customer
from broker.domain.errors import PermanentError

if TYPE_CHECKING:
    from broker.domain.premium import PremiumRule

Get = Callable[[str], object]
"""The raw value at a place of one record; None if there is none."""
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


class Fields(BaseModel):
    """The `fields` option of an adapter: customer field -> place (a column, a path)."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    id: Place = "id"
    email: Place = "email"
    track_id: Place = "track_id"
    name: Place = "name"
    language: Place = "language"
    phones: Annotated[tuple[Place, ...], BeforeValidator(_several)] = ("phones", "phone")
    """Each place may hold one number, a list, or several separated by `;`."""
    reference: Place = "reference"
    extra: Mapping[str, Place] = {}
    """Any other value -> its place; `[variables]` can name it as `extra.<key>`."""

    def customer(self, get: Get, premium: PremiumRule | None = None) -> Customer:
        """The customer of one record. PermanentError without an id."""
        identity = text_of(get(self.id))
        if identity is None:
            raise PermanentError("a record came without a usable id")
        extra = {key: text_of(get(place)) for key, place in self.extra.items()}
        return Customer(
            id=identity,
            email=text_of(get(self.email)),
            premium=premium.of(get(premium.field)) if premium else None,
            track_id=text_of(get(self.track_id)),
            phones=tuple(
                dict.fromkeys(phone for place in self.phones for phone in texts_of(get(place)))
            ),
            name=text_of(get(self.name)),
            language=text_of(get(self.language)),
            extra={key: text for key, text in extra.items() if text is not None},
        )


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

"""How a CRM's own word for a customer's tier becomes premium, standard or unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from broker.domain.expressions import Expression, Get

if TYPE_CHECKING:
    from collections.abc import Collection


class PremiumRule(BaseModel):
    """The `premium` option of an adapter, in one of three forms.

    A tier: `{ field = "tier", premium = ["gold"], standard = ["basic"] }`, or
    `{ field = "is_vip" }` for a field that is a real boolean. Tags: `{ tags = ["vip"] }`; whoever
    has none of them is standard. An expression over fields: `{ expression = "spend >= 1000" }`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    field: str | None = Field(None, min_length=1)
    """Where the CRM keeps the tier; the adapter reads it."""
    premium: frozenset[str] = frozenset()
    standard: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    expression: str | None = Field(None, min_length=1)
    """See `Expression`."""

    @field_validator("premium", "standard", "tags", mode="before")
    @classmethod
    def _comparable(cls, values: object) -> object:
        if not isinstance(values, list | tuple | set | frozenset):
            return values
        return frozenset(_text(value) or "" for value in values)

    @model_validator(mode="after")
    def _unambiguous(self) -> PremiumRule:
        if "" in self.premium | self.standard | self.tags:
            raise ValueError("premium, standard and tags list texts or whole numbers")
        if self.premium & self.standard:
            raise ValueError("a value stands in premium and in standard")
        if (self.field is not None) + bool(self.tags) + (self.expression is not None) != 1:
            raise ValueError("needs field, tags or expression, and only one of them")
        if self.field is None and self.premium | self.standard:
            raise ValueError("premium and standard are values of a field")
        if self.expression is not None:
            Expression.parse(self.expression)
        return self

    @property
    def places(self) -> tuple[str, ...]:
        """Every place in the CRM's record that has to be read for it, but for the tags."""
        if self.expression is not None:
            return tuple(sorted(Expression.parse(self.expression).names))
        return (self.field,) if self.field is not None else ()

    @property
    def truths(self) -> frozenset[str]:
        """Places at which false is a value, for a CRM that says false where there is nothing."""
        if self.expression is not None:
            return Expression.parse(self.expression).truths
        words = (self.premium | self.standard) - {"true", "false"}
        return frozenset() if words or self.field is None else frozenset({self.field})

    def decide(self, get: Get, tags: Collection[str] | None = None) -> bool | None:
        """Whether one record is premium; None = nobody can say, which is not the same as False.

        `tags` are the record's; None if they are not known.
        """
        if self.tags:
            return None if tags is None else any(_text(tag) in self.tags for tag in tags)
        if self.expression is not None:
            return Expression.parse(self.expression).of(get)
        return self.of(get(self.field)) if self.field is not None else None

    def unmapped(self, get: Get) -> str | None:
        """The tier that a record names and that nobody mapped; None if there is none."""
        raw = get(self.field) if self.field is not None else None
        return _text(raw) or None if self.of(raw) is None else None

    def of(self, raw: object) -> bool | None:
        """Whether `raw`, the value of `field`, means premium; None = nobody mapped it.

        Texts are compared trimmed and without case. Without lists only a JSON boolean counts.
        """
        if not self.premium and not self.standard:
            return raw if isinstance(raw, bool) else None
        text = _text(raw)
        if text in self.premium:
            return True
        return False if text in self.standard else None


def _text(value: object) -> str | None:
    """`value` as it is compared: `Gold ` = `gold`, JSON true = `true`, 3 = `3`."""
    if isinstance(value, str | bool | int):
        return str(value).strip().casefold()
    return None

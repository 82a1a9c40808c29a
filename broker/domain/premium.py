"""How a CRM's own word for a customer's tier becomes premium, standard or unknown."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class PremiumRule(BaseModel):
    """The `premium` option of an adapter.

    `{ field = "tier", premium = ["gold"], standard = ["basic"] }`, or `{ field = "is_vip" }` for a
    field that is a real boolean.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    field: str = Field(min_length=1)
    """Where the CRM keeps the tier; the adapter reads it."""
    premium: frozenset[str] = frozenset()
    standard: frozenset[str] = frozenset()

    @field_validator("premium", "standard", mode="before")
    @classmethod
    def _comparable(cls, values: object) -> object:
        if not isinstance(values, list | tuple | set | frozenset):
            return values
        return frozenset(_text(value) or "" for value in values)

    @model_validator(mode="after")
    def _unambiguous(self) -> PremiumRule:
        if "" in self.premium | self.standard:
            raise ValueError("premium and standard list texts or whole numbers")
        if self.premium & self.standard:
            raise ValueError("a value stands in premium and in standard")
        return self

    def of(self, raw: object) -> bool | None:
        """Whether `raw` means premium; None = nobody mapped it, which is not the same as False.

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

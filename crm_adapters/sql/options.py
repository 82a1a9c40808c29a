"""What an operator sets for the SQL adapter, checked before anything is opened."""

from __future__ import annotations

from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from broker.sdk import Fields, Options, PremiumRule, Region
from crm_adapters.sql import statements

_TEXTS = ("email", "track_id", "name", "language", "tags", "reference")
SCHEMES = ("postgresql", "postgres", "sqlite")


class SqlOptions(Options):
    """See docs/adapters/sql.md. Either `table` with `fields`, or statements of one's own."""

    dsn: SecretStr
    """`postgresql://user:password@host/database` or `sqlite:///path`."""
    table: str | None = Field(default=None, min_length=1)
    by_phone: str | None = Field(default=None, min_length=1)
    by_reference: str | None = Field(default=None, min_length=1)
    fields: Fields = Fields()
    """With `table`: these columns are read and no other; without any, those of the default names,
    with numbers in `phone`."""
    premium: PremiumRule | None = None
    region: Region | None = None
    """Where numbers without country code are read; by default in the caller's country."""

    @property
    def scheme(self) -> str:
        return self.dsn.get_secret_value().partition("://")[0]

    @property
    def named(self) -> frozenset[str]:
        """With `table`: the fields that are read."""
        return frozenset(self.fields.model_fields_set) or frozenset({*_TEXTS, "phones"})

    @property
    def phones(self) -> tuple[str, ...]:
        """With `table`: the columns with numbers."""
        if "phones" in self.fields.model_fields_set:
            return self.fields.phones
        return ("phone",) if "phones" in self.named else ()

    @property
    def columns(self) -> list[str]:
        """With `table`: all columns that are read."""
        named = [field for field in _TEXTS if field in self.named]
        texts = [place for field in named for place in self.fields.places_of(field)]
        columns = [self.fields.id, *texts, *self.phones, *self.fields.extra.values()]
        return [*columns, *(self.premium.places if self.premium else ())]

    @field_validator("dsn")
    @classmethod
    def _known_scheme(cls, dsn: SecretStr) -> SecretStr:
        scheme, found, rest = dsn.get_secret_value().strip().partition("://")
        if not found or scheme not in SCHEMES or not rest.strip("/"):
            raise ValueError("must be postgresql://user:password@host/database or sqlite:///path")
        if scheme == "sqlite" and not rest.startswith("/"):
            raise ValueError("must have three slashes: sqlite:///relative or sqlite:////absolute")
        return SecretStr(f"{scheme}://{rest}")

    @field_validator("by_phone")
    @classmethod
    def _asks_for_a_number(cls, sql: str | None) -> str | None:
        return _bound(sql, statements.BY_PHONE)

    @field_validator("by_reference")
    @classmethod
    def _asks_for_a_reference(cls, sql: str | None) -> str | None:
        return _bound(sql, statements.BY_REFERENCE)

    @model_validator(mode="after")
    def _one_way_to_ask(self) -> Self:
        if self.table is not None:
            if self.by_phone or self.by_reference:
                raise ValueError("table and by_phone or by_reference exclude each other")
            if not self.named & {"phones", "reference"}:
                raise ValueError("table needs fields.phones or fields.reference to find anybody")
        elif not (self.by_phone or self.by_reference):
            raise ValueError("needs table, by_phone or by_reference")
        return self


def _bound(sql: str | None, known: frozenset[str]) -> str | None:
    """A statement without parameter would find the same people for every caller."""
    if sql is None:
        return None
    used = statements.parameters(sql)
    if not used or used - known:
        raise ValueError(f"needs a parameter, and knows :{', :'.join(sorted(known))}")
    return sql

"""What an operator sets for the REST adapter, checked before anything is sent."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from broker.sdk import Fields, FixedHeaders, Options, PremiumRule, Region
from crm_adapters.rest.paths import is_path
from crm_adapters.rest.templates import BY_PHONE, BY_REFERENCE, Template

NAME = "rest"
SAYS_NOTHING = frozenset({401, 403, 407, 408, 425, 429})
"""Statuses that tell nothing about a customer."""

Body = Mapping[str, Any]
Status = Annotated[int, Field(ge=400, le=499)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Bearer(_Table):
    """`Authorization: Bearer <token>`."""

    kind: Literal["bearer"]
    token: SecretStr

    def authorizer(self) -> FixedHeaders:
        return FixedHeaders.bearer(self.token.get_secret_value(), name=NAME)


class Header(_Table):
    """A header of one's own, such as `X-Api-Key: <value>`."""

    kind: Literal["header"]
    name: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$")
    value: SecretStr

    def authorizer(self) -> FixedHeaders:
        return FixedHeaders({self.name: self.value.get_secret_value()}, name=NAME)


class Basic(_Table):
    """`Authorization: Basic <username:password>`."""

    kind: Literal["basic"]
    username: str
    password: SecretStr

    def authorizer(self) -> FixedHeaders:
        pair = f"{self.username}:{self.password.get_secret_value().strip()}"
        encoded = base64.b64encode(pair.encode()).decode()
        return FixedHeaders({"Authorization": f"Basic {encoded}"}, name=NAME)


class RestOptions(Options):
    """See docs/adapters/rest.md."""

    base_url: str
    auth: Annotated[Bearer | Header | Basic, Field(discriminator="kind")] | None = None
    method: Literal["GET", "POST"] = "GET"
    phone_path: str | None = None
    phone_body: Body | None = None
    reference_path: str | None = None
    reference_body: Body | None = None
    not_found: frozenset[Status] = frozenset({404})
    results: str = "$"
    """Path to the customers: a list, one object, or nothing."""
    fields: Fields = Fields()
    """Paths below one customer."""
    premium: PremiumRule | None = None
    region: Region | None = None
    """Where numbers without country code are read; by default in the caller's country."""

    @property
    def by_phone(self) -> Template | None:
        if self.phone_path is None:
            return None
        return Template.parse(self.phone_path, self.phone_body, BY_PHONE)

    @property
    def by_reference(self) -> Template | None:
        if self.reference_path is None:
            return None
        return Template.parse(self.reference_path, self.reference_body, BY_REFERENCE)

    @model_validator(mode="after")
    def _requests_are_complete(self) -> Self:
        if self.by_phone is None and self.by_reference is None:
            raise ValueError("needs phone_path or reference_path")
        if self.method == "GET" and (self.phone_body or self.reference_body):
            raise ValueError("a body needs method POST")
        if self.not_found & SAYS_NOTHING:
            raise ValueError("not_found has a status that says nothing about the customer")
        return self

    @model_validator(mode="after")
    def _paths_can_be_followed(self) -> Self:
        fields = self.fields.model_dump(exclude={"phones", "extra"})
        paths = [self.results, *fields.values(), *self.fields.phones, *self.fields.extra.values()]
        if self.premium:
            paths.append(self.premium.field)
        if not all(is_path(path) for path in paths):
            raise ValueError("a path into the answer is like a.b, a.0.b, a[0].b or a[*].b")
        return self

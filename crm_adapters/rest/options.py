"""What an operator sets for the REST adapter, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from broker.sdk import HttpCrmOptions, is_path
from crm_adapters.rest.templates import BY_PHONE, BY_REFERENCE, Template

SAYS_NOTHING = frozenset({401, 403, 407, 408, 425, 429})
"""Statuses that tell nothing about a customer."""

Body = Mapping[str, Any]
Status = Annotated[int, Field(ge=400, le=499)]


class RestOptions(HttpCrmOptions):
    """See docs/adapters/rest.md. The fields are paths below one customer."""

    needs_auth = False

    method: Literal["GET", "POST"] = "GET"
    phone_path: str | None = None
    phone_body: Body | None = None
    reference_path: str | None = None
    reference_body: Body | None = None
    not_found: frozenset[Status] = frozenset({404})
    results: str = "$"
    """Path to the customers: a list, one object, or nothing."""

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
        paths = [self.results, *self.fields.places(self.premium)]
        if not all(is_path(path) for path in paths):
            raise ValueError("a path into the answer is like a.b, a.0.b, a[0].b or a[*].b")
        return self

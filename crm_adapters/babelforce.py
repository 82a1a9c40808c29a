"""Customers found by babelforce's own CRM connectors (docs/adapters/babelforce.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import quote
from uuid import UUID

from pydantic import Field, model_validator

from broker.sdk import (
    HttpCrmAdapter,
    HttpCrmOptions,
    Options,
    PermanentError,
    Phone,
    Reference,
    Reply,
    TokenPlace,
    at_once,
    is_path,
    records_at,
    text_of,
    value_at,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.sdk import Customer, Get

_NOT_FOUND, _FORBIDDEN = 404, 403
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}$")]
Format = Literal["e164", "digits", "national"]


class Action(Options):
    """One action of the integration, which must only read."""

    action: Name
    param: str = Field(min_length=1, max_length=64)
    """The parameter that takes what is looked up."""
    params: Mapping[str, str | int | bool] = {}
    """Further ones, the same for every caller."""
    at_most: int | None = Field(None, ge=2)
    """How many records the action returns at most: there may be more than as many."""

    @model_validator(mode="after")
    def _looks_something_up(self) -> Self:
        if self.param in self.params:
            raise ValueError("params must not have the parameter that takes what is looked up")
        return self


class PhoneAction(Action):
    formats: tuple[Format, ...] = Field(("e164",), min_length=1)
    """How the number is written; each is asked for, all at the same time."""


class BabelforceOptions(HttpCrmOptions):
    """See docs/adapters/babelforce.md. The fields are paths below one record."""

    base_url: str = "https://services.babelforce.com"
    integration: UUID
    phone: PhoneAction | None = None
    reference: Action | None = None
    results: str
    """Path to the records below `data` of the answer."""
    not_found: tuple[str, ...] = ()
    """What `message` says beside `success: false` if nobody is there."""
    record_link: str | None = None
    """Where an agent opens a record: an address with `{id}`."""

    @model_validator(mode="after")
    def _can_be_asked_and_read(self) -> Self:
        if self.phone is None and self.reference is None:
            raise ValueError("needs phone or reference")
        if not all(is_path(path) for path in (self.results, *self.fields.places(self.premium))):
            raise ValueError("a path into the answer is like a.b, a.0.b, a[0].b or a[*].b")
        if self.record_link is not None and "{id}" not in self.record_link:
            raise ValueError("record_link must have {id}")
        return self


class BabelforceAdapter(HttpCrmAdapter[BabelforceOptions]):
    """Runs one action of an integration for each lookup: `POST /integrations/{id}/dispatch/...`.

    What an action answers depends on the provider behind it and is not documented; `results` and
    `fields` say where to look.
    """

    name = "babelforce"
    rights = "manager rights"
    token = TokenPlace(url="/oauth/token")
    options_type = BabelforceOptions

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        action = self.options.phone
        if action is None:
            return ()
        values = {"e164": phone.e164, "digits": phone.digits, "national": phone.national}
        wanted = dict.fromkeys(values[form] for form in action.formats)
        found = await at_once(*(self._dispatch(action, value) for value in wanted))
        records = [record for part in found for record in part]
        more = any(_is_full(action, part) for part in found)
        return self.found_by_phone(records, phone, _get, more=more)

    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:
        action = self.options.reference
        if action is None:
            return ()
        found = await self._dispatch(action, reference.value)
        more = _is_full(action, found)
        return self.found_by_reference(found, reference, _get, more=more)

    async def _dispatch(self, action: Action, value: str) -> list[dict[str, Any]]:
        """The records that the action has found. PermanentError if it says that it failed."""
        # 32 hex characters: the API answers 404 to hyphens.
        path = f"/api/v2/integrations/{self.options.integration.hex}/dispatch/{action.action}"
        params = {**action.params, action.param: value}
        reply = await self.ask("POST", path, json={"params": params})
        data = reply.body.get("data") if isinstance(reply.body, Mapping) else None
        if not isinstance(data, Mapping):
            raise PermanentError("babelforce: the answer is not one of its dispatch")
        if data.get("success") is False:
            if data.get("message") in self.options.not_found:
                return []
            raise PermanentError(
                f"babelforce: the action {action.action} says success=false; if that is how it "
                "says that nobody is there, put its message into not_found"
            )
        return records_at(_with_body(data), self.options.results)

    def advice(self, refused: Reply) -> str:
        if refused.status == _NOT_FOUND:
            return "no such integration or action: check integration, phone.action and the others"
        if refused.status == _FORBIDDEN:
            return super().advice(refused)
        return "the request was refused: check param and params"

    def record_url(self, record: Any) -> str | None:
        identity = text_of(_get(record)(self.options.fields.id))
        if self.options.record_link is None or identity is None:
            return None
        return self.options.record_link.replace("{id}", quote(identity, safe=""))


def _is_full(action: Action, found: Sequence[object]) -> bool:
    return action.at_most is not None and len(found) >= action.at_most


def _with_body(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """`data`, with `response.body` as JSON where it came as a text of it."""
    response = data.get("response")
    body = response.get("body") if isinstance(response, Mapping) else None
    if not isinstance(body, str):
        return data
    try:
        parsed = json.loads(body)
    except ValueError:
        return data  # then a path into it leads nowhere, and that is told
    return {**data, "response": {"body": parsed}}


def _get(record: Any) -> Get:
    def get(place: str) -> object:
        """A session map has names with dots in them."""
        return record[place] if place in record else value_at(record, place)

    return get

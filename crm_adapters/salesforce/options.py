"""What an operator can set, and what a field of Contact is called on the other objects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from broker.sdk import Fields, HttpCrmOptions, Place, Places

Object = Literal["Contact", "Account", "Lead"]
OBJECTS: tuple[Object, ...] = get_args(Object)

_API_NAME = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)*", re.ASCII)
_NOT_THE_API = (".lightning.force.com", "login.salesforce.com", "test.salesforce.com")
_OF_THE_ACCOUNT = "Account."
_PERSONAL = frozenset({"Email", "MobilePhone", "HomePhone", "OtherPhone", "AssistantPhone"})
"""Standard fields of a contact that an account has only if it is a person's: `PersonEmail`."""
_NOT_OF_A_LEAD = frozenset({"HomePhone", "OtherPhone", "AssistantPhone"})


class SalesforceFields(Fields):
    """Fields by their API names, as they are called on Contact."""

    id: Place = "Id"
    email: Place | None = "Email"
    name: Places = ("Name",)
    language: Place | None = None
    phones: Places = ("Phone", "MobilePhone", "HomePhone", "OtherPhone")
    track_id: Place | None = None
    reference: Place | None = None


class SalesforceOptions(HttpCrmOptions):
    """See docs/adapters/salesforce.md."""

    fields: SalesforceFields = SalesforceFields()
    objects: Annotated[tuple[Object, ...], Field(min_length=1)] = ("Contact",)
    person_accounts: bool = False
    """Whether accounts may be people: then they are read as such."""
    names: Mapping[Object, Mapping[Place, str]] = {}
    """What a field of Contact is called on another object; empty = it has none."""
    where: Mapping[Object, Place] = {}
    """A condition in SOQL for each object, such as `Inactive__c = false`."""
    ticket_reference: Place | None = None
    """A unique text field of Case for `Ticket.reference`."""
    ticket_fields: Mapping[Place, str] = {"Origin": "Phone"}
    api_version: str = Field("v62.0", pattern=r"^v[0-9]{2,3}\.0$")

    @model_validator(mode="after")
    def _is_my_domain(self) -> Self:
        if (urlsplit(self.base_url).hostname or "").endswith(_NOT_THE_API):
            raise ValueError("base_url is the org's My Domain: https://<name>.my.salesforce.com")
        return self

    @model_validator(mode="after")
    def _has_api_names(self) -> Self:
        given = [*self.fields.places(self.premium), *self.ticket_fields]
        given += [self.ticket_reference] if self.ticket_reference else []
        given += [own for names in self.names.values() for own in names.values() if own]
        if not all(_API_NAME.fullmatch(name) for name in given):
            raise ValueError("fields have API names, such as Customer_No__c or Account.Tier__c")
        return self

    def own_name(self, kind: Object, place: str) -> str | None:
        """What the field `place` of Contact is called on `kind`; None if it has none."""
        given = self.names.get(kind, {})
        if place in given:
            return given[place] or None
        if kind == "Account":
            return self._name_on_account(place)
        missing = place in _NOT_OF_A_LEAD or place.startswith(_OF_THE_ACCOUNT)
        return None if kind == "Lead" and missing else place

    def _name_on_account(self, place: str) -> str | None:
        if place.startswith(_OF_THE_ACCOUNT):
            return place.removeprefix(_OF_THE_ACCOUNT)
        if place in _PERSONAL:
            return f"Person{place}" if self.person_accounts else None
        if self.person_accounts and place.endswith("__c"):
            return f"{place.removesuffix('c')}pc"
        return place

    def own_names(self, kind: Object) -> tuple[str, ...]:
        """Every field that is read of `kind`."""
        own = [self.own_name(kind, place) for place in self.fields.places(self.premium)]
        return tuple(dict.fromkeys(["Id", *(name for name in own if name is not None)]))

    def conditions(self, kind: Object) -> tuple[str, ...]:
        """What a record of `kind` has to be to count at all.

        A converted lead lives on as a contact, and a person account has a contact of its own:
        neither is a second customer.
        """
        given = (f"({self.where[kind]})",) if kind in self.where else ()
        if kind == "Lead":
            return ("IsConverted = false", *given)
        if kind == "Contact" and self.person_accounts and "Account" in self.objects:
            return ("IsPersonAccount = false", *given)
        return given

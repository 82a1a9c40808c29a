"""What an operator can set, and what that means for a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import model_validator

from broker.sdk import Fields, HttpCrmOptions, Place, Places

USER_FIELD = "user_fields."
ORGANIZATION = "organization."
ORGANIZATION_FIELD = "organization.organization_fields."

_FIXED_NUMBERS = frozenset({"phone", "identities"})
_OF_AN_ORGANIZATION = frozenset({"name", "tags", "external_id", "details", "notes"})
_OURS = frozenset({"requester", "requester_id", "external_id", "subject", "comment"})
"""What the adapter says of a ticket itself; `requester` would make Zendesk create a user."""


class ZendeskFields(Fields):
    """Attributes of a user; `user_fields....` and `organization....` reach further."""

    id: Literal["id"] = "id"
    language: Place | None = "locale"
    phones: Places = ("phone", "identities")
    track_id: Place | None = None
    reference: Place | None = "external_id"
    tags: Literal["tags"] = "tags"


class ZendeskOptions(HttpCrmOptions):
    """See docs/adapters/zendesk.md."""

    fields: ZendeskFields = ZendeskFields()
    ticket: Mapping[str, Any] = {}
    """What else every new ticket has: `group_id`, `priority`, `tags` ..."""

    @model_validator(mode="after")
    def _can_be_looked_for(self) -> Self:
        fields = self.fields
        sought = {*fields.phones, fields.reference} - _FIXED_NUMBERS - {"external_id", None}
        if not all(str(place).startswith(USER_FIELD) for place in sought):
            raise ValueError(
                "phones can be phone, identities and user_fields.<key>, "
                "reference can be external_id or user_fields.<key>"
            )
        return self

    @model_validator(mode="after")
    def _names_what_organizations_have(self) -> Self:
        for place in self.places:
            name = place.removeprefix(ORGANIZATION)
            if name == place or place.startswith(ORGANIZATION_FIELD):
                continue
            if name not in _OF_AN_ORGANIZATION:
                raise ValueError(f"organization.{name} is not among what an organization has")
        return self

    @model_validator(mode="after")
    def _leaves_the_ticket_ours(self) -> Self:
        if _OURS & self.ticket.keys():
            raise ValueError(f"ticket cannot set {', '.join(sorted(_OURS))}")
        return self

    @property
    def places(self) -> tuple[str, ...]:
        """Every place that is read."""
        return self.fields.places(self.premium)

    @property
    def phone_words(self) -> tuple[str, ...]:
        """What the search calls the fields with numbers; identities are looked for as `phone`."""
        places = self.fields.phones
        words = ["phone" if p in _FIXED_NUMBERS else p.removeprefix(USER_FIELD) for p in places]
        return tuple(dict.fromkeys(words))

    @property
    def reads_organizations(self) -> bool:
        """Tags only if they decide: an organization costs a look at a second table."""
        decide = self.premium is not None and bool(self.premium.tags)
        return decide or any(place.startswith(ORGANIZATION) for place in self.places)

    @property
    def sideloads(self) -> Mapping[str, str]:
        """The parameter that brings along what is not in a user's own record."""
        wanted = {
            "identities": "identities" in self.fields.phones,
            "organizations": self.reads_organizations,
        }
        names = [name for name, is_wanted in wanted.items() if is_wanted]
        return {"include": ",".join(names)} if names else {}

"""HubSpot contacts, found by the search of the CRM API (docs/adapters/hubspot.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.sdk import (
    Fields,
    HttpCrmAdapter,
    HttpCrmOptions,
    Pattern,
    Phone,
    Place,
    Places,
    Reference,
    list_at,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.sdk import Customer, Get

_SEARCH = "/crm/objects/2026-09/contacts/search"
_MOST_GROUPS = 6
_ASKED_FOR = 10
"""More than the two that are ambiguous, because national numbers of two countries look alike."""


class HubSpotFields(Fields):
    """Contact properties by their internal names."""

    id: Place = "hs_object_id"
    name: Places = ("firstname", "lastname")
    language: Place | None = "hs_language"
    phones: Places = ("phone", "mobilephone")
    track_id: Place | None = None
    reference: Place | None = None


class HubSpotOptions(HttpCrmOptions):
    """See docs/adapters/hubspot.md."""

    base_url: str = "https://api.hubapi.com"
    fields: HubSpotFields = HubSpotFields()
    spellings: tuple[Pattern, ...] = ()


class HubSpotAdapter(HttpCrmAdapter[HubSpotOptions]):
    """One search for each lookup.

    HubSpot keeps a searchable form of `phone` and `mobilephone`: the national number without
    country code, however it was typed. Whose number it really is, is checked here.
    """

    name = "hubspot"
    rights = "the scope crm.objects.contacts.read"
    options_type = HubSpotOptions

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        wanted = [
            ("hs_searchable_calculated_phone_number", phone.national),
            ("hs_searchable_calculated_mobile_number", phone.national),
            ("phone", phone.e164),
            ("mobilephone", phone.e164),
        ]
        return self.found_by_phone(await self._search(wanted), phone, _get)

    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:
        place = self.options.fields.reference
        if place is None:
            return ()
        found = await self._search([(place, reference.value)])
        return self.found_by_reference(found, reference, _get)

    async def _search(self, wanted: Sequence[tuple[str, str]]) -> list[Any]:
        """Contacts of which at least one property has the value."""
        options = self.options
        reply = await self.ask(
            "POST",
            _SEARCH,
            json={
                "filterGroups": [
                    {"filters": [{"propertyName": name, "operator": "EQ", "value": value}]}
                    for name, value in wanted[:_MOST_GROUPS]
                ],
                "properties": list(options.fields.places(options.premium)),
                "limit": _ASKED_FOR,
            },
        )
        return list_at(reply.body, "results")


def _get(contact: Any) -> Get:
    properties = contact.get("properties")
    properties = properties if isinstance(properties, dict) else {}

    def get(place: str) -> object:
        return contact.get("id") if place == "hs_object_id" else properties.get(place)

    return get

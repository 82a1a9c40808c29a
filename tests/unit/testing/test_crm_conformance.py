"""Which questions `pytest --crm` asks, and what it says if it can ask none."""

from __future__ import annotations

import pytest

from broker.domain.errors import ConfigError
from broker.sdk import CrmAdapter, Ticket, TicketRef
from broker.testing.crm_conformance import Proven, choose, questions
from broker.testing.crm_kit import KeypadCrmAdapterKit
from broker.testing.http_crm_kit import HttpCrmAdapterKit, NoteKit, TicketKit
from broker.testing.vendor import FakeVendor
from crm_adapters.hubspot import HubSpotAdapter
from tests.vendors.hubspot import FakeHubSpot

VENDOR = "tests.vendors.hubspot:FakeHubSpot"


class Plain(HubSpotAdapter):
    """Takes neither tickets nor notes."""

    create_ticket = CrmAdapter.create_ticket
    record_outcome = CrmAdapter.record_outcome


class Opens(Plain):
    async def create_ticket(self, ticket: Ticket) -> TicketRef:
        raise NotImplementedError


class Folds(HubSpotAdapter):
    folds_reference = True


class WithoutOptions(HubSpotAdapter):
    options_type = None  # type: ignore[assignment]


class Half(CrmAdapter):
    """Forgot both lookups."""


class HalfVendor(FakeVendor):
    """Forgot everything."""


def test_an_adapter_over_http_is_asked_what_all_of_them_are() -> None:
    asked = questions(Proven(Plain, FakeHubSpot))
    assert issubclass(asked, HttpCrmAdapterKit)
    assert not issubclass(asked, (TicketKit, NoteKit, KeypadCrmAdapterKit))
    assert (asked.adapter_type, asked.vendor_type) == (Plain, FakeHubSpot)


def test_what_an_adapter_can_do_besides_is_asked_besides() -> None:
    assert issubclass(questions(Proven(Opens, FakeHubSpot)), TicketKit)
    assert not issubclass(questions(Proven(Opens, FakeHubSpot)), NoteKit)
    assert issubclass(questions(Proven(Folds, FakeHubSpot)), KeypadCrmAdapterKit)


def test_a_registered_name_will_do() -> None:
    assert choose("hubspot", VENDOR) == Proven(HubSpotAdapter, FakeHubSpot)


@pytest.mark.parametrize(
    ("adapter", "vendor", "said"),
    [
        ("hubspot", None, "--crm needs a FakeVendor that plays the CRM: name it by --crm-vendor"),
        ("hubspot", "", "--crm needs a FakeVendor"),
        ("nobody_at_all:X", VENDOR, "--crm nobody_at_all:X: the plug-in needs the module nobody"),
        ("hubspott", VENDOR, "--crm hubspott: no plug-in of this name"),
        (f"{__name__}:Nobody", VENDOR, f"the module {__name__} has no Nobody"),
        (f"{__name__}:WithoutOptions", VENDOR, "the plug-in class has no `options_type`"),
        (f"{__name__}:Half", VENDOR, "the class has no find_by_phone, find_by_reference"),
        (f"{__name__}:HalfVendor", VENDOR, "the plug-in is no subclass of CrmAdapter"),
        ("hubspot", "nobody_at_all:X", "--crm-vendor nobody_at_all:X: the plug-in needs the"),
        ("hubspot", "tests", "--crm-vendor tests: the name has to be spelled module:Class"),
        ("hubspot", f"{__name__}:Half", "the plug-in is no subclass of FakeVendor"),
        ("hubspot", f"{__name__}:HalfVendor", "the class has no admits, options, record, routes"),
    ],
)
def test_what_cannot_be_asked_is_explained(adapter: str, vendor: str | None, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        choose(adapter, vendor)
    assert said in str(caught.value)

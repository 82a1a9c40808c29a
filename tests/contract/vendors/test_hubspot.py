"""The HubSpot adapter keeps the kit's promises."""

from __future__ import annotations

from broker.testing.http_crm_kit import HttpCrmAdapterKit
from crm_adapters.hubspot import HubSpotAdapter
from tests.vendors.hubspot import FakeHubSpot


class TestHubSpot(HttpCrmAdapterKit):
    adapter_type = HubSpotAdapter
    vendor_type = FakeHubSpot

"""What every CRM adapter over HTTP has to promise, whatever the vendor answers."""

from __future__ import annotations

from collections.abc import AsyncIterator  # noqa: TC003 - pytest evaluates it
from typing import TYPE_CHECKING, ClassVar

import pytest

from broker.http_client import open_session
from broker.plugins import build, options_type
from broker.testing.crm_kit import CrmAdapterKit
from broker.testing.http_crm_found import FoundQuestions
from broker.testing.http_crm_time import TimeQuestions
from broker.testing.http_crm_trouble import TroubleQuestions
from broker.testing.http_crm_writing import NoteKit, TicketKit
from broker.testing.loopback import LOOPBACK
from broker.testing.scripted_server import reply

if TYPE_CHECKING:
    from collections.abc import Collection

    import aiohttp

    from broker.ports import CrmAdapter
    from broker.testing.vendor import FakeVendor

__all__ = ["HttpCrmAdapterKit", "NoteKit", "TicketKit"]


class HttpCrmAdapterKit(TimeQuestions, TroubleQuestions, FoundQuestions, CrmAdapterKit):
    """For CRM adapters over HTTP. Subclass it as `Test...` and name the two types.

    It starts the vendor and builds the adapter with the vendor's options.
    """

    adapter_type: ClassVar[type[CrmAdapter]]
    vendor_type: ClassVar[type[FakeVendor]]

    @pytest.fixture
    async def vendor(self) -> AsyncIterator[FakeVendor]:
        async with self.vendor_type() as vendor:
            self.current = vendor
            self.secrets = vendor.secrets
            yield vendor
            assert vendor.strays == []

    @pytest.fixture
    async def http(self) -> AsyncIterator[aiohttp.ClientSession]:
        async with open_session(LOOPBACK) as session:
            yield session

    @pytest.fixture
    async def adapter(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> AsyncIterator[CrmAdapter]:
        adapter = self.build(vendor, http)
        yield adapter
        await adapter.aclose()

    @pytest.fixture
    async def broken(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> AsyncIterator[CrmAdapter]:
        vendor.fault = reply({}, status=503)
        adapter = self.build(vendor, http)
        yield adapter
        await adapter.aclose()

    def build(self, vendor: FakeVendor, http: aiohttp.ClientSession) -> CrmAdapter:
        """The adapter as the broker builds it."""
        options = options_type(self.adapter_type).model_validate(vendor.options())
        return build(self.adapter_type, options, http)

    async def hang(self) -> None:
        self.current.hang()

    async def recover(self) -> None:
        self.current.recover()

    async def busy(self) -> int:
        return self.current.working

    def shapes(self) -> Collection[object]:
        return self.current.shapes()

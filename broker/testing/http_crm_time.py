"""How long an adapter over HTTP takes, and what it leaves behind when it is cancelled."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from broker.domain.errors import BrokerError
from broker.ports import set_deadline
from broker.testing.crm_kit import by_phone, ids
from broker.testing.people import ADA, BOB
from broker.testing.scripted_server import drip, hang_mid_body
from broker.testing.vendor import wait_until

if TYPE_CHECKING:
    import aiohttp

    from broker.ports import CrmAdapter
    from broker.testing.scripted_server import Answer
    from broker.testing.vendor import FakeVendor

DEADLINE_S = 0.25
LATER_S = 2.0
"""By when a lookup has ended whose deadline was DEADLINE_S; generous, for busy machines."""
AT_ONCE = 20


class TimeQuestions:
    """A part of `HttpCrmAdapterKit`."""

    @pytest.mark.parametrize(
        "answer", [drip({"slow": "as honey"}, 0.05), hang_mid_body({})], ids=["drip", "hang"]
    )
    async def test_the_deadline_is_kept_whatever_the_vendor_does(
        self, vendor: FakeVendor, adapter: CrmAdapter, answer: Answer
    ) -> None:
        await by_phone(adapter, BOB.phone)
        vendor.fault = answer
        began = time.perf_counter()

        async def lookup() -> None:
            set_deadline(DEADLINE_S)
            await adapter.find_by_phone(ADA.phone)

        with pytest.raises((TimeoutError, BrokerError)):
            await asyncio.wait_for(lookup(), DEADLINE_S)
        assert time.perf_counter() - began < LATER_S

    async def test_twenty_callers_at_once_are_asked_for_at_once(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        await by_phone(adapter, BOB.phone)
        vendor.hang()
        asking = [asyncio.ensure_future(adapter.find_by_phone(ADA.phone)) for _ in range(AT_ONCE)]
        try:
            await wait_until(lambda: vendor.working >= AT_ONCE)
        finally:
            for lookup in asking:
                lookup.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def test_a_cancelled_lookup_gives_its_connection_back(
        self, vendor: FakeVendor, adapter: CrmAdapter, http: aiohttp.ClientSession
    ) -> None:
        await by_phone(adapter, BOB.phone)
        vendor.hang()
        asking = [asyncio.ensure_future(adapter.find_by_phone(ADA.phone)) for _ in range(5)]
        await wait_until(lambda: vendor.working >= len(asking))
        for lookup in asking:
            lookup.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        connector: Any = http.connector
        await wait_until(lambda: not connector._acquired)  # noqa: SLF001 - aiohttp does not tell
        vendor.recover()
        assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id}

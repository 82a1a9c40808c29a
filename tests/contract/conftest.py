"""The store that every conformance kit is asked of: in this process, and on a real Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.patient_store import patient_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from broker.stores.connection import Store


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        url, prefix = "memory://", "test"
    else:
        url, prefix = request.getfixturevalue("redis_url"), request.getfixturevalue("prefix")
    store = patient_store(url, prefix)
    yield store
    await store.aclose()

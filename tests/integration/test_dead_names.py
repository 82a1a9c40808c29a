"""One CRM whose name server never answers delays nobody else."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

from broker.domain.call import Phone
from broker.domain.customer import Folding, LookupState
from broker.http_client import JsonClient, open_session
from broker.metrics import Metrics
from broker.sdk import CrmAdapter, Customer
from broker.stores.clock import StoreClock
from broker.testing.loopback import LOOPBACK
from broker.testing.scripted_server import ScriptedServer, reply
from broker.usecases.lookup import Crm, Lookup
from tests.timely import sometimes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from broker.domain.call import Reference

CALLER = Phone.from_e164("+493023125001")
DEAD_LOOKUPS = 12
"""As many as fill the threads of a threaded resolver."""


class OneRequest(CrmAdapter):
    """Asks its server and returns one customer, whatever it says."""

    def __init__(self, client: JsonClient) -> None:
        self._client = client

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        await self._client.request("GET", "/customers", params={"phone": phone.e164})
        return [Customer(id="c1", phones=(phone.e164,))]

    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:  # noqa: ARG002 - never asked
        raise LookupError("these calls have a number")


@pytest.fixture
def silent_nameserver() -> Iterator[str]:
    """Takes every question and answers none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{server.getsockname()[1]}"


async def test_crm_with_a_hanging_name_delays_no_other(silent_nameserver: str) -> None:
    assert await sometimes(lambda: _found_in_time(silent_nameserver))


async def _found_in_time(silent_nameserver: str) -> bool:
    """Whether the healthy one has answered at once, and no dead one was waited for."""
    async with (
        ScriptedServer(otherwise=reply({})) as healthy,
        open_session(LOOPBACK, nameservers=[silent_nameserver]) as http,
    ):
        dead = [
            Crm(f"dead{i}", OneRequest(JsonClient(http, f"http://crm{i}.example.com", name="dead")))
            for i in range(DEAD_LOOKUPS)
        ]
        alive = Crm("alive", OneRequest(JsonClient(http, healthy.url, name="alive")))
        lookup = Lookup([*dead, alive], Folding(), StoreClock(), Metrics())
        began = time.monotonic()
        asking = lookup.ask(CALLER)
        try:
            result = await asking.until(0.5)
            took = time.monotonic() - began
        finally:
            await asking.stop()
    answers = {answer.crm: answer.ms for answer in asking.answers}
    assert set(answers) <= {"alive"}
    found = (result.state, result.source) == (LookupState.FOUND, "alive")
    return found and answers["alive"] < 400 and took < 1.0

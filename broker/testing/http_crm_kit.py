"""What every CRM adapter over HTTP has to promise, whatever the vendor answers."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import AsyncIterator  # noqa: TC003 - pytest evaluates it
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import orjson
import pytest

from broker.domain.errors import BrokerError, PermanentError, TemporaryError
from broker.http_client import open_session
from broker.plugins import build, options_type
from broker.ports import CallNote, CrmAdapter, Ticket, set_deadline
from broker.testing.crm_kit import CrmAdapterKit, by_phone, by_reference, ids
from broker.testing.loopback import LOOPBACK
from broker.testing.people import ADA, BOB, CAROL, FAY
from broker.testing.scripted_server import drip, endless, hang_mid_body, raw, reply
from broker.testing.vendor import FakeVendor, crowd, wait_until

if TYPE_CHECKING:
    from collections.abc import Collection

    import aiohttp

    from broker.testing.scripted_server import Answer

DEADLINE_S = 0.25
LATER_S = 2.0
"""By when a lookup has ended whose deadline was DEADLINE_S; generous, for busy machines."""
AT_ONCE = 20
MOMENT_S = 0.002
MANY = 10_000
TICKET = Ticket("call-1", "Call back, please", 'Line 1\nLöwe & "Söhne"', ADA.id)
NOTE = CallNote("call-1", ADA.id, "premium", 1_790_000_000.0, "Called; went to an agent.")
NOT_WRITTEN = {
    "html": raw(b"<html>Maintenance</html>", headers={"Content-Type": "text/html"}),
    "truncated": raw(b'{"id": ', headers={"Content-Type": "application/json"}),
    "unwell": reply({}, status=503),
    "refused": reply({}, status=403),
}
NO_TICKET = {**NOT_WRITTEN, "nothing": reply({}), "null": reply(None), "list": reply([])}


class HttpCrmAdapterKit(CrmAdapterKit):
    """For CRM adapters over HTTP. Subclass it as `Test...` and name the two types.

    It starts the vendor, builds the adapter with the vendor's options, and asks some 25 questions
    besides those of `CrmAdapterKit`.
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

    @pytest.mark.parametrize("status", [401, 403])
    async def test_refused_credentials_are_a_permanent_error(
        self, vendor: FakeVendor, adapter: CrmAdapter, status: int
    ) -> None:
        vendor.fault = reply({}, status=status)
        await _fails(adapter, PermanentError)

    async def test_too_many_requests_is_temporary_and_says_for_how_long(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        vendor.fault = reply({}, status=429, headers={"Retry-After": "7"})
        with pytest.raises(TemporaryError) as caught:
            await adapter.find_by_phone(ADA.phone)
        assert caught.value.retry_after == pytest.approx(7.0, abs=0.5)

    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    async def test_a_server_error_is_temporary(
        self, vendor: FakeVendor, adapter: CrmAdapter, status: int
    ) -> None:
        vendor.fault = reply({"message": "oops"}, status=status)
        await _fails(adapter, TemporaryError)

    @pytest.mark.parametrize(
        "answer",
        [
            raw(b"<html>Maintenance</html>", headers={"Content-Type": "text/html"}),
            raw(b'{"results": [{"id": ', headers={"Content-Type": "application/json"}),
            raw(b""),
            reply(None),
            reply("maintenance"),
            reply([1, 2]),
            reply({"error": "maintenance"}),
        ],
        ids=["html", "truncated", "empty", "null", "text", "numbers", "error"],
    )
    async def test_an_answer_of_another_shape_is_an_error_and_not_nobody(
        self, vendor: FakeVendor, adapter: CrmAdapter, answer: Answer
    ) -> None:
        vendor.fault = answer
        await _fails(adapter, BrokerError)

    async def test_a_redirect_is_not_followed(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        vendor.fault = raw(status=302, headers={"Location": f"{vendor.url}/elsewhere"})
        await _fails(adapter, BrokerError)
        assert not [asked for asked in vendor.asked if asked.path == "/elsewhere"]

    async def test_a_huge_answer_is_not_read_to_its_end(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        vendor.fault = endless(pause_s=MOMENT_S)  # some 60 MB in the time it is given
        with pytest.raises(BrokerError):
            async with asyncio.timeout(LATER_S):
                await adapter.find_by_phone(ADA.phone)

    async def test_ten_thousand_matches_are_several_people_or_an_error(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        vendor.records = [vendor.record(person) for person in crowd(CAROL, MANY)]
        try:
            found = await by_phone(adapter, CAROL.phone)
        except PermanentError:
            return
        assert len(found) > 1

    async def test_who_shares_a_number_is_not_hidden_by_many_who_only_look_alike(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        """The crowd has the national number of another country, spelled without its code."""
        alike = crowd(replace(FAY, phones=(FAY.phone.national,)), MANY)
        both = (FAY, replace(FAY, id="907", reference="1000907", email=None))
        vendor.records = [vendor.record(person) for person in (both[0], *alike, both[1])]
        try:
            found = await by_phone(adapter, FAY.phone)
        except PermanentError:
            return
        assert ids(found) == {person.id for person in both}

    async def test_a_record_without_anything_but_its_number_is_found(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        bare = type(ADA)("901", ADA.phones, ADA.reference)
        vendor.records = [vendor.record(bare)]
        (found,) = await by_phone(adapter, ADA.phone)
        assert found.email is None
        assert found.premium is not True

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

    async def test_nothing_the_vendor_repeats_is_in_an_error_or_a_log(
        self, vendor: FakeVendor, adapter: CrmAdapter, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("DEBUG")
        private = [ADA.phone.digits, ADA.phone.national, ADA.reference, *vendor.secrets]
        told = orjson.dumps({"message": " ".join(private), "errors": [{"message": private}]})
        seen: list[str] = []
        for status in (400, 401, 403, 404, 422, 500):
            vendor.fault = raw(told, status, {"Content-Type": "application/json"})
            for lookup in (adapter.find_by_phone(ADA.phone), adapter.find_by_reference(ADA.typed)):
                try:
                    await lookup
                except BrokerError as error:
                    seen += traceback.format_exception(error)
        texts = [*seen, caplog.text]
        assert [word for word in private for text in texts if word in text] == []

    async def test_a_customer_who_was_found_by_number_is_the_same_by_reference(
        self, adapter: CrmAdapter
    ) -> None:
        (one,) = await by_phone(adapter, ADA.phone)
        (other,) = await by_reference(adapter, ADA.typed)
        assert one == other


class TicketKit:
    """For adapters with `create_ticket`; inherit it before `HttpCrmAdapterKit`."""

    async def test_a_ticket_is_opened_once_for_each_reference(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        first = await adapter.create_ticket(TICKET)
        assert await adapter.create_ticket(TICKET) == first
        other = await adapter.create_ticket(replace(TICKET, reference="call-2", customer_id=None))
        assert other.id != first.id
        assert len(vendor.tickets) == 2

    @pytest.mark.parametrize("answer", NO_TICKET.values(), ids=NO_TICKET)
    async def test_a_ticket_that_was_not_opened_is_an_error(
        self, vendor: FakeVendor, adapter: CrmAdapter, answer: Answer
    ) -> None:
        await adapter.create_ticket(TICKET)
        vendor.fault, vendor.spared = answer, len(vendor.asked) - 1
        with pytest.raises(BrokerError):
            await adapter.create_ticket(replace(TICKET, reference="call-2"))
        vendor.recover()
        await adapter.create_ticket(replace(TICKET, reference="call-2"))
        assert len(vendor.tickets) == 2


class NoteKit:
    """For adapters with `record_outcome`; inherit it before `HttpCrmAdapterKit`."""

    async def test_a_note_is_written_once_for_each_call(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        await adapter.record_outcome(NOTE)
        await adapter.record_outcome(NOTE)
        await adapter.record_outcome(replace(NOTE, call_id="call-2"))
        assert len(vendor.notes) == 2

    @pytest.mark.parametrize("answer", NOT_WRITTEN.values(), ids=NOT_WRITTEN)
    async def test_a_note_that_was_not_written_is_an_error(
        self, vendor: FakeVendor, adapter: CrmAdapter, answer: Answer
    ) -> None:
        await adapter.record_outcome(NOTE)
        vendor.fault, vendor.spared = answer, len(vendor.asked) - 1
        with pytest.raises(BrokerError):
            await adapter.record_outcome(replace(NOTE, call_id="call-2"))
        vendor.recover()
        await adapter.record_outcome(replace(NOTE, call_id="call-2"))
        assert len(vendor.notes) == 2


async def _fails(adapter: CrmAdapter, kind: type[BrokerError]) -> None:
    """Both lookups raise an error of this kind."""
    for lookup in (adapter.find_by_phone(ADA.phone), adapter.find_by_reference(ADA.typed)):
        with pytest.raises(kind):
            await lookup

"""What an adapter over HTTP makes of a vendor that refuses, fails or talks nonsense."""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING

import orjson
import pytest

from broker.domain.errors import BrokerError, PermanentError, TemporaryError
from broker.testing.crm_kit import by_phone, ids
from broker.testing.people import ADA
from broker.testing.scripted_server import endless, raw, reply

if TYPE_CHECKING:
    from broker.ports import CrmAdapter
    from broker.testing.scripted_server import Answer
    from broker.testing.vendor import FakeVendor

LATER_S = 2.0
MOMENT_S = 0.002


class TroubleQuestions:
    """A part of `HttpCrmAdapterKit`."""

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

    async def test_an_access_token_that_ended_is_replaced_without_an_error(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id}
        vendor.revoke()
        assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id}

    async def test_a_refusal_that_is_over_is_forgotten(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        vendor.fault = reply({}, status=401)
        await _fails(adapter, PermanentError)
        vendor.recover()
        assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id}


async def _fails(adapter: CrmAdapter, kind: type[BrokerError]) -> None:
    """Both lookups raise an error of this kind."""
    with pytest.raises(kind):
        await adapter.find_by_phone(ADA.phone)
    with pytest.raises(kind):
        await adapter.find_by_reference(ADA.typed)

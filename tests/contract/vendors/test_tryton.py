"""The Tryton adapter keeps the kit's promises, and knows what is particular to Tryton.

A real server is asked the same in tests/integration/vendors/test_tryton_live.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from broker.domain.errors import PermanentError
from broker.http_client import open_session
from broker.ports import CallNote, CrmAdapter
from broker.testing.crm_kit import by_phone, by_reference, ids
from broker.testing.http_crm_kit import HttpCrmAdapterKit, NoteKit
from broker.testing.loopback import LOOPBACK
from broker.testing.people import ADA, BOB, FAY, GUS, SPELLED, Person
from broker.testing.scripted_server import raw
from broker.testing.vendor import crowd
from crm_adapters.tryton import TrytonAdapter, TrytonOptions
from tests.vendors.tryton import FakeTryton

if TYPE_CHECKING:
    import aiohttp

    from broker.testing.vendor import FakeVendor


def built(vendor: FakeVendor, http: aiohttp.ClientSession, **changes: Any) -> TrytonAdapter:
    """The adapter with some options changed, `fields` key by key."""
    options = {**vendor.options(), **changes}
    options["fields"] = {**vendor.options()["fields"], **changes.get("fields", {})}
    return TrytonAdapter(TrytonOptions.model_validate(options), http)


class TestTryton(NoteKit, HttpCrmAdapterKit):
    adapter_type = TrytonAdapter
    vendor_type = FakeTryton

    async def test_a_number_is_asked_for_in_the_body_and_not_in_the_address(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        await adapter.find_by_phone(ADA.phone)
        (asked,) = vendor.asked
        assert asked.line == "POST /crm/rest/model/party.party/search_read"
        assert orjson.loads(asked.body) == {
            "domain": [["contact_mechanisms.value_compact", "in", list(ADA.phone.spellings)]],
            "fields_names": [
                *("id", "contact_mechanisms.type", "email", "identifiers.code", "name"),
                *("lang.code", "contact_mechanisms.value_compact", "code", "categories.name"),
            ],
            "limit": 10,
        }

    async def test_a_reference_that_is_stored_in_lower_case_is_found(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        vendor.records = [vendor.record(Person("7", GUS.phones, GUS.reference.lower()))]
        assert ids(await by_reference(adapter, GUS.typed)) == {"7"}

    async def test_an_address_of_a_party_is_none_of_its_numbers(self, adapter: CrmAdapter) -> None:
        (found,) = await by_phone(adapter, ADA.phone)
        assert found.phones == (ADA.phone.e164,)

    async def test_a_party_with_two_identifiers_has_no_track_id(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        vendor.records[0]["identifiers"].append({"id": 2, "code": "another"})
        (found,) = await by_phone(adapter, ADA.phone)
        assert found.track_id is None

    async def test_categories_are_tags_and_can_mean_premium(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> None:
        vendor.records[0]["categories"].append({"id": 2, "name": "Wholesale"})
        adapter = built(vendor, http, premium={"tags": ["vip"]})
        (ada,), (bob,) = await by_phone(adapter, ADA.phone), await by_phone(adapter, BOB.phone)
        assert (ada.tags, ada.premium) == (("VIP", "Wholesale"), True)
        assert (bob.tags, bob.premium) == (("Basic",), False)

    async def test_a_customer_has_a_link_where_the_web_client_is_known(
        self, vendor: FakeVendor, adapter: CrmAdapter, http: aiohttp.ClientSession
    ) -> None:
        (found,) = await by_phone(adapter, ADA.phone)
        assert found.record_url == f"https://tryton.example.com/#crm/model/party.party/{ADA.id}"
        (found,) = await by_phone(built(vendor, http, web_url=None), ADA.phone)
        assert found.record_url is None

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"auth": {"kind": "bearer", "token": "x"}}, "the credentials were refused"),
            ({"database": "crn"}, "check base_url and database"),
            ({"fields": {"language": "lang.iso"}}, "ir.lang has no field `iso`"),
            ({"fields": {"track_id": "order"}}, "party.party has no field `order`"),
            ({"fields": {"reference": "code.value"}}, "`code` is no relation"),
            ({"fields": {"reference": "email"}}, "`email` cannot be searched"),
            ({"premium": {"field": "tier"}}, "party.party has no field `tier`"),
        ],
    )
    async def test_a_check_tells_what_to_change(
        self,
        vendor: FakeVendor,
        http: aiohttp.ClientSession,
        changes: dict[str, Any],
        told: str,
    ) -> None:
        with pytest.raises(PermanentError, match=told):
            await built(vendor, http, **changes).ping()

    async def test_a_check_tells_the_address_of_something_else(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        vendor.fault = raw(b"<html>", 405, {"Content-Type": "text/html"})
        with pytest.raises(PermanentError, match="check base_url"):
            await adapter.ping()

    async def test_a_check_tells_which_right_is_missing(self, http: aiohttp.ClientSession) -> None:
        async with FakeTryton() as vendor:
            vendor.unreadable = {"party.contact_mechanism"}
            with pytest.raises(PermanentError, match="a right is missing; needed: to read Parties"):
                await built(vendor, http).ping()

    async def test_calls_whose_ids_look_alike_get_a_note_each(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        for call in ("ab1", "a_1", "1", "a_1"):
            await adapter.record_outcome(CallNote(call, ADA.id, "premium", 1.0, "To an agent."))
        assert [(note["resource"], note["message"]) for note in vendor.notes] == [
            (f"party.party,{ADA.id}", "To an agent.\n(call ab1)"),
            (f"party.party,{ADA.id}", "To an agent.\n(call a_1)"),
            (f"party.party,{ADA.id}", "To an agent.\n(call 1)"),
        ]

    async def test_a_note_for_nobody_is_refused(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        note = CallNote("call-1", "999999", "premium", 1.0, "Hello.")
        with pytest.raises(PermanentError, match="the party is not there any more"):
            await adapter.record_outcome(note)
        assert vendor.notes == []


class _WithoutPhonenumbers(FakeTryton):
    has_phonenumbers = False


async def test_people_of_another_country_who_hide_the_caller_are_an_error() -> None:
    async with _WithoutPhonenumbers() as vendor, open_session(LOOPBACK) as http:
        alike = crowd(replace(FAY, phones=(FAY.phone.national,)), 10)
        vendor.records = [vendor.record(person) for person in (*alike, FAY)]
        with pytest.raises(PermanentError, match="more records match"):
            await built(vendor, http).find_by_phone(FAY.phone)


async def test_a_server_that_keeps_numbers_as_typed_is_asked_for_every_spelling() -> None:
    async with _WithoutPhonenumbers() as vendor, open_session(LOOPBACK) as http:
        adapter = built(vendor, http)
        found = [ids(await by_phone(adapter, person.phone)) for person in SPELLED]
    assert found == [{person.id} for person in SPELLED]

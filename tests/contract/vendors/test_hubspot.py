"""The HubSpot adapter keeps the kit's promises, and knows HubSpot."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from pydantic import ValidationError

from broker.domain.errors import BrokerError, PermanentError, TemporaryError
from broker.plugins import build
from broker.ports import CallNote, Ticket
from broker.testing.crm_kit import by_phone, by_reference, ids
from broker.testing.http_crm_kit import HttpCrmAdapterKit, NoteKit, TicketKit
from broker.testing.people import ADA, BOB, CAROL, FAY, STRANGER
from broker.testing.scripted_server import reply
from broker.testing.vendor import crowd
from crm_adapters.hubspot import HubSpotAdapter, HubSpotOptions
from tests.vendors.hubspot import REFRESH, VIP_LIST, FakeHubSpot, FakeHubSpotOfLists

if TYPE_CHECKING:
    import aiohttp

    from broker.ports import CrmAdapter

TICKET = Ticket("call-1", "Call back", "Please", ADA.id)
NOTE = CallNote("call-1", ADA.id, "premium", 1_790_000_000.0, "Called <twice>\nat noon")


def _adapter(vendor: FakeHubSpot, http: aiohttp.ClientSession, **changed: Any) -> CrmAdapter:
    options = HubSpotOptions.model_validate({**vendor.options(), **changed})
    return build(HubSpotAdapter, options, http)


def _sent(vendor: FakeHubSpot, at: int = -1) -> Any:
    return orjson.loads(vendor.asked[at].body)


class TestHubSpot(TicketKit, NoteKit, HttpCrmAdapterKit):
    adapter_type = HubSpotAdapter
    vendor_type = FakeHubSpot

    async def test_one_search_asks_for_the_number_as_typed_and_as_calculated(
        self, vendor: FakeHubSpot, adapter: CrmAdapter
    ) -> None:
        await by_phone(adapter, ADA.phone)
        (asked,) = vendor.asked
        assert asked.line == "POST /crm/objects/2026-09/contacts/search"
        wanted = {
            f["propertyName"]: f["values"]
            for group in _sent(vendor)["filterGroups"]
            for f in group["filters"]
        }
        assert wanted["phone"] == wanted["mobilephone"] == list(ADA.phone.spellings)
        calculated = wanted["hs_searchable_calculated_phone_number"]
        assert calculated == wanted["hs_searchable_calculated_mobile_number"]
        assert {ADA.phone.national, "03023125001"} <= set(calculated)
        assert [text for text in calculated if not text.isdigit()] == []

    async def test_only_what_is_configured_is_read(
        self, vendor: FakeHubSpot, adapter: CrmAdapter
    ) -> None:
        await by_phone(adapter, ADA.phone)
        assert set(_sent(vendor)["properties"]) == {
            *("hs_object_id", "email", "track_id", "firstname", "lastname", "hs_language"),
            *("phone", "mobilephone", "customer_reference", "tier"),
        }

    async def test_a_number_spelled_as_the_operator_says_is_found(
        self, vendor: FakeHubSpot, http: aiohttp.ClientSession
    ) -> None:
        odd = replace(ADA, phones=("0 30-231 25 001",))
        vendor.records = [vendor.record(odd)]
        vendor.records[0]["properties"]["hs_searchable_calculated_phone_number"] = None
        assert await by_phone(_adapter(vendor, http), ADA.phone) == ()
        told = _adapter(vendor, http, spellings=["0 **-*** ** ***"])
        assert ids(await by_phone(told, ADA.phone)) == {ADA.id}

    async def test_a_number_is_found_in_free_text_and_nobody_is_believed_without_one(
        self, vendor: FakeHubSpot, adapter: CrmAdapter
    ) -> None:
        told = replace(ADA, phones=("ask for Ada: 030 23125001",))
        vendor.records = [vendor.record(told), vendor.record(replace(BOB, phones=("see notes",)))]
        calculated = {"hs_searchable_calculated_phone_number": ADA.phone.national}
        vendor.records[1]["properties"] |= calculated
        assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id}

    async def test_contacts_of_other_countries_that_hide_the_caller_are_an_error(
        self, vendor: FakeHubSpot, adapter: CrmAdapter
    ) -> None:
        vendor.records = [vendor.record(p) for p in (*crowd(FAY, 20), ADA)]
        with pytest.raises(PermanentError, match="more records match than were read"):
            await adapter.find_by_phone(ADA.phone)

    async def test_a_contact_that_the_index_does_not_have_yet_is_nobody(
        self, vendor: FakeHubSpot, adapter: CrmAdapter
    ) -> None:
        vendor.unindexed = {ADA.id}
        assert await by_phone(adapter, ADA.phone) == ()
        assert await by_reference(adapter, ADA.typed) == ()

    async def test_an_expression_over_properties_says_who_is_premium(
        self, vendor: FakeHubSpot, http: aiohttp.ClientSession
    ) -> None:
        adapter = _adapter(vendor, http, premium={"expression": 'tier in ["gold"]'})
        found = [(await by_phone(adapter, person.phone))[0].premium for person in (ADA, BOB)]
        assert found == [True, False]

    async def test_the_link_to_the_record_is_what_hubspot_says(self, adapter: CrmAdapter) -> None:
        (ada,) = await by_phone(adapter, ADA.phone)
        assert ada.record_url == f"https://app.hubspot.com/contacts/4242/record/0-1/{ADA.id}"

    async def test_too_many_searches_in_a_second_are_temporary_without_a_pause(
        self, vendor: FakeHubSpot, adapter: CrmAdapter
    ) -> None:
        vendor.fault = reply({"errorType": "RATE_LIMIT", "policyName": "SECONDLY"}, status=429)
        with pytest.raises(TemporaryError) as caught:
            await adapter.find_by_phone(ADA.phone)
        assert caught.value.retry_after is None

    async def test_a_ticket_holds_our_reference_and_belongs_to_the_contact(
        self, vendor: FakeHubSpot, adapter: CrmAdapter
    ) -> None:
        opened = await adapter.create_ticket(TICKET)
        (ticket,) = vendor.tickets
        assert ticket["properties"] == {
            "broker_ticket": "call-1",
            "subject": "Call back",
            "content": "Please",
            "hs_pipeline": "0",
            "hs_pipeline_stage": "1",
        }
        types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 16}]
        assert ticket["associations"] == [{"to": {"id": ADA.id}, "types": types}]
        assert (opened.id, opened.url) == (ticket["id"], ticket["url"])

    async def test_a_ticket_that_somebody_else_just_opened_is_taken(
        self, vendor: FakeHubSpot, adapter: CrmAdapter
    ) -> None:
        first = await adapter.create_ticket(TICKET)
        vendor.late = 1
        assert await adapter.create_ticket(TICKET) == first
        assert [asked.path.rpartition("/")[2] for asked in vendor.asked[-3:]] == [
            *("read", "tickets", "read")
        ]

    async def test_a_ticket_that_hubspot_refuses_is_an_error(
        self, vendor: FakeHubSpot, adapter: CrmAdapter
    ) -> None:
        with pytest.raises(PermanentError, match="tickets refused: check the options"):
            await adapter.create_ticket(replace(TICKET, customer_id="nobody"))
        assert vendor.tickets == []

    async def test_a_note_is_html_and_stands_at_the_time_of_the_call(
        self, vendor: FakeHubSpot, adapter: CrmAdapter
    ) -> None:
        await adapter.record_outcome(NOTE)
        (note,) = vendor.notes
        assert note["properties"] == {
            "broker_call": "call-1",
            "hs_timestamp": "1790000000000",
            "hs_note_body": "Called &lt;twice&gt;<br>at noon",
        }
        assert note["associations"][0]["types"][0]["associationTypeId"] == 202

    async def test_without_a_unique_property_there_are_no_tickets_and_no_notes(
        self, vendor: FakeHubSpot, http: aiohttp.ClientSession
    ) -> None:
        adapter = _adapter(vendor, http, ticket_key=None, note_key=None)
        with pytest.raises(PermanentError, match="takes no tickets"):
            await adapter.create_ticket(TICKET)
        with pytest.raises(PermanentError, match="takes no notes"):
            await adapter.record_outcome(NOTE)
        assert vendor.asked == []

    async def test_an_app_gets_its_access_token_and_another_when_that_expires(
        self, vendor: FakeHubSpot, http: aiohttp.ClientSession
    ) -> None:
        auth = {"kind": "refresh_token", "client_id": "app", "refresh_token": REFRESH}
        adapter = _adapter(vendor, http, auth={**auth, "client_secret": "s"})
        for _ in range(2):
            assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id}
            vendor.keys = {"none"}
        await adapter.aclose()

    async def test_ping_names_a_property_that_does_not_exist(
        self, vendor: FakeHubSpot, http: aiohttp.ClientSession
    ) -> None:
        with pytest.raises(PermanentError, match=r"contacts have no property .* name order_no$"):
            await _adapter(vendor, http, fields={"track_id": "order_no"}).ping()
        with pytest.raises(PermanentError, match=r"tickets have no property .* name ref$"):
            await _adapter(vendor, http, ticket_key="ref").ping()

    async def test_ping_names_a_property_without_unique_values(
        self, vendor: FakeHubSpot, http: aiohttp.ClientSession
    ) -> None:
        wrong = _adapter(vendor, http, fields={"reference": "tier"}, unique_reference=True)
        with pytest.raises(PermanentError, match="tier of contacts does not require unique values"):
            await wrong.ping()

    async def test_ping_explains_a_missing_scope_and_a_wrong_key(
        self, vendor: FakeHubSpot, adapter: CrmAdapter
    ) -> None:
        vendor.scopes.clear()
        with pytest.raises(PermanentError, match=r"a right is missing.* crm\.objects\.contacts"):
            await adapter.ping()
        vendor.keys.clear()
        with pytest.raises(PermanentError, match=r"the credentials were refused .* check `auth`"):
            await adapter.ping()

    async def test_ping_explains_a_wrong_base_url(
        self, vendor: FakeHubSpot, http: aiohttp.ClientSession
    ) -> None:
        with pytest.raises(PermanentError, match="nothing is at this address: check base_url"):
            await _adapter(vendor, http, base_url=f"{vendor.url}/crm").ping()
        vendor.strays.clear()

    @pytest.mark.parametrize(
        "wrong",
        [
            {"fields": {"reference": "Customer Reference"}},
            {"fields": {"phones": ["phone", "mobilephone", "fax", "other"]}},
            {"version": "v3"},
            {"ticket_key": "../notes"},
            {"premium": {"tags": [VIP_LIST]}},
            {"auth": None},
        ],
        ids=lambda wrong: next(iter(wrong)),
    )
    def test_options_that_cannot_work_are_refused(self, wrong: dict[str, Any]) -> None:
        right = {"auth": {"kind": "bearer", "token": "t"}}
        HubSpotOptions.model_validate(right)
        with pytest.raises(ValidationError):
            HubSpotOptions.model_validate({**right, **wrong})


class TestHubSpotOfLists(HttpCrmAdapterKit):
    adapter_type = HubSpotAdapter
    vendor_type = FakeHubSpotOfLists

    async def test_whoever_is_in_the_list_is_premium(
        self, vendor: FakeHubSpot, http: aiohttp.ClientSession
    ) -> None:
        adapter = _adapter(vendor, http, premium={"tags": [VIP_LIST]})
        found = [(await by_phone(adapter, person.phone))[0].premium for person in (ADA, BOB)]
        assert found == [True, False]
        (ada,) = await by_reference(adapter, ADA.typed)
        assert ada.tags == ("3", VIP_LIST)

    async def test_nobody_is_looked_up_in_lists_if_nobody_was_found(
        self, vendor: FakeHubSpot, adapter: CrmAdapter
    ) -> None:
        await by_phone(adapter, STRANGER)
        assert len(vendor.asked) == 1
        await by_phone(adapter, CAROL.phone)
        assert len(vendor.asked) == 3

    async def test_a_unique_reference_is_found_before_the_index_has_it(
        self, vendor: FakeHubSpot, adapter: CrmAdapter
    ) -> None:
        vendor.unindexed = {ADA.id}
        assert ids(await by_reference(adapter, ADA.typed)) == {ADA.id}
        assert vendor.asked[0].line == "POST /crm/objects/2026-09/contacts/batch/read"
        assert orjson.loads(vendor.asked[0].body)["inputs"] == [{"id": ADA.reference}]

    async def test_ping_names_a_list_that_does_not_exist(
        self, vendor: FakeHubSpot, http: aiohttp.ClientSession
    ) -> None:
        await _adapter(vendor, http, premium={"tags": [VIP_LIST]}).ping()
        with pytest.raises(PermanentError, match="there is no list with the id 99"):
            await _adapter(vendor, http, premium={"tags": ["99"]}).ping()

    async def test_a_missing_scope_for_lists_is_an_error_and_not_standard(
        self, vendor: FakeHubSpot, adapter: CrmAdapter
    ) -> None:
        vendor.scopes.remove("lists.read")
        with pytest.raises(BrokerError, match=r"for lists crm\.lists\.read"):
            await by_phone(adapter, ADA.phone)

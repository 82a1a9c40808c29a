"""The Freshdesk adapter keeps the kit's promises, and asks as Freshdesk wants to be asked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from broker.plugins import build
from broker.ports import CallNote, Ticket
from broker.sdk import BadInputError, ConfigError, PermanentError, Reference, TemporaryError
from broker.testing.crm_kit import by_phone, by_reference, ids
from broker.testing.http_crm_kit import HttpCrmAdapterKit, NoteKit, TicketKit
from broker.testing.people import ADA, BOB, CAROL, DAN, EVE, GUS
from broker.testing.vendor import crowd
from crm_adapters.freshdesk import FreshdeskAdapter, FreshdeskOptions
from tests.vendors.freshdesk import API_KEY, FakeFreshdesk

if TYPE_CHECKING:
    import aiohttp

    from broker.ports import CrmAdapter
    from broker.testing.vendor import FakeVendor

NOTE = CallNote("call-1", ADA.id, "premium", 1_790_000_000.0, "Called; <went> to an agent.")
BY_TAG = {"premium": {"tags": ["VIP"]}}
BY_CUSTOM_FIELD = {"fields": {"reference": "cf_customer_number"}}


def built(vendor: FakeVendor, http: aiohttp.ClientSession, **more: Any) -> CrmAdapter:
    """The adapter with other options than the vendor's."""
    options = FreshdeskOptions.model_validate({**vendor.options(), **more})
    return build(FreshdeskAdapter, options, http)


def asked(vendor: FakeVendor) -> list[str]:
    return [one.line for one in vendor.asked]


class TestFreshdesk(TicketKit, NoteKit, HttpCrmAdapterKit):
    adapter_type = FreshdeskAdapter
    vendor_type = FakeFreshdesk
    current: FakeFreshdesk

    async def test_one_search_asks_for_all_spellings_in_both_fields(
        self, adapter: CrmAdapter
    ) -> None:
        await adapter.find_by_phone(EVE.phone)
        (search,) = self.current.asked
        assert search.line == "GET /api/v2/search/contacts"
        assert search.query == {
            "query": '"'
            + " OR ".join(f"phone:'{s}' OR mobile:'{s}'" for s in EVE.phone.spellings)
            + '"'
        }

    async def test_spellings_that_do_not_fit_into_one_query_are_asked_for_in_two(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> None:
        patterns = ["(0**) **-***-***", "(0**) ***-***-**", "+49 (0)** ********"]
        vendor.records = [vendor.record(replace(EVE, phones=("+49 (0)30 23125005",)))]
        found = await by_phone(built(vendor, http, spellings=patterns), EVE.phone)
        assert ids(found) == {EVE.id}
        assert asked(vendor) == ["GET /api/v2/search/contacts"] * 2
        assert max(len(one.query["query"]) for one in vendor.asked) <= 512

    async def test_a_contact_of_the_last_minutes_is_found_if_the_list_is_asked_too(
        self, adapter: CrmAdapter, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> None:
        self.current.unindexed = {int(ADA.id)}
        assert await by_phone(adapter, ADA.phone) == ()
        vendor.asked.clear()
        found = await by_phone(built(vendor, http, fresh=True), ADA.phone)
        assert ids(found) == {ADA.id}
        listed = [one.query for one in vendor.asked if one.path == "/api/v2/contacts"]
        assert listed == [
            {"phone": ADA.phone.e164, "per_page": "30"},
            {"mobile": ADA.phone.e164, "per_page": "30"},
        ]

    async def test_the_company_of_the_one_who_is_found_is_asked_for(
        self, adapter: CrmAdapter
    ) -> None:
        await adapter.find_by_phone(ADA.phone)
        assert asked(self.current) == ["GET /api/v2/search/contacts", "GET /api/v2/companies/901"]

    async def test_nothing_more_is_asked_about_two_contacts_with_one_number(
        self, adapter: CrmAdapter
    ) -> None:
        assert ids(await by_phone(adapter, CAROL.phone)) == {CAROL.id, DAN.id}
        assert asked(self.current) == ["GET /api/v2/search/contacts"]

    async def test_a_full_page_that_shows_nobody_is_an_error_and_not_nobody(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> None:
        alike = replace(EVE, phones=("030 23125005",))
        vendor.records = [vendor.record(person) for person in crowd(alike, 30)]
        with pytest.raises(PermanentError, match="more records match"):
            await built(vendor, http, region="GB").find_by_phone(EVE.phone)

    async def test_tags_are_asked_for_if_they_decide(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> None:
        adapter = built(vendor, http, **BY_TAG)
        for person in (ADA, BOB):
            (found,) = await by_phone(adapter, person.phone)
            assert found.premium is person.premium
        assert f"GET /api/v2/contacts/{ADA.id}" in asked(vendor)

    async def test_premium_may_be_an_expression_over_contact_and_company(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> None:
        rule = 'company.account_tier == "premium" and company.cf_segment == "b2b"'
        (found,) = await by_phone(built(vendor, http, premium={"expression": rule}), ADA.phone)
        assert found.premium is True

    async def test_a_reference_in_a_custom_field_is_searched_for_in_both_cases(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> None:
        (found,) = await by_reference(built(vendor, http, **BY_CUSTOM_FIELD), GUS.typed)
        assert found.id == GUS.id
        assert [one.query["query"] for one in vendor.asked] == [
            "\"cf_customer_number:'AB10007' OR cf_customer_number:'ab10007'\""
        ]

    async def test_a_reference_that_could_end_its_literal_is_not_sent(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> None:
        adapter = built(vendor, http, **BY_CUSTOM_FIELD)
        for text in ("1' OR phone:'2", '1" OR "2', "1\\", "1\n2"):
            with pytest.raises(BadInputError):
                await adapter.find_by_reference(Reference(text))
        assert vendor.asked == []

    async def test_an_external_id_is_found_in_both_cases(
        self, adapter: CrmAdapter, vendor: FakeVendor
    ) -> None:
        vendor.records = [vendor.record(replace(GUS, reference="ab10007"))]
        assert ids(await by_reference(adapter, GUS.typed)) == {GUS.id}

    async def test_a_contact_without_the_reference_is_not_believed_if_the_filter_was_ignored(
        self, adapter: CrmAdapter, vendor: FakeVendor
    ) -> None:
        vendor.records = [{**vendor.record(ADA), "unique_external_id": None}]
        self.current.ignores_filters = True
        assert await by_reference(adapter, ADA.typed) == ()

    async def test_a_full_page_of_a_filter_that_was_ignored_is_an_error_and_not_nobody(
        self, adapter: CrmAdapter, vendor: FakeVendor
    ) -> None:
        vendor.records = [vendor.record(person) for person in (*crowd(EVE, 30), GUS)]
        self.current.ignores_filters = True
        with pytest.raises(PermanentError, match="more records match"):
            await adapter.find_by_reference(GUS.typed)

    async def test_a_customer_leads_to_his_page(self, adapter: CrmAdapter) -> None:
        (found,) = await by_phone(adapter, ADA.phone)
        assert found.record_url == f"{self.current.url}/a/contacts/{ADA.id}"

    async def test_the_quota_of_the_minute_is_a_temporary_error(self, adapter: CrmAdapter) -> None:
        self.current.left = 1
        await adapter.find_by_phone(EVE.phone)
        with pytest.raises(TemporaryError) as caught:
            await adapter.find_by_phone(EVE.phone)
        assert caught.value.retry_after == pytest.approx(34, abs=1)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"kind": "basic", "username": "another", "password": "X"},
            {"kind": "bearer", "token": API_KEY},
        ],
    )
    async def test_check_says_that_the_key_is_wrong(
        self, vendor: FakeVendor, http: aiohttp.ClientSession, wrong: Any
    ) -> None:
        with pytest.raises(PermanentError, match=r"credentials were refused .* check `auth`"):
            await built(vendor, http, auth=wrong).ping()

    async def test_check_says_which_right_is_missing(self, adapter: CrmAdapter) -> None:
        self.current.rights = {"contacts"}
        with pytest.raises(PermanentError, match=r"a right is missing; needed: .* companies"):
            await adapter.ping()

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"reference": "cf_nummer"}, "it cannot look for cf_nummer: check the names"),
            ({"phones": ["phone", "cell"]}, "it cannot look for cell: check the names"),
            ({"track_id": "cf_order"}, "there is no field called cf_order"),
            ({"extra": {"x": "town"}}, "there is no field called town"),
            ({"extra": {"x": "company.tier"}}, "there is no field called company.tier"),
            ({"extra": {"x": "company.cf_a"}}, "there is no field called company.cf_a"),
        ],
    )
    async def test_check_says_which_field_is_unknown(
        self, vendor: FakeVendor, http: aiohttp.ClientSession, fields: Any, said: str
    ) -> None:
        with pytest.raises((PermanentError, ConfigError), match=said):
            await built(vendor, http, fields=fields).ping()

    async def test_check_says_that_the_address_is_wrong(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> None:
        adapter = built(vendor, http, base_url=f"{vendor.url}/api/v2")
        with pytest.raises(PermanentError, match="nothing is at this address: check base_url"):
            await adapter.ping()
        vendor.strays.clear()

    async def test_check_works_in_an_empty_freshdesk(
        self, adapter: CrmAdapter, vendor: FakeVendor
    ) -> None:
        vendor.records = []
        assert "finds people" in await adapter.ping()

    def test_the_key_is_in_no_repr_of_the_options(self, vendor: FakeVendor) -> None:
        assert API_KEY not in repr(FreshdeskOptions.model_validate(vendor.options()))

    async def test_a_ticket_says_what_it_is_about_and_for_whom(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> None:
        adapter = built(vendor, http, ticket={"group_id": 7, "priority": 3})
        ticket = Ticket("call-1", "Call back", "1 < 2\n& so on", ADA.id)
        opened = await adapter.create_ticket(ticket)
        assert opened.url == f"{vendor.url}/a/tickets/{opened.id}"
        assert vendor.tickets == [
            {
                "id": 100,
                "status": 2,
                "priority": 3,
                "source": 3,
                "group_id": 7,
                "requester_id": int(ADA.id),
                "subject": "Call back [call-1]",
                "description": "1 &lt; 2<br>&amp; so on",
            }
        ]

    async def test_a_long_subject_leaves_room_for_the_reference(
        self, adapter: CrmAdapter, vendor: FakeVendor
    ) -> None:
        ticket = Ticket("r" * 64, "s" * 300, "text", ADA.id)
        assert await adapter.create_ticket(ticket) == await adapter.create_ticket(ticket)
        assert len(vendor.tickets) == 1

    async def test_a_ticket_for_nobody_known_needs_somebody_to_belong_to(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> None:
        adapter = built(vendor, http, ticket_requester=None)
        with pytest.raises(PermanentError, match="ticket_requester"):
            await adapter.create_ticket(Ticket("call-1", "Call back", "text"))

    async def test_a_note_is_private_and_stands_on_the_newest_ticket(
        self, adapter: CrmAdapter, vendor: FakeVendor
    ) -> None:
        await adapter.record_outcome(NOTE)
        (note,) = vendor.notes
        assert note["ticket_id"] == "11"
        assert note["private"] is True
        assert note["body"] == "Called; &lt;went&gt; to an agent. [call-1]"

    async def test_a_note_is_found_again_behind_a_hundred_others(
        self, adapter: CrmAdapter, vendor: FakeVendor
    ) -> None:
        vendor.notes = [{"ticket_id": "11", "body_text": "Hello"} for _ in range(100)]
        await adapter.record_outcome(NOTE)
        await adapter.record_outcome(NOTE)
        assert len(vendor.notes) == 101

    async def test_a_contact_without_a_ticket_has_no_place_for_a_note(
        self, adapter: CrmAdapter
    ) -> None:
        with pytest.raises(PermanentError, match="no ticket"):
            await adapter.record_outcome(replace(NOTE, customer_id=BOB.id))
        with pytest.raises(PermanentError, match="id is none of Freshdesk's"):
            await adapter.record_outcome(replace(NOTE, customer_id="c-1"))

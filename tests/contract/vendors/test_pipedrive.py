"""The Pipedrive adapter keeps the kit's promises, and knows Pipedrive."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from pydantic import ValidationError

from broker.domain.errors import PermanentError, TemporaryError
from broker.plugins import build
from broker.ports import CallNote
from broker.sdk import Phone
from broker.testing.crm_kit import by_phone, by_reference, ids
from broker.testing.http_crm_kit import HttpCrmAdapterKit, NoteKit
from broker.testing.people import ADA, BOB, CAROL, DAN, FAY, GUS, STRANGER
from broker.testing.scripted_server import reply
from broker.testing.vendor import crowd
from crm_adapters.pipedrive import PipedriveAdapter, PipedriveOptions
from tests.vendors.pipedrive import CLIENT, REFERENCE, REFRESH, TIER, TRACK, FakePipedrive

if TYPE_CHECKING:
    import aiohttp

    from broker.ports import CrmAdapter

NOTE = CallNote("call-1", ADA.id, "premium", 1_790_000_000.0, "Called <twice>\nat noon")
UNKNOWN_KEY = "9" * 40


def _adapter(vendor: FakePipedrive, http: aiohttp.ClientSession, **changed: Any) -> CrmAdapter:
    options = PipedriveOptions.model_validate({**vendor.options(), **changed})
    return build(PipedriveAdapter, options, http)


def _terms(vendor: FakePipedrive) -> set[str]:
    return {asked.query["term"] for asked in vendor.asked if "term" in asked.query}


class TestPipedrive(NoteKit, HttpCrmAdapterKit):
    adapter_type = PipedriveAdapter
    vendor_type = FakePipedrive

    @pytest.mark.parametrize(
        ("number", "terms"),
        [
            (ADA.phone.e164, {"3023125001", "30 23125001"}),
            ("+15135557611", {"5135557611", "513-555-7611", "(513) 555-7611"}),
            ("+390612345678", {"0612345678", "06 1234 5678"}),
        ],
    )
    async def test_so_few_searches_cover_every_spelling(
        self, vendor: FakePipedrive, adapter: CrmAdapter, number: str, terms: set[str]
    ) -> None:
        phone = Phone.from_e164(number)
        await by_phone(adapter, phone)
        assert _terms(vendor) == terms
        assert all(any(term in spelling for term in terms) for spelling in phone.spellings)
        assert {asked.query["fields"] for asked in vendor.asked if "term" in asked.query} == {
            "phone"
        }

    async def test_one_search_will_do_where_formats_are_ignored(
        self, vendor: FakePipedrive, http: aiohttp.ClientSession
    ) -> None:
        vendor.ignores_format = True
        vendor.records = [vendor.record(replace(ADA, phones=("+49 (30) 231 25-001",)))]
        adapter = _adapter(vendor, http, ignores_format=True)
        assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id}
        assert _terms(vendor) == {"3023125001"}

    async def test_a_number_spelled_as_the_operator_says_is_found(
        self, vendor: FakePipedrive, http: aiohttp.ClientSession
    ) -> None:
        vendor.records = [vendor.record(replace(ADA, phones=("+49 (30) 231 25-001",)))]
        assert await by_phone(_adapter(vendor, http), ADA.phone) == ()
        told = _adapter(vendor, http, spellings=["(**) *** **-***"])
        assert ids(await by_phone(told, ADA.phone)) == {ADA.id}

    async def test_only_who_was_found_is_read_and_only_what_is_configured(
        self, vendor: FakePipedrive, adapter: CrmAdapter
    ) -> None:
        await by_phone(adapter, STRANGER)
        assert len(vendor.asked) == 2
        vendor.asked.clear()
        assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id}
        (read,) = [asked for asked in vendor.asked if "term" not in asked.query]
        assert read.path == f"/api/v2/persons/{ADA.id}"
        keys = set(read.query["custom_fields"].split(","))
        assert keys == {REFERENCE, TRACK, TIER, "c" * 40}

    async def test_whoever_has_the_same_number_in_another_country_is_not_read(
        self, vendor: FakePipedrive, adapter: CrmAdapter
    ) -> None:
        await by_phone(adapter, FAY.phone)
        assert [asked.path for asked in vendor.asked if "term" not in asked.query] == [
            f"/api/v2/persons/{FAY.id}"
        ]

    async def test_a_reference_is_searched_exactly_and_found_in_any_case(
        self, vendor: FakePipedrive, adapter: CrmAdapter
    ) -> None:
        vendor.records = [vendor.record(replace(GUS, reference=GUS.reference.lower()))]
        assert ids(await by_reference(adapter, GUS.typed)) == {GUS.id}
        query = vendor.asked[0].query
        assert (query["fields"], query["exact_match"]) == ("custom_fields", "true")

    async def test_another_custom_field_with_the_same_value_is_not_believed(
        self, vendor: FakePipedrive, adapter: CrmAdapter
    ) -> None:
        vendor.records = [vendor.record(replace(BOB, track_id=ADA.reference)), vendor.record(ADA)]
        assert ids(await by_reference(adapter, ADA.typed)) == {ADA.id}

    async def test_people_with_the_value_elsewhere_who_hide_somebody_are_an_error(
        self, vendor: FakePipedrive, adapter: CrmAdapter
    ) -> None:
        others = crowd(replace(BOB, track_id=ADA.reference), 6)
        vendor.records = [vendor.record(person) for person in (*others, ADA)]
        with pytest.raises(PermanentError, match="more records match"):
            await adapter.find_by_reference(ADA.typed)

    async def test_people_of_other_countries_who_hide_the_caller_are_an_error(
        self, vendor: FakePipedrive, adapter: CrmAdapter
    ) -> None:
        vendor.records = [vendor.record(person) for person in (*crowd(FAY, 100), ADA)]
        with pytest.raises(PermanentError, match="more records match"):
            await adapter.find_by_phone(ADA.phone)

    async def test_somebody_who_is_deleted_between_two_requests_is_nobody(
        self, vendor: FakePipedrive, adapter: CrmAdapter
    ) -> None:
        vendor.gone = {int(ADA.id)}
        assert await by_phone(adapter, ADA.phone) == ()

    async def test_people_who_are_deleted_and_hide_another_are_an_error(
        self, vendor: FakePipedrive, adapter: CrmAdapter
    ) -> None:
        vendor.records = [vendor.record(person) for person in crowd(ADA, 6)]
        vendor.gone = {record["id"] for record in vendor.records[:4]}
        with pytest.raises(PermanentError, match="more records match"):
            await adapter.find_by_phone(ADA.phone)

    async def test_the_primary_address_is_the_email(self, adapter: CrmAdapter) -> None:
        (ada,) = await by_phone(adapter, ADA.phone)
        assert ada.email == ADA.email

    async def test_a_number_in_free_text_is_found_and_one_that_is_none_is_nobodys(
        self, vendor: FakePipedrive, adapter: CrmAdapter
    ) -> None:
        told = replace(ADA, phones=("ask for Ada: 030 23125001",))
        odd = replace(BOB, phones=("3023125001 or 0170 1234567 after six",))
        vendor.records = [vendor.record(told), vendor.record(odd)]
        assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id}

    @pytest.mark.parametrize(
        "rule",
        [{"tags": ["vip"]}, {"tags": ["5"]}, {"expression": f'field("{TIER}") == "Gold"'}],
        ids=["label", "label id", "expression"],
    )
    async def test_labels_and_expressions_say_who_is_premium(
        self, vendor: FakePipedrive, http: aiohttp.ClientSession, rule: dict[str, Any]
    ) -> None:
        adapter = _adapter(vendor, http, premium=rule)
        found = [(await by_phone(adapter, person.phone))[0].premium for person in (ADA, BOB)]
        assert found == [True, False]

    async def test_the_link_leads_to_the_person_in_the_company_of_the_base_url(
        self, vendor: FakePipedrive, adapter: CrmAdapter, http: aiohttp.ClientSession
    ) -> None:
        (ada,) = await by_phone(adapter, ADA.phone)
        assert ada.record_url == f"{vendor.url}/person/{ADA.id}"
        shared = {**vendor.options(), "base_url": "https://api.pipedrive.com"}
        options = PipedriveOptions.model_validate(shared)
        assert PipedriveAdapter(options, http).record_url({"id": 1}) is None

    async def test_a_burst_that_was_too_fast_is_a_pause(
        self, vendor: FakePipedrive, adapter: CrmAdapter
    ) -> None:
        headers = {"Retry-After": "10", "x-ratelimit-reset": "10", "x-ratelimit-remaining": "0"}
        vendor.fault = reply({"success": False}, status=429, headers=headers)
        with pytest.raises(TemporaryError) as caught:
            await adapter.find_by_phone(ADA.phone)
        assert caught.value.retry_after == pytest.approx(10, abs=0.5)

    async def test_a_note_is_html_and_ends_with_the_call_id(
        self, vendor: FakePipedrive, adapter: CrmAdapter
    ) -> None:
        await adapter.record_outcome(NOTE)
        sent = orjson.loads(vendor.asked[-1].body)
        content = "Called &lt;twice&gt;<br>at noon<br>call-1"
        assert sent == {"person_id": int(ADA.id), "content": content}

    async def test_a_longer_call_id_is_another_call(
        self, vendor: FakePipedrive, adapter: CrmAdapter
    ) -> None:
        await adapter.record_outcome(replace(NOTE, call_id="call-10"))
        await adapter.record_outcome(NOTE)
        assert len(vendor.notes) == 2

    async def test_a_note_for_who_is_no_person_is_an_error(
        self, vendor: FakePipedrive, adapter: CrmAdapter
    ) -> None:
        with pytest.raises(PermanentError, match="a person's id is a number"):
            await adapter.record_outcome(replace(NOTE, customer_id="../1"))
        assert vendor.asked == []

    async def test_an_app_shows_itself_by_header_and_gets_a_new_token_when_one_expires(
        self, vendor: FakePipedrive, http: aiohttp.ClientSession
    ) -> None:
        auth = {"kind": "refresh_token", **CLIENT, "refresh_token": REFRESH}
        adapter = _adapter(vendor, http, auth={**auth, "token_url": f"{vendor.url}/oauth/token"})
        for _ in range(2):
            assert ids(await by_phone(adapter, CAROL.phone)) == {CAROL.id, DAN.id}
            vendor.tokens = {"none"}
        await adapter.aclose()

    async def test_ping_names_a_custom_field_that_does_not_exist(
        self, vendor: FakePipedrive, http: aiohttp.ClientSession
    ) -> None:
        wrong = _adapter(vendor, http, fields={"track_id": UNKNOWN_KEY})
        with pytest.raises(PermanentError, match=f"no custom field with the key {UNKNOWN_KEY}"):
            await wrong.ping()

    async def test_ping_explains_a_wrong_token_a_missing_right_and_a_wrong_address(
        self, vendor: FakePipedrive, http: aiohttp.ClientSession
    ) -> None:
        with pytest.raises(PermanentError, match="nothing is at this address: check base_url"):
            await _adapter(vendor, http, base_url=f"{vendor.url}/v1").ping()
        vendor.strays.clear()
        vendor.rights.clear()
        with pytest.raises(PermanentError, match=r"a right is missing.* contacts:read"):
            await _adapter(vendor, http).ping()
        vendor.tokens.clear()
        with pytest.raises(PermanentError, match=r"the credentials were refused .* check `auth`"):
            await _adapter(vendor, http).ping()

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"fields": {"reference": "Customer number"}}, "no key of 40 characters"),
            ({"fields": {"phones": [TRACK]}}, "only phones can be searched"),
            ({"fields": {"extra": {str(i): f"{i:040x}" for i in range(16)}}}, "more than 15"),
            ({"base_url": None}, "base_url"),
            ({"auth": None}, "auth is missing"),
        ],
        ids=["name", "phones", "many", "address", "auth"],
    )
    def test_options_that_cannot_work_are_refused(self, wrong: dict[str, Any], said: str) -> None:
        right = {"base_url": "https://x.pipedrive.com", "auth": {"kind": "bearer", "token": "t"}}
        PipedriveOptions.model_validate(right)
        with pytest.raises(ValidationError, match=said):
            PipedriveOptions.model_validate({**right, **wrong})

"""The Zoho adapter keeps the kit's promises, and what only Zoho asks of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from broker.domain.errors import BadInputError, BrokerError, PermanentError
from broker.http_client import open_session
from broker.ports import CallNote, Ticket
from broker.testing.http_crm_kit import HttpCrmAdapterKit, NoteKit, TicketKit
from broker.testing.loopback import LOOPBACK
from broker.testing.people import ADA, BOB, EVE, GUS
from broker.testing.scripted_server import reply
from crm_adapters.zoho import ZohoAdapter, ZohoOptions
from tests.vendors.zoho import FakeZoho

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    Build = Callable[..., ZohoAdapter]

TICKET = Ticket("call_1", "Call back, please", "The caller waits.", ADA.id)
NOTE = CallNote("call-1", ADA.id, "premium", 1_790_000_000.0, "Called; went to an agent.")


class TestZoho(TicketKit, NoteKit, HttpCrmAdapterKit):
    adapter_type = ZohoAdapter
    vendor_type = FakeZoho


@pytest.fixture
async def vendor() -> AsyncIterator[FakeZoho]:
    async with FakeZoho() as vendor:
        yield vendor


@pytest.fixture
async def build(vendor: FakeZoho) -> AsyncIterator[Build]:
    """The adapter with the vendor's options and changes to them."""
    async with open_session(LOOPBACK) as http:

        def build(**changes: Any) -> ZohoAdapter:
            options = {**vendor.options(), **changes}
            return ZohoAdapter(ZohoOptions.model_validate(options), http)

        yield build


async def said(adapter: ZohoAdapter) -> str:
    with pytest.raises(BrokerError) as caught:
        await adapter.ping()
    return str(caught.value)


def queries(vendor: FakeZoho) -> list[str]:
    return [orjson.loads(asked.body)["select_query"] for asked in vendor.asked]


async def test_every_spelling_in_every_phone_field_is_asked_for_in_one_query(
    vendor: FakeZoho, build: Build
) -> None:
    await build(fields={"phones": ["Phone", "Mobile", "Other_Phone"]}).find_by_phone(ADA.phone)
    spelled = (
        "('+493023125001', '493023125001', '00493023125001', '+49 30 23125001', "
        "'030 23125001', '03023125001', '3023125001', '+49030 23125001')"
    )
    names = "id, Email, Full_Name, Phone, Mobile, Other_Phone, Tag, Tier"
    equal = f"((Phone in {spelled} or Mobile in {spelled}) or Other_Phone in {spelled})"
    (query,) = queries(vendor)
    assert query.split(" from ") == [f"select {names}", f"Contacts where {equal} limit 10"]
    assert vendor.asked[0].headers["Authorization"] == "Zoho-oauthtoken 1000.access-of-zoho-1"


async def test_a_reference_is_asked_for_in_both_cases(vendor: FakeZoho, build: Build) -> None:
    vendor.records = [vendor.record(replace(GUS, reference=GUS.reference.lower()))]
    (found,) = await build().find_by_reference(GUS.typed)
    assert found.id == GUS.id
    assert "where Customer_No in ('AB10007', 'ab10007') limit 10" in queries(vendor)[0]


async def test_a_value_that_could_end_its_literal_is_not_sent(
    vendor: FakeZoho, build: Build
) -> None:
    for odd in ("1' or id is not null", "1\\", "1\n"):
        with pytest.raises(BadInputError):
            await build().find_by_reference(replace(ADA.typed, value=odd))
    assert vendor.asked == []


async def test_the_search_index_may_be_asked_as_well(vendor: FakeZoho, build: Build) -> None:
    odd = replace(ADA, phones=("+49 (0)30 / 2312 5001",))
    vendor.records = [vendor.record(odd), vendor.record(EVE)]
    vendor.records[0]["Phone"], vendor.records[0]["Other_Phone"] = None, "030 / 2312 5001"
    fields = {"phones": ["Phone", "Mobile", "Other_Phone"]}
    assert not await build(fields=fields).find_by_phone(ADA.phone)
    (found,) = await build(fields=fields, search=True).find_by_phone(ADA.phone)
    assert found.id == ADA.id
    asked = vendor.asked[-1]
    assert asked.line == "GET /crm/v8/Contacts/search"
    assert asked.query == {
        "phone": "3023125001",
        "fields": "id,Email,Full_Name,Phone,Mobile,Other_Phone,Tag,Tier",
        "per_page": "10",
    }


async def test_who_is_found_twice_is_one_customer(vendor: FakeZoho, build: Build) -> None:
    adapter = build(search=True, premium={"expression": 'Account_Name.Tier == "Gold"'})
    vendor.records[0]["Account_Name.Tier"] = "Gold"
    (found,) = await adapter.find_by_phone(ADA.phone)
    assert found.premium is True  # by the query; the index does not know accounts


async def test_a_contact_that_is_not_indexed_yet_is_found(vendor: FakeZoho, build: Build) -> None:
    vendor.not_indexed = {ADA.id}
    (found,) = await build(search=True).find_by_phone(ADA.phone)
    assert found.id == ADA.id


async def test_tags_may_mean_premium(vendor: FakeZoho, build: Build) -> None:
    vendor.records[0]["Tag"] = [{"name": "VIP", "id": "1", "color_code": "#57B1FD"}]
    adapter = build(premium={"tags": ["vip"]})
    (ada,) = await adapter.find_by_phone(ADA.phone)
    (bob,) = await adapter.find_by_phone(BOB.phone)
    assert (ada.premium, ada.tags, bob.premium) == (True, ("VIP",), False)


async def test_a_linked_record_is_known_by_its_name(vendor: FakeZoho, build: Build) -> None:
    vendor.records[0]["Account_Name"] = {"name": "Löwe AG", "id": "7"}
    (found,) = await build(fields={"extra": {"company": "Account_Name"}}).find_by_phone(ADA.phone)
    assert found.extra == {"company": "Löwe AG"}


async def test_a_record_opens_in_the_app_if_its_address_is_known(
    vendor: FakeZoho, build: Build
) -> None:
    (found,) = await build().find_by_phone(ADA.phone)
    assert found.record_url is None
    adapter = build(app_url="https://crm.zoho.eu/crm/org77/")
    (found,) = await adapter.find_by_phone(ADA.phone)
    assert found.record_url == f"https://crm.zoho.eu/crm/org77/tab/Contacts/{ADA.id}"
    ticket = await adapter.create_ticket(TICKET)
    assert ticket.url == f"https://crm.zoho.eu/crm/org77/tab/Cases/{ticket.id}"
    assert vendor.tickets[0]["id"] == ticket.id


async def test_a_token_that_ended_is_fetched_anew_within_the_lookup(
    vendor: FakeZoho, build: Build
) -> None:
    adapter = build()
    await adapter.find_by_phone(ADA.phone)
    vendor.revoke()
    (found,) = await adapter.find_by_phone(ADA.phone)
    assert found.id == ADA.id
    assert len(vendor.desk.forms) == 2
    await adapter.aclose()


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [("client_secret", "invalid_client"), ("refresh_token", "invalid_code")],
)
async def test_check_says_which_credential_is_wrong(
    vendor: FakeZoho, build: Build, wrong: str, fault: str
) -> None:
    auth = {**vendor.options()["auth"], wrong: "wrong"}
    assert await said(build(auth=auth)) == f"zoho: the credentials were refused ({fault})"


async def test_check_says_that_too_many_tokens_were_asked_for(
    vendor: FakeZoho, build: Build
) -> None:
    vendor.desk.forms = [{}] * 10
    assert await said(build()) == "zoho: the credentials were refused (Access Denied)"


async def test_check_says_that_the_token_is_of_another_data_center(build: Build) -> None:
    auth = {"kind": "header", "name": "Authorization", "value": "Zoho-oauthtoken elsewhere"}
    text = await said(build(auth=auth))
    assert text.startswith("zoho: the credentials were refused (HTTP 401): check `auth`, and that")


async def test_check_says_which_scopes_are_needed(vendor: FakeZoho, build: Build) -> None:
    vendor.scopes.discard("ZohoCRM.coql.READ")
    text = await said(build())
    assert "(HTTP 401): a scope is missing; needed: the scopes ZohoCRM.coql.READ" in text


@pytest.mark.parametrize(
    "changes",
    [
        {"fields": {"reference": "Kundennummer"}},
        {"fields": {"phones": ["Phone", "Kundennummer"]}},
        {"premium": {"field": "Kundennummer"}},
    ],
)
async def test_check_names_the_field_that_does_not_exist(
    build: Build, changes: dict[str, Any]
) -> None:
    assert "Zoho does not take the field Kundennummer" in await said(build(**changes))


async def test_check_says_that_a_name_is_a_word_of_the_query_language(build: Build) -> None:
    assert "an API name that is a word of SQL" in await said(build(fields={"email": "From"}))


async def test_check_says_that_the_address_is_wrong(vendor: FakeZoho, build: Build) -> None:
    text = await said(build(base_url=f"{vendor.url}/eu"))
    assert text == "zoho: HTTP 404: nothing is at this address: check base_url"


async def test_a_case_holds_what_the_ticket_says(vendor: FakeZoho, build: Build) -> None:
    ticket = await build(ticket_fields={"Status": "Neu", "Priority": "High"}).create_ticket(TICKET)
    assert vendor.tickets == [
        {
            "id": ticket.id,
            "Subject": "Call back, please [call_1]",
            "Description": "The caller waits.",
            "Status": "Neu",
            "Case_Origin": "Phone",
            "Related_To": {"id": ADA.id},
            "Priority": "High",
        }
    ]


async def test_a_ticket_may_be_a_task(vendor: FakeZoho, build: Build) -> None:
    adapter = build(tickets="Tasks")
    first = await adapter.create_ticket(TICKET)
    assert await adapter.create_ticket(TICKET) == first
    (task,) = vendor.made["Tasks"]
    assert (task["Status"], task["Who_Id"]) == ("Not Started", {"id": ADA.id})


async def test_a_ticket_with_a_reference_that_only_looks_alike_is_another(
    vendor: FakeZoho, build: Build
) -> None:
    adapter = build()
    other = await adapter.create_ticket(replace(TICKET, reference="call-1"))
    assert (await adapter.create_ticket(TICKET)).id != other.id  # `_` is any character in `like`
    assert len(vendor.tickets) == 2


async def test_a_long_subject_is_cut_but_the_reference_stays(
    vendor: FakeZoho, build: Build
) -> None:
    adapter = build()
    first = await adapter.create_ticket(replace(TICKET, subject="a" * 400))
    assert await adapter.create_ticket(replace(TICKET, subject="a" * 400)) == first
    assert len(vendor.tickets[0]["Subject"]) == 255
    assert vendor.tickets[0]["Subject"].endswith("aa [call_1]")


async def test_a_ticket_that_lacks_a_field_says_so(vendor: FakeZoho, build: Build) -> None:
    with pytest.raises(PermanentError, match="see `ticket_fields`"):
        await build(ticket_fields={"Description": "", "Subject": ""}).create_ticket(TICKET)
    with pytest.raises(PermanentError, match="does not take the field Prio"):
        await build(ticket_fields={"Prio": "High"}).create_ticket(TICKET)
    assert vendor.tickets == []


async def test_a_ticket_in_a_module_that_is_not_there_says_so(
    vendor: FakeZoho, build: Build
) -> None:
    vendor.modules.discard("Cases")
    with pytest.raises(PermanentError, match="there is no such module here: set `tickets`"):
        await build().create_ticket(TICKET)


async def test_a_record_that_was_not_taken_is_no_ticket(vendor: FakeZoho, build: Build) -> None:
    refused = {"code": "INVALID_DATA", "details": {"api_name": "Status"}, "status": "error"}
    vendor.fault = reply({"data": [refused]}, status=202)
    with pytest.raises(PermanentError, match="it was not taken: Zoho does not take the field Stat"):
        await build().create_ticket(TICKET)


async def test_a_note_tells_when_the_call_was_and_how_it_ended(
    vendor: FakeZoho, build: Build
) -> None:
    await build().record_outcome(NOTE)
    (note,) = vendor.notes
    assert note["Note_Title"] == "Call of 2026-09-21 14:13 UTC: premium [call-1]"
    assert note["Note_Content"] == "Called; went to an agent."
    assert note["Parent_Id"] == {"module": {"api_name": "Contacts"}, "id": ADA.id}
    assert [asked.line for asked in vendor.asked] == [
        f"GET /crm/v8/Contacts/{ADA.id}/Notes",
        f"POST /crm/v8/Contacts/{ADA.id}/Notes",
    ]


async def test_a_customer_id_that_could_lead_elsewhere_is_not_sent(
    vendor: FakeZoho, build: Build
) -> None:
    for odd in ("1/../2", "1?x=1", "", ".."):
        with pytest.raises(BadInputError):
            await build().record_outcome(replace(NOTE, customer_id=odd))
    assert vendor.asked == []


async def test_nobody_is_guessed_from_a_page_of_numbers_of_another_country(
    vendor: FakeZoho, build: Build
) -> None:
    british = [replace(ADA, id=str(i), phones=("030 23125001",)) for i in range(10)]
    vendor.records = [vendor.record(person) for person in (*british, ADA)]
    with pytest.raises(PermanentError, match="more records match"):
        await build(region="GB").find_by_phone(ADA.phone)

"""The Dynamics adapter keeps the kit's promises, and what only Dataverse asks of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from broker.domain.errors import BrokerError, PermanentError
from broker.http_client import open_session
from broker.ports import CallNote, Ticket
from broker.testing.http_crm_kit import HttpCrmAdapterKit, NoteKit, TicketKit
from broker.testing.loopback import LOOPBACK
from broker.testing.people import ADA, BOB, CAROL, EVE, GUS
from broker.testing.scripted_server import reply
from crm_adapters.dynamics import DynamicsAdapter, DynamicsOptions
from tests.vendors.dynamics import ACCOUNT, SECRET, FakeDynamics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    Build = Callable[..., DynamicsAdapter]

TICKET = Ticket("call-1", "Call back, please", "The caller waits.", ADA.id)
NOTE = CallNote("call-1", ADA.id, "premium", 1_790_000_000.0, "Called; went to an agent.")


class TestDynamics(TicketKit, NoteKit, HttpCrmAdapterKit):
    adapter_type = DynamicsAdapter
    vendor_type = FakeDynamics


@pytest.fixture
async def vendor() -> AsyncIterator[FakeDynamics]:
    async with FakeDynamics() as vendor:
        yield vendor


@pytest.fixture
async def build(vendor: FakeDynamics) -> AsyncIterator[Build]:
    """The adapter with the vendor's options and changes to them."""
    async with open_session(LOOPBACK) as http:

        def build(**changes: Any) -> DynamicsAdapter:
            options = {**vendor.options(), **changes}
            return DynamicsAdapter(DynamicsOptions.model_validate(options), http)

        yield build


async def said(adapter: DynamicsAdapter) -> str:
    with pytest.raises(BrokerError) as caught:
        await adapter.ping()
    return str(caught.value)


async def test_every_spelling_in_every_number_column_is_asked_for_at_once(
    vendor: FakeDynamics, build: Build
) -> None:
    await build(fields={"phones": ["telephone1", "mobilephone"]}).find_by_phone(ADA.phone)
    (asked,) = vendor.asked
    spelled = [
        *("+493023125001", "493023125001", "00493023125001", "+49 30 23125001"),
        *("030 23125001", "03023125001", "3023125001", "+49030 23125001"),
    ]
    equal = " or ".join(
        f"{column} eq '{text}'" for column in ("telephone1", "mobilephone") for text in spelled
    )
    assert asked.line == "GET /api/data/v9.2/contacts"
    assert asked.query == {
        "$select": "contactid,emailaddress1,fullname,telephone1,mobilephone,new_tier",
        "$filter": f"statecode eq 0 and ({equal})",
        "$top": "10",
    }
    assert asked.headers["OData-MaxVersion"] == "4.0"


async def test_a_reference_is_one_comparison_and_its_quotes_are_doubled(
    vendor: FakeDynamics, build: Build
) -> None:
    await build().find_by_reference(replace(ADA.typed, value="O'Hara"))
    assert vendor.asked[0].query["$filter"] == "statecode eq 0 and (new_customerno eq 'O''Hara')"


async def test_a_reference_stored_in_lower_case_is_found(
    vendor: FakeDynamics, build: Build
) -> None:
    vendor.records = [vendor.record(replace(GUS, reference=GUS.reference.lower()))]
    (found,) = await build().find_by_reference(GUS.typed)
    assert found.id == GUS.id


async def test_a_number_that_is_spelled_in_a_way_of_its_own_needs_a_pattern(
    vendor: FakeDynamics, build: Build
) -> None:
    vendor.records = [vendor.record(replace(ADA, phones=("0(30) 2312-5001",)))]
    assert not await build().find_by_phone(ADA.phone)
    (found,) = await build(spellings=["0(**) ****-****"]).find_by_phone(ADA.phone)
    assert found.id == ADA.id


async def test_an_inactive_contact_is_not_found(vendor: FakeDynamics, build: Build) -> None:
    merged = vendor.record(replace(ADA, id="merged")) | {"statecode": 1}
    vendor.records.append(merged)
    assert [found.id for found in await build().find_by_phone(ADA.phone)] == [ADA.id]
    assert [found.id for found in await build().find_by_reference(ADA.typed)] == [ADA.id]


async def test_accounts_are_asked_for_if_they_are_wanted(
    vendor: FakeDynamics, build: Build
) -> None:
    vendor.accounts = [
        vendor.account("a-1", name="Löwe AG", telephone2=EVE.phones[0], accountnumber="77"),
        vendor.account("a-2", name="Hare Ltd", telephone1=BOB.phones[0]),
    ]
    assert [found.id for found in await build().find_by_phone(EVE.phone)] == [EVE.id]
    adapter = build(accounts={"fields": {"reference": "accountnumber"}})
    found = await adapter.find_by_phone(EVE.phone)
    assert [(one.id, one.name) for one in found] == [(EVE.id, None), ("account-a-1", "Löwe AG")]
    (found_by_reference,) = await adapter.find_by_reference(replace(ADA.typed, value="77"))
    assert found_by_reference == found[1]


async def test_an_account_may_be_premium_by_a_column_of_its_own(
    vendor: FakeDynamics, build: Build
) -> None:
    vendor.accounts = [vendor.account("a-1", telephone1="+493023125998", new_tier=3)]
    adapter = build(accounts={"premium": {"field": "new_tier", "premium": [3]}})
    (found,) = await adapter.find_by_phone(replace(ADA.phone, e164="+493023125998"))
    assert found.premium is True


async def test_a_column_of_the_account_behind_a_contact_can_be_read(
    vendor: FakeDynamics, build: Build
) -> None:
    vendor.records[0][ACCOUNT] = {"name": "Löwe AG", "telephone1": "+493023125555"}
    adapter = build(
        fields={"phones": ["telephone1", f"{ACCOUNT}.telephone1"]},
        premium={"expression": f'{ACCOUNT}.name == "Löwe AG"'},
    )
    (found,) = await adapter.find_by_phone(replace(ADA.phone, e164="+493023125555"))
    assert found.id == ADA.id
    assert found.premium is True
    assert vendor.asked[0].query["$expand"] == f"{ACCOUNT}($select=telephone1,name)"
    (other,) = await adapter.find_by_phone(EVE.phone)
    assert other.premium is None


async def test_a_record_opens_in_the_app_of_the_agents(vendor: FakeDynamics, build: Build) -> None:
    vendor.accounts = [vendor.account("a-1", telephone1=ADA.phones[0])]
    contact, account = await build(accounts={}, app_id="77-ab").find_by_phone(ADA.phone)
    page = f"{vendor.url}/main.aspx?etn="
    ending = "&pagetype=entityrecord&id=%7B{}%7D&appid=77-ab"
    assert contact.record_url == f"{page}contact{ending.format(ADA.id)}"
    assert account.record_url == f"{page}account{ending.format('a-1')}"


async def test_a_key_that_could_change_the_link_gives_none(
    vendor: FakeDynamics, build: Build
) -> None:
    vendor.records = [vendor.record(replace(ADA, id="c-1&id=c-2"))]
    (found,) = await build().find_by_phone(ADA.phone)
    assert found.record_url is None


async def test_a_token_that_is_refused_is_fetched_anew_within_the_lookup(
    vendor: FakeDynamics, build: Build
) -> None:
    adapter = build()
    await adapter.find_by_phone(ADA.phone)
    vendor.revoke()
    (found,) = await adapter.find_by_phone(ADA.phone)
    assert found.id == ADA.id
    assert [form["scope"] for form in vendor.desk.forms] == [f"{vendor.url}/.default"] * 2
    await adapter.aclose()


async def test_check_says_that_the_secret_is_wrong(vendor: FakeDynamics, build: Build) -> None:
    auth = {**vendor.options()["auth"], "client_secret": "wrong"}
    assert await said(build(auth=auth)) == (
        "dynamics: the credentials were refused (invalid_client)"
    )


async def test_check_says_that_the_scope_names_no_environment(
    vendor: FakeDynamics, build: Build
) -> None:
    auth = {**vendor.options()["auth"], "scope": "https://other.crm4.dynamics.com/.default"}
    assert await said(build(auth=auth)) == (
        "dynamics: the credentials were refused (invalid_resource)"
    )


async def test_check_says_that_the_application_is_no_user_here(
    vendor: FakeDynamics, build: Build
) -> None:
    vendor.member = False
    assert "HTTP 403: a right is missing; needed: an application user" in await said(build())


@pytest.mark.parametrize(
    "changes",
    [
        {"fields": {"reference": "new_nothing"}},
        {"premium": {"field": f"{ACCOUNT}.new_nothing"}},
        {"accounts": {"fields": {"email": "new_nothing"}}},
    ],
)
async def test_check_names_the_column_that_does_not_exist(
    build: Build, changes: dict[str, Any]
) -> None:
    assert "Dataverse has no column new_nothing" in await said(build(**changes))


async def test_check_says_that_the_address_is_wrong(vendor: FakeDynamics, build: Build) -> None:
    auth = {**vendor.options()["auth"], "scope": f"{vendor.url}/.default"}
    text = await said(build(base_url=f"{vendor.url}/main", auth=auth))
    assert text == "dynamics: HTTP 404: nothing is at this address: check base_url"


async def test_a_case_holds_what_the_ticket_says(vendor: FakeDynamics, build: Build) -> None:
    ticket = await build().create_ticket(TICKET)
    assert vendor.tickets == [
        {
            "key": ticket.id,
            "title": "Call back, please",
            "description": "The caller waits.\n\ncall-1",
            "caseorigincode": 1,
            "customerid_contact": ADA.id,
        }
    ]
    page = f"{vendor.url}/main.aspx?etn=incident&pagetype=entityrecord"
    assert ticket.url == f"{page}&id=%7B{ticket.id}%7D"


@pytest.mark.parametrize("status", [201, 204])
async def test_a_case_is_open_also_if_dataverse_shows_it(
    vendor: FakeDynamics, build: Build, status: int
) -> None:
    vendor.fault = reply({}, status=status)
    assert (await build().create_ticket(TICKET)).id


async def test_texts_that_are_too_long_for_a_case_are_cut_but_its_reference_stays(
    vendor: FakeDynamics, build: Build
) -> None:
    await build().create_ticket(replace(TICKET, subject="a" * 300, text="b" * 3000))
    (case,) = vendor.tickets
    assert len(case["title"]) == 200
    assert len(case["description"]) == 2000
    assert case["description"].endswith("b\n\ncall-1")


async def test_a_case_of_nobody_known_is_of_the_customer_that_was_set_for_it(
    vendor: FakeDynamics, build: Build
) -> None:
    await build().create_ticket(replace(TICKET, customer_id=None))
    assert vendor.tickets[0]["customerid_contact"] == CAROL.id
    with pytest.raises(PermanentError, match="unknown_customer"):
        await build(unknown_customer=None).create_ticket(replace(TICKET, customer_id=None))


async def test_a_case_and_a_note_of_an_account_are_of_that_account(
    vendor: FakeDynamics, build: Build
) -> None:
    vendor.accounts = [vendor.account("a-1")]
    adapter = build()
    await adapter.create_ticket(replace(TICKET, customer_id="account-a-1"))
    await adapter.record_outcome(replace(NOTE, customer_id="account-a-1"))
    assert vendor.tickets[0]["customerid_account"] == "a-1"
    assert vendor.notes[0]["objectid_account"] == "a-1"


async def test_a_case_of_a_customer_who_was_deleted_says_so(build: Build) -> None:
    with pytest.raises(PermanentError, match="the customer is not in Dataverse any more"):
        await build().create_ticket(replace(TICKET, customer_id="gone"))


async def test_a_customer_id_that_could_lead_elsewhere_is_not_sent(
    vendor: FakeDynamics, build: Build
) -> None:
    adapter = build()
    for odd in ("c-1)/x", "c-1' or '1", "../c-2", ""):
        with pytest.raises(PermanentError):
            await adapter.record_outcome(replace(NOTE, customer_id=odd))
    assert vendor.asked == []


async def test_a_note_tells_when_the_call_was_and_how_it_ended(
    vendor: FakeDynamics, build: Build
) -> None:
    await build().record_outcome(NOTE)
    (asked,) = vendor.asked
    assert orjson.loads(asked.body) == {
        "subject": "Call of 2026-09-21 14:13 UTC: premium",
        "notetext": "Called; went to an agent.",
        "objectid_contact@odata.bind": f"/contacts({ADA.id})",
    }
    assert asked.headers["If-None-Match"] == "*"
    assert SECRET not in str(asked.headers)


async def test_two_replicas_write_one_note(vendor: FakeDynamics, build: Build) -> None:
    await build().record_outcome(NOTE)
    await build().record_outcome(NOTE)
    assert len(vendor.notes) == 1


async def test_nobody_is_guessed_from_a_page_of_numbers_of_another_country(
    vendor: FakeDynamics, build: Build
) -> None:
    british = [replace(ADA, id=str(i), phones=("030 23125001",)) for i in range(10)]
    vendor.records = [vendor.record(person) for person in (*british, ADA)]
    with pytest.raises(PermanentError, match="more records match"):
        await build(region="GB").find_by_phone(ADA.phone)

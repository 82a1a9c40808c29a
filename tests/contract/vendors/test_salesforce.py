"""The Salesforce adapter keeps the kit's promises, and those that only Salesforce asks for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import ValidationError

from broker.plugins import build, options_type
from broker.sdk import CallNote, ConfigError, PermanentError, Phone, TemporaryError, Ticket
from broker.testing.crm_kit import by_phone, by_reference, ids
from broker.testing.http_crm_kit import HttpCrmAdapterKit, NoteKit, TicketKit
from broker.testing.people import ADA, BOB, CAROL, Person
from broker.testing.scripted_server import Answer, Asked, reply
from crm_adapters.salesforce import SalesforceAdapter
from tests.vendors.salesforce import CLIENT, USER, FakeSalesforce

if TYPE_CHECKING:
    import aiohttp

    from broker.sdk import CrmAdapter

CALLED = 1_790_000_000.0


class TestSalesforce(TicketKit, NoteKit, HttpCrmAdapterKit):
    adapter_type = SalesforceAdapter
    vendor_type = FakeSalesforce

    async def test_a_number_is_one_search_for_all_its_spellings(
        self, vendor: FakeSalesforce, adapter: CrmAdapter
    ) -> None:
        await by_phone(adapter, ADA.phone)
        (statement,) = _statements(vendor.asked)
        assert statement == (
            'v62.0/search/?q=FIND {"\\+493023125001" OR "493023125001" OR "00493023125001" OR '
            '"\\+49 30 23125001" OR "030 23125001" OR "03023125001" OR "3023125001" OR '
            '"\\+49030 23125001"} IN PHONE FIELDS RETURNING Contact(Id, Email, Last_Order__c, '
            "Name, Language__c, Phone, MobilePhone, HomePhone, OtherPhone, Customer_No__c, "
            "Tier__c) LIMIT 50"
        )

    async def test_a_reference_is_one_query(
        self, vendor: FakeSalesforce, adapter: CrmAdapter
    ) -> None:
        await by_reference(adapter, ADA.typed)
        (statement,) = _statements(vendor.asked)
        assert statement == (
            "v62.0/query/?q=SELECT Id, Email, Last_Order__c, Name, Language__c, Phone, "
            "MobilePhone, HomePhone, OtherPhone, Customer_No__c, Tier__c FROM Contact "
            "WHERE Customer_No__c = '1000001' LIMIT 2"
        )

    async def test_neither_number_nor_reference_stands_in_a_url(
        self, vendor: FakeSalesforce, adapter: CrmAdapter
    ) -> None:
        await by_phone(adapter, ADA.phone)
        await by_reference(adapter, ADA.typed)
        assert {asked.line for asked in vendor.asked} == {
            "POST /services/data/v62.0/composite/batch"
        }
        assert not any(asked.query for asked in vendor.asked)

    async def test_a_session_that_ended_is_opened_again_during_the_lookup(
        self, vendor: FakeSalesforce, adapter: CrmAdapter
    ) -> None:
        await by_phone(adapter, ADA.phone)
        vendor.revoke()
        assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id}

    async def test_it_may_sign_an_assertion_instead_of_sending_a_secret(
        self, vendor: FakeSalesforce, http: aiohttp.ClientSession
    ) -> None:
        private, vendor.public_key = _key_pair()
        auth = {
            "kind": "jwt_bearer",
            "issuer": CLIENT,
            "subject": USER,
            "audience": vendor.url,
            "private_key": private,
        }
        adapter = _adapter(vendor, http, auth=auth)
        assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id}

    async def test_whose_fax_it_is_or_whose_assistant_has_it_is_not_the_caller(
        self, vendor: FakeSalesforce, adapter: CrmAdapter
    ) -> None:
        number = ADA.phones[0]
        vendor.records = [
            vendor.record(BOB) | {"Fax": number},
            vendor.record(CAROL) | {"Phone": None, "AssistantPhone": number},
        ]
        assert await by_phone(adapter, ADA.phone) == ()

    async def test_nobody_guesses_when_more_look_alike_than_are_read(
        self, vendor: FakeSalesforce, adapter: CrmAdapter
    ) -> None:
        number = ADA.phones[0]
        colleagues = [
            vendor.record(Person(f"9{i:02}", ("+49 30 23125800",), "")) for i in range(50)
        ]
        for colleague in colleagues:
            colleague["Fax"] = number
        ada = vendor.record(ADA)
        for vendor.records in ([*colleagues, ada], [ada, *colleagues]):
            with pytest.raises(PermanentError, match="more records match"):
                await adapter.find_by_phone(ADA.phone)

    async def test_a_batch_without_answers_is_an_error_and_not_nobody(
        self, vendor: FakeSalesforce, adapter: CrmAdapter
    ) -> None:
        vendor.fault = reply({"hasErrors": False, "results": []})
        for lookup in (adapter.find_by_phone(ADA.phone), adapter.find_by_reference(ADA.typed)):
            with pytest.raises(PermanentError):
                await lookup

    async def test_a_spelling_of_the_house_is_found_by_its_pattern(
        self, vendor: FakeSalesforce, adapter: CrmAdapter, http: aiohttp.ClientSession
    ) -> None:
        phone = Phone.from_e164("+493023125001")
        vendor.records = [vendor.record(replace(ADA, phones=("(302) 312-5001",)))]
        assert await by_phone(adapter, phone) == ()
        patterned = _adapter(vendor, http, spellings=["(***) ***-****"])
        assert ids(await by_phone(patterned, phone)) == {ADA.id}

    async def test_a_record_opens_in_lightning(
        self, vendor: FakeSalesforce, adapter: CrmAdapter
    ) -> None:
        (ada,) = await by_phone(adapter, ADA.phone)
        assert ada.record_url == f"{vendor.url}/lightning/r/Contact/{ADA.id}/view"

    async def test_companies_and_leads_are_found_by_the_same_search(
        self, vendor: FakeSalesforce, http: aiohttp.ClientSession
    ) -> None:
        company = {"Id": "001A", "Name": "Löwe & Söhne", "Phone": "030 23125700"}
        lead = {"Id": "00QA", "Name": "Lea", "Phone": "+49 30 23125701", "IsConverted": False}
        vendor.records += [_of("Account", company), _of("Lead", lead)]
        adapter = _adapter(
            vendor,
            http,
            objects=["Contact", "Account", "Lead"],
            names={"Account": {"Language__c": ""}},
        )
        (found,) = await by_phone(adapter, Phone.from_e164("+493023125700"))
        assert (found.id, found.name) == ("001A", "Löwe & Söhne")
        assert found.record_url == f"{vendor.url}/lightning/r/Account/001A/view"
        assert ids(await by_phone(adapter, Phone.from_e164("+493023125701"))) == {"00QA"}
        assert len(vendor.asked) == 2

    async def test_a_reference_is_looked_for_in_every_object_by_one_request(
        self, vendor: FakeSalesforce, http: aiohttp.ClientSession
    ) -> None:
        lead = {"Id": "00QA", "Customer_No__c": "ab7", "IsConverted": False}
        vendor.records.append(_of("Lead", lead))
        adapter = _adapter(vendor, http, objects=["Contact", "Lead"])
        typed = replace(ADA, reference="AB7").typed
        assert ids(await by_reference(adapter, typed)) == {"00QA"}
        assert ids(await by_reference(adapter, ADA.typed)) == {ADA.id}
        assert len(vendor.asked) == 2

    async def test_a_lead_that_became_a_contact_is_no_second_customer(
        self, vendor: FakeSalesforce, http: aiohttp.ClientSession
    ) -> None:
        lead = {"Id": "00QA", "Phone": ADA.phones[0], "IsConverted": True}
        vendor.records.append(_of("Lead", lead | {"Customer_No__c": ADA.reference}))
        adapter = _adapter(vendor, http, objects=["Contact", "Lead"])
        assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id}
        assert ids(await by_reference(adapter, ADA.typed)) == {ADA.id}

    async def test_a_person_account_is_one_customer_although_it_is_two_records(
        self, vendor: FakeSalesforce, http: aiohttp.ClientSession
    ) -> None:
        vendor.records, vendor.has_person_accounts = _person_account(), True
        adapter = _adapter(vendor, http, objects=["Contact", "Account"], person_accounts=True)
        (by_number,) = await by_phone(adapter, ADA.phone)
        assert (by_number.id, by_number.email, by_number.premium) == ("001P", ADA.email, True)
        assert await by_reference(adapter, ADA.typed) == (by_number,)

    async def test_a_tier_may_stand_on_the_company(
        self, vendor: FakeSalesforce, http: aiohttp.ClientSession
    ) -> None:
        company = {"Id": "001A", "Name": "Löwe", "Phone": "+493023125700", "Tier__c": "Gold"}
        contact = vendor.record(BOB) | {"Account": {"Tier__c": "Gold"}}
        vendor.records = [contact, _of("Account", company)]
        premium = {"field": "Account.Tier__c", "premium": ["gold"]}
        names = {"Account": {"Language__c": ""}}
        objects = ["Contact", "Account"]
        adapter = _adapter(vendor, http, premium=premium, objects=objects, names=names)
        for phone in (BOB.phone, Phone.from_e164("+493023125700")):
            (found,) = await by_phone(adapter, phone)
            assert found.premium is True

    @pytest.mark.parametrize(
        "premium", [{"tags": ["vip"]}, {"expression": 'Account.Tier__c == "gold"'}]
    )
    async def test_a_picklist_or_an_expression_may_decide_who_is_premium(
        self, vendor: FakeSalesforce, http: aiohttp.ClientSession, premium: dict[str, Any]
    ) -> None:
        account = {"Tier__c": "Gold"}
        vendor.records = [vendor.record(BOB) | {"Segments__c": "Press;VIP", "Account": account}]
        adapter = _adapter(vendor, http, fields={"tags": "Segments__c"}, premium=premium)
        (found,) = await by_phone(adapter, BOB.phone)
        assert (found.premium, found.tags) == (True, ("Press", "VIP"))

    async def test_the_operator_says_which_records_count(
        self, vendor: FakeSalesforce, http: aiohttp.ClientSession
    ) -> None:
        where = {"Contact": "Tier__c = 'Gold' OR Tier__c = 'Platinum'"}
        adapter = _adapter(vendor, http, where=where)
        assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id}
        assert await by_phone(adapter, BOB.phone) == ()
        assert await by_reference(adapter, BOB.typed) == ()

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"fields": {"reference": "Nope__c"}}, "INVALID_FIELD"),
            ({"premium": {"field": "Account.Nope__c"}}, "INVALID_FIELD"),
            ({"ticket_reference": "Nope__c"}, "INVALID_FIELD"),
            ({"where": {"Contact": "Tier__c LIKE 'G%'"}}, "MALFORMED_SEARCH"),
        ],
    )
    async def test_ping_finds_what_lookups_would_stumble_over(
        self,
        vendor: FakeSalesforce,
        http: aiohttp.ClientSession,
        options: dict[str, Any],
        told: str,
    ) -> None:
        with pytest.raises(PermanentError) as caught:
            await _adapter(vendor, http, **options).ping()
        advice = {"INVALID_FIELD": "field-level security", "MALFORMED_SEARCH": "check `where`"}
        assert advice[told] in str(caught.value)

    @pytest.mark.parametrize(
        ("status", "code", "told"),
        [
            (403, "API_DISABLED_FOR_ORG", "the API is switched off"),
            (400, "INVALID_TYPE", "one of the `objects`"),
            (403, "INSUFFICIENT_ACCESS", "a right is missing"),
            (404, "NOT_FOUND", "check base_url"),
            (401, "INVALID_SESSION_ID", "check `auth`"),
        ],
    )
    async def test_ping_says_what_an_error_code_means(
        self, vendor: FakeSalesforce, adapter: CrmAdapter, status: int, code: str, told: str
    ) -> None:
        vendor.fault = reply(_error(code), status)
        with pytest.raises(PermanentError, match=told):
            await adapter.ping()

    async def test_wrong_credentials_are_told_from_a_missing_right(
        self, vendor: FakeSalesforce, http: aiohttp.ClientSession
    ) -> None:
        auth = {"kind": "client_credentials", "client_id": CLIENT, "client_secret": "another"}
        with pytest.raises(PermanentError, match=r"refused \(invalid_client\)"):
            await _adapter(vendor, http, auth=auth).ping()

    @pytest.mark.parametrize("fault", ["outside", "inside"])
    @pytest.mark.parametrize(
        ("status", "code"),
        [
            (403, "REQUEST_LIMIT_EXCEEDED"),
            (400, "QUERY_TIMEOUT"),
            (503, "SERVER_UNAVAILABLE"),
            (500, "UNKNOWN_EXCEPTION"),
        ],
    )
    async def test_what_passes_by_itself_is_temporary_whatever_its_status(
        self, vendor: FakeSalesforce, adapter: CrmAdapter, fault: str, status: int, code: str
    ) -> None:
        vendor.fault = _refusal(status, code) if fault == "outside" else _in_batch(status, code)
        with pytest.raises(TemporaryError):
            await adapter.find_by_phone(ADA.phone)
        with pytest.raises(TemporaryError):
            await adapter.find_by_reference(ADA.typed)

    @pytest.mark.parametrize(
        "options",
        [
            {"base_url": "https://shop.lightning.force.com"},
            {"base_url": "https://login.salesforce.com"},
            {"fields": {"reference": "Id FROM User"}},
            {"ticket_reference": "Ref' OR Id != '"},
            {"names": {"Lead": {"Phone": "Phone, Fax"}}},
        ],
    )
    async def test_what_cannot_be_an_address_or_a_name_stops_the_start(
        self, vendor: FakeSalesforce, http: aiohttp.ClientSession, options: dict[str, Any]
    ) -> None:
        with pytest.raises(ValidationError, match=r"My Domain|API names"):
            _adapter(vendor, http, **options)

    async def test_a_ticket_is_a_case_of_its_customer(
        self, vendor: FakeSalesforce, adapter: CrmAdapter
    ) -> None:
        vendor.records += [_of("Account", {"Id": "001A"}), _of("Lead", {"Id": "00QA"})]
        for customer in (ADA.id, "001A", "00QA"):
            wanted = Ticket(f"call-{customer}", "S" * 300, "Text", customer)
            made = await adapter.create_ticket(wanted)
            assert made.url == f"{vendor.url}/lightning/r/Case/{made.id}/view"
        common = {"Origin": "Phone", "Subject": "S" * 255, "Description": "Text"}
        assert [case | {"Id": "500"} for case in vendor.tickets] == [
            common | {"Id": "500", "Call_Ref__c": f"call-{ADA.id}", "ContactId": ADA.id},
            common | {"Id": "500", "Call_Ref__c": "call-001A", "AccountId": "001A"},
            common | {"Id": "500", "Call_Ref__c": "call-00QA"},
        ]

    async def test_a_ticket_opened_by_two_replicas_at_once_is_one(
        self, vendor: FakeSalesforce, adapter: CrmAdapter
    ) -> None:
        wanted = Ticket("call-1", "Call back", "Text")
        made = await asyncio.gather(*(adapter.create_ticket(wanted) for _ in range(5)))
        assert len(set(made)) == len(vendor.tickets) == 1
        assert len([asked for asked in vendor.asked if asked.path.endswith("/Case")]) > 1

    async def test_a_ticket_that_is_there_is_only_looked_for(
        self, vendor: FakeSalesforce, adapter: CrmAdapter
    ) -> None:
        wanted = Ticket("call-1", "Call back", "Text")
        await adapter.create_ticket(wanted)
        vendor.asked.clear()
        await adapter.create_ticket(wanted)
        (statement,) = _statements(vendor.asked)
        assert statement.endswith("SELECT Id FROM Case WHERE Call_Ref__c = 'call-1' LIMIT 1")

    async def test_tickets_need_a_field_to_be_found_by(
        self, vendor: FakeSalesforce, http: aiohttp.ClientSession
    ) -> None:
        adapter = _adapter(vendor, http, ticket_reference=None)
        with pytest.raises(ConfigError, match="ticket_reference"):
            await adapter.create_ticket(Ticket("call-1", "Call back", "Text"))

    async def test_a_note_is_a_completed_call_on_the_record(
        self, vendor: FakeSalesforce, adapter: CrmAdapter
    ) -> None:
        note = CallNote("call-1", ADA.id, "premium", CALLED, "Called; went to an agent.")
        vendor.records.append(_of("Account", {"Id": "001A"}))
        await adapter.record_outcome(note)
        await adapter.record_outcome(replace(note, customer_id="001A"))
        contact, account = vendor.notes
        assert contact == {
            "Id": contact["Id"],
            "WhoId": ADA.id,
            "Subject": "Call",
            "Description": "Called; went to an agent.",
            "Status": "Completed",
            "TaskSubtype": "Call",
            "CallType": "Inbound",
            "CallObject": "call-1",
            "CallDisposition": "premium",
            "ActivityDate": "2026-09-21",
        }
        assert account["WhatId"] == "001A"


def _adapter(vendor: FakeSalesforce, http: aiohttp.ClientSession, **changes: Any) -> CrmAdapter:
    """With other options than usual; `fields` adds to the usual ones."""
    usual = dict(vendor.options())
    changes["fields"] = usual["fields"] | changes.get("fields", {})
    options = options_type(SalesforceAdapter).model_validate(usual | changes)
    return build(SalesforceAdapter, options, http)


def _of(kind: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"attributes": {"type": kind}, "IsPersonAccount": False, **fields}


def _person_account() -> list[dict[str, Any]]:
    """Ada as two records: an account, and the contact that belongs to it."""
    account = {
        "Id": "001P",
        "IsPersonAccount": True,
        "Name": ADA.name,
        "PersonEmail": ADA.email,
        "PersonMobilePhone": ADA.phones[0],
        "Customer_No__pc": ADA.reference,
        "Tier__pc": "Gold",
    }
    contact = {
        "Id": "003P",
        "IsPersonAccount": True,
        "Email": ADA.email,
        "MobilePhone": ADA.phones[0],
        "Customer_No__c": ADA.reference,
        "Tier__c": "Gold",
    }
    return [_of("Account", account), _of("Contact", contact)]


def _statements(asked: list[Asked]) -> list[str]:
    """What the batches hold, readable."""
    requests = [one for each in asked for one in orjson.loads(each.body)["batchRequests"]]
    return [unquote(request["url"]) for request in requests]


def _error(code: str) -> list[dict[str, str]]:
    return [{"message": "as Salesforce says", "errorCode": code}]


def _refusal(status: int, code: str) -> Answer:
    return reply(_error(code), status)


def _in_batch(status: int, code: str) -> Answer:
    return reply({"hasErrors": True, "results": [{"statusCode": status, "result": _error(code)}]})


def _key_pair() -> tuple[str, str]:
    """PEM, private and public."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()

"""The Zendesk adapter keeps the kit's promises, and those that only Zendesk asks for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from pydantic import ValidationError

from broker.plugins import build, options_type
from broker.sdk import ConfigError, PermanentError, Phone, Reference, TemporaryError, Ticket
from broker.testing.crm_kit import by_phone, by_reference, ids
from broker.testing.http_crm_kit import HttpCrmAdapterKit, TicketKit
from broker.testing.people import ADA, BOB, FAY, GUS, STRANGER
from broker.testing.scripted_server import reply
from broker.testing.vendor import crowd
from crm_adapters.zendesk import ZendeskAdapter
from tests.vendors.zendesk import AUTH, ME, FakeZendesk

if TYPE_CHECKING:
    import aiohttp

    from broker.sdk import CrmAdapter

BY_TAGS = {"premium": {"tags": ["vip"]}}
WANTED = Ticket("call-1", "Call back", "Text")


class TestZendesk(TicketKit, HttpCrmAdapterKit):
    adapter_type = ZendeskAdapter
    vendor_type = FakeZendesk

    async def test_a_number_is_one_search_by_the_digits_it_ends_in(
        self, vendor: FakeZendesk, adapter: CrmAdapter
    ) -> None:
        await by_phone(adapter, ADA.phone)
        (asked,) = vendor.asked
        assert asked.line == "GET /api/v2/users/search"
        query = "role:end-user phone:*3023125001"
        assert asked.query == {"query": query, "include": "identities", "per_page": "50"}

    async def test_an_external_id_needs_no_search_syntax(
        self, vendor: FakeZendesk, adapter: CrmAdapter
    ) -> None:
        await by_reference(adapter, ADA.typed)
        (asked,) = vendor.asked
        assert asked.query == {
            "external_id": "1000001",
            "include": "identities",
            "per_page": "50",
        }

    async def test_the_token_comes_by_json_with_the_scope_of_lookups_alone(
        self, vendor: FakeZendesk, http: aiohttp.ClientSession
    ) -> None:
        adapter = _adapter(vendor, http, auth=AUTH)
        assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id}
        assert vendor.scope == "read"

    async def test_a_number_that_is_written_in_two_ways_is_looked_for_in_both(
        self, vendor: FakeZendesk, http: aiohttp.ClientSession
    ) -> None:
        vendor.records = [vendor.record(replace(ADA, phones=("011 15-2345-6789",)))]
        adapter = _adapter(vendor, http, region="AR")
        phone = Phone.from_e164("+5491123456789")
        assert ids(await by_phone(adapter, phone)) == {ADA.id}
        assert [asked.query["query"] for asked in vendor.asked] == [
            "role:end-user phone:*0111523456789",
            "role:end-user phone:*91123456789",
        ]

    async def test_a_field_of_ones_own_may_hold_the_number(
        self, vendor: FakeZendesk, http: aiohttp.ClientSession
    ) -> None:
        ada = vendor.record(ADA) | {"phone": None}
        ada["user_fields"]["mobile"] = "+493023125001"
        vendor.records = [ada]
        adapter = _adapter(vendor, http, fields={"phones": ["phone", "user_fields.mobile"]})
        assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id}
        assert [asked.query for asked in vendor.asked] == [
            {"query": "role:end-user phone:*3023125001", "per_page": "50"},
            {"query": "role:end-user mobile:*3023125001", "per_page": "50"},
        ]

    async def test_who_is_found_without_a_number_to_check_is_not_believed(
        self, vendor: FakeZendesk, http: aiohttp.ClientSession
    ) -> None:
        vendor.records = [vendor.record(BOB) | {"phone": None}]
        adapter = _adapter(vendor, http, fields={"phones": ["phone"]})
        assert await by_phone(adapter, BOB.all_phones[1]) == ()

    async def test_nobody_guesses_when_more_end_alike_than_are_read(
        self, vendor: FakeZendesk, adapter: CrmAdapter
    ) -> None:
        abroad = [vendor.record(person) for person in crowd(FAY, 50)]
        vendor.records = [*abroad, vendor.record(ADA)]
        with pytest.raises(PermanentError, match="more records match"):
            await adapter.find_by_phone(ADA.phone)

    @pytest.mark.parametrize("change", [{"role": "agent"}, {"active": False}])
    async def test_agents_and_deleted_users_are_no_customers(
        self, vendor: FakeZendesk, adapter: CrmAdapter, change: dict[str, Any]
    ) -> None:
        vendor.records = [vendor.record(ADA) | change]
        assert await by_phone(adapter, ADA.phone) == ()
        assert await by_reference(adapter, ADA.typed) == ()

    async def test_a_reference_may_stand_in_a_field_of_ones_own(
        self, vendor: FakeZendesk, http: aiohttp.ClientSession
    ) -> None:
        gus = vendor.record(GUS)
        gus["user_fields"]["customer_no"] = "ab10007"
        vendor.records = [gus, vendor.record(ADA)]
        adapter = _adapter(vendor, http, fields={"reference": "user_fields.customer_no"})
        assert ids(await by_reference(adapter, GUS.typed)) == {GUS.id}
        assert vendor.asked[0].query["query"] == 'role:end-user customer_no:"AB10007"'

    async def test_what_could_leave_the_quotes_is_not_asked_for(
        self, vendor: FakeZendesk, http: aiohttp.ClientSession
    ) -> None:
        adapter = _adapter(vendor, http, fields={"reference": "user_fields.customer_no"})
        assert await by_reference(adapter, Reference("1 role:agent")) == ()
        (asked,) = vendor.asked
        assert asked.query["query"] == 'role:end-user customer_no:"1 role:agent"'

    @pytest.mark.parametrize(
        ("own", "shared", "premium"),
        [
            (["vip"], None, True),
            (["press"], None, False),
            ([], ["VIP", "partner"], True),
            (["press"], ["partner"], False),
        ],
    )
    async def test_tags_of_the_user_or_of_his_organization_decide(
        self,
        vendor: FakeZendesk,
        http: aiohttp.ClientSession,
        own: list[str],
        shared: list[str] | None,
        premium: bool,
    ) -> None:
        ada = vendor.record(ADA) | {"tags": own}
        if shared is not None:
            ada["organization_id"] = 7
            vendor.organizations = [{"id": 7, "name": "Löwe & Söhne", "tags": shared}]
        vendor.records = [ada]
        adapter = _adapter(vendor, http, **BY_TAGS)
        (found,) = await by_phone(adapter, ADA.phone)
        assert found.premium is premium
        assert await by_reference(adapter, ADA.typed) == (found,)
        assert vendor.asked[0].query["include"] == "identities,organizations"

    async def test_nobody_is_standard_because_his_organization_did_not_come_along(
        self, vendor: FakeZendesk, http: aiohttp.ClientSession
    ) -> None:
        vendor.records = [vendor.record(ADA) | {"organization_id": 7}]
        with pytest.raises(PermanentError, match="without his organization"):
            await _adapter(vendor, http, **BY_TAGS).find_by_phone(ADA.phone)

    async def test_a_plan_of_the_organization_may_decide(
        self, vendor: FakeZendesk, http: aiohttp.ClientSession
    ) -> None:
        vendor.records = [vendor.record(ADA) | {"organization_id": 7}, vendor.record(BOB)]
        vendor.organizations = [{"id": 7, "organization_fields": {"plan": "Platinum"}}]
        premium = {"expression": 'organization.organization_fields.plan == "platinum"'}
        adapter = _adapter(vendor, http, premium=premium)
        (ada,) = await by_phone(adapter, ADA.phone)
        (bob,) = await by_phone(adapter, BOB.phone)
        assert (ada.premium, bob.premium) == (True, None)

    async def test_of_the_identities_only_numbers_are_read(self, adapter: CrmAdapter) -> None:
        (bob,) = await by_phone(adapter, BOB.phone)
        assert bob.phones == BOB.phones

    async def test_a_record_opens_for_the_agent(
        self, vendor: FakeZendesk, adapter: CrmAdapter
    ) -> None:
        (ada,) = await by_phone(adapter, ADA.phone)
        assert ada.record_url == f"{vendor.url}/agent/users/{ADA.id}"

    async def test_no_user_is_created_whoever_calls(
        self, vendor: FakeZendesk, adapter: CrmAdapter
    ) -> None:
        assert await by_phone(adapter, STRANGER) == ()
        await adapter.create_ticket(WANTED)
        assert {asked.line for asked in vendor.asked if asked.method != "GET"} == {
            "POST /api/v2/tickets"
        }
        (ticket,) = vendor.tickets
        assert ticket["requester_id"] == ME["id"]
        assert "requester" not in ticket

    async def test_a_ticket_is_the_customers_and_as_the_operator_wants_it(
        self, vendor: FakeZendesk, http: aiohttp.ClientSession
    ) -> None:
        adapter = _adapter(vendor, http, ticket={"priority": "high", "tags": ["ivr"]})
        made = await adapter.create_ticket(replace(WANTED, customer_id=ADA.id))
        assert made.url == f"{vendor.url}/agent/tickets/{made.id}"
        assert orjson.loads(vendor.asked[-1].body) == {
            "ticket": {
                "priority": "high",
                "tags": ["ivr"],
                "requester_id": int(ADA.id),
                "external_id": "call-1",
                "subject": "Call back",
                "comment": {"body": "Text", "public": False},
            }
        }
        assert vendor.asked[-1].headers["Idempotency-Key"] == "call-1"

    async def test_a_ticket_opened_by_two_replicas_at_once_is_one(
        self, vendor: FakeZendesk, adapter: CrmAdapter
    ) -> None:
        asking = [replace(WANTED, text=f"Text {i % 2}") for i in range(6)]
        made = await asyncio.gather(*(adapter.create_ticket(ticket) for ticket in asking))
        assert len(set(made)) == len(vendor.tickets) == 1
        assert len([asked for asked in vendor.asked if asked.method == "POST"]) > 1

    async def test_a_ticket_that_is_there_is_only_looked_for(
        self, vendor: FakeZendesk, adapter: CrmAdapter
    ) -> None:
        await adapter.create_ticket(WANTED)
        vendor.asked.clear()
        vendor.keys.clear()
        await adapter.create_ticket(WANTED)
        assert [asked.line for asked in vendor.asked] == ["GET /api/v2/tickets"]

    async def test_a_ticket_that_is_just_being_opened_is_tried_again_later(
        self, vendor: FakeZendesk, adapter: CrmAdapter
    ) -> None:
        await by_phone(adapter, ADA.phone)
        listed, conflict = reply({"tickets": []}), reply({"error": "conflict"}, 409)

        async def busy(request: Any) -> Any:
            return await (listed if request.method == "GET" else conflict)(request)

        vendor.fault = busy
        with pytest.raises(TemporaryError):
            await adapter.create_ticket(WANTED)

    async def test_tickets_of_others_are_no_answer_if_the_filter_is_ignored(
        self, vendor: FakeZendesk, adapter: CrmAdapter
    ) -> None:
        await by_phone(adapter, ADA.phone)
        others = reply({"tickets": [{"id": 1, "external_id": "call-7"}]})
        opened = reply({"ticket": {"id": 2}}, 201)

        async def deaf(request: Any) -> Any:
            return await (others if request.method == "GET" else opened)(request)

        vendor.fault = deaf
        assert (await adapter.create_ticket(WANTED)).id == "2"

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"fields": {"track_id": "user_fields.nope"}}, "no field called user_fields.nope"),
            ({"fields": {"extra": {"x": "nope"}}}, "no field called nope"),
            (
                {"premium": {"field": "organization.organization_fields.nope"}},
                "no field called organization.organization_fields.nope",
            ),
        ],
    )
    async def test_ping_finds_names_that_a_search_would_not_mind(
        self,
        vendor: FakeZendesk,
        http: aiohttp.ClientSession,
        options: dict[str, Any],
        told: str,
    ) -> None:
        with pytest.raises(ConfigError, match=told):
            await _adapter(vendor, http, **options).ping()

    async def test_ping_does_not_blame_what_may_stand_on_another_page(
        self, vendor: FakeZendesk, http: aiohttp.ClientSession
    ) -> None:
        vendor.has_more_fields = True
        await _adapter(vendor, http, fields={"track_id": "user_fields.nope"}).ping()

    async def test_ping_says_when_tags_shall_decide_that_are_not_in_use(
        self, vendor: FakeZendesk, http: aiohttp.ClientSession
    ) -> None:
        vendor.me = {name: value for name, value in ME.items() if name != "tags"}
        await _adapter(vendor, http).ping()
        with pytest.raises(ConfigError, match="no field called tags"):
            await _adapter(vendor, http, **BY_TAGS).ping()

    async def test_ping_wants_an_agent(self, vendor: FakeZendesk, adapter: CrmAdapter) -> None:
        vendor.me = {"id": None, "role": "end-user", "name": "Anonymous user", "email": "x"}
        with pytest.raises(PermanentError, match="needed: an agent"):
            await adapter.ping()

    async def test_ping_tells_wrong_credentials_from_a_missing_scope(
        self, vendor: FakeZendesk, http: aiohttp.ClientSession
    ) -> None:
        wrong = AUTH | {"client_secret": "another"}
        with pytest.raises(PermanentError, match="credentials were refused"):
            await _adapter(vendor, http, auth=wrong).ping()
        with pytest.raises(PermanentError, match="needed: an agent, with the scope `read`"):
            await _adapter(vendor, http, auth=AUTH | {"scope": "hc:write"}).ping()
        reading = _adapter(vendor, http, auth=AUTH)
        with pytest.raises(PermanentError, match="tickets:write"):
            await reading.create_ticket(WANTED)

    async def test_ping_says_that_the_address_is_wrong(
        self, vendor: FakeZendesk, adapter: CrmAdapter
    ) -> None:
        vendor.fault = reply({"error": {"title": "No help desk at shoop.zendesk.com"}}, 404)
        with pytest.raises(PermanentError, match="check base_url"):
            await adapter.ping()

    @pytest.mark.parametrize(
        "options",
        [
            {"fields": {"phones": ["name"]}},
            {"fields": {"reference": "notes"}},
            {"fields": {"track_id": "organization.nope"}},
            {"fields": {"id": "external_id"}},
            {"ticket": {"requester": {"name": "Caller"}}},
        ],
    )
    async def test_what_zendesk_cannot_do_stops_the_start(
        self, vendor: FakeZendesk, http: aiohttp.ClientSession, options: dict[str, Any]
    ) -> None:
        with pytest.raises(ValidationError):
            _adapter(vendor, http, **options)

    async def test_a_ticket_for_another_crms_id_is_refused(self, adapter: CrmAdapter) -> None:
        with pytest.raises(PermanentError, match="none of Zendesk's"):
            await adapter.create_ticket(replace(WANTED, customer_id="003A"))


def _adapter(vendor: FakeZendesk, http: aiohttp.ClientSession, **changes: Any) -> CrmAdapter:
    """With other options than usual; `fields` adds to the usual ones."""
    usual = dict(vendor.options())
    changes["fields"] = usual["fields"] | changes.get("fields", {})
    options = options_type(ZendeskAdapter).model_validate(usual | changes)
    return build(ZendeskAdapter, options, http)

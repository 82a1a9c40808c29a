"""The Odoo adapter keeps the kit's promises, and knows what is particular to Odoo."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from pydantic import ValidationError

from broker.domain.errors import PermanentError
from broker.http_client import open_session
from broker.ports import CallNote, CrmAdapter, Ticket
from broker.testing.crm_kit import by_phone, by_reference, ids
from broker.testing.http_crm_kit import HttpCrmAdapterKit, NoteKit, TicketKit
from broker.testing.loopback import LOOPBACK
from broker.testing.people import ADA, BOB, CAROL, EVE, FAY, GUS, SPELLED, Person
from broker.testing.scripted_server import raw
from crm_adapters.odoo import OdooAdapter, OdooOptions
from tests.vendors.odoo import FakeOdoo

if TYPE_CHECKING:
    from collections.abc import Sequence

    import aiohttp

    from broker.testing.vendor import FakeVendor

COMPANY = 900
DELIVERY = 901


def options(vendor: FakeVendor, **changes: Any) -> OdooOptions:
    """The vendor's options with some changed, `fields` key by key."""
    changed = {**vendor.options(), **changes}
    changed["fields"] = {**vendor.options()["fields"], **changes.get("fields", {})}
    return OdooOptions.model_validate(changed)


def built(vendor: FakeVendor, http: aiohttp.ClientSession, **changes: Any) -> OdooAdapter:
    return OdooAdapter(options(vendor, **changes), http)


def record_of(vendor: FakeVendor, person: Person) -> dict[str, Any]:
    (record,) = [one for one in vendor.records if one["id"] == int(person.id)]
    return record


class TestOdoo(TicketKit, NoteKit, HttpCrmAdapterKit):
    adapter_type = OdooAdapter
    vendor_type = FakeOdoo

    async def test_one_search_asks_for_the_number_as_odoo_made_it_and_as_it_was_typed(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> None:
        known = ("base_url", "database", "auth")
        plain = {key: value for key, value in vendor.options().items() if key in known}
        adapter = OdooAdapter(OdooOptions.model_validate(plain), http)
        assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id}
        (asked,) = vendor.asked
        assert asked.line == "POST /json/2/res.partner/search_read"
        assert asked.headers["X-Odoo-Database"] == "shop"
        spelled = ["phone", "in", list(ADA.phone.spellings)]
        assert orjson.loads(asked.body) == {
            "domain": ["|", ["phone_sanitized", "=", ADA.phone.e164], spelled],
            "fields": [
                *("id", "type", "parent_id", "email", "name", "lang"),
                *("phone_sanitized", "phone", "ref", "category_id"),
            ],
            "limit": 20,
        }

    async def test_a_reference_that_is_stored_in_lower_case_is_found(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        record_of(vendor, GUS)["ref"] = GUS.reference.lower()
        assert ids(await by_reference(adapter, GUS.typed)) == {GUS.id}

    async def test_what_odoo_knows_of_a_number_counts_before_the_region(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        """An Austrian contact, whose number is another's in Germany."""
        record_of(vendor, ADA).update(phone="01 2345678", phone_sanitized="+4312345678")
        vienna = replace(ADA, phones=("+4312345678",))
        assert ids(await by_phone(adapter, vienna.phone)) == {ADA.id}

    async def test_a_number_that_odoo_knows_to_be_of_another_country_is_not_the_callers(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        record_of(vendor, FAY).update(phone="030 23125001", category_id=[1])
        assert ids(await adapter.find_by_phone(ADA.phone)) == {ADA.id}
        assert len(vendor.asked) == 1, "its tags are nobody's business"
        assert ids(await by_phone(adapter, FAY.phone)) == {FAY.id}

    async def test_tags_cost_one_more_request_if_there_are_any(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> None:
        record_of(vendor, ADA)["category_id"] = [1, 2]
        record_of(vendor, BOB)["category_id"] = [2]
        adapter = built(vendor, http, premium={"tags": ["vip"]})
        (ada,) = await by_phone(adapter, ADA.phone)
        assert [asked.path for asked in vendor.asked] == [
            "/json/2/res.partner/search_read",
            "/json/2/res.partner.category/read",
        ]
        (bob,) = await by_phone(adapter, BOB.phone)
        vendor.asked.clear()
        (eve,) = await by_phone(adapter, EVE.phone)
        assert len(vendor.asked) == 1
        assert (ada.tags, ada.premium) == (("VIP", "Wholesale"), True)
        assert (bob.tags, bob.premium) == (("Wholesale",), False)
        assert (eve.tags, eve.premium) == ((), False)

    async def test_a_contact_is_premium_by_the_tier_of_his_company(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> None:
        company = vendor.record(Person(str(COMPANY), ("+493023125900",), "9000000", premium=True))
        vendor.records.append({**company, "name": "Söhne GmbH"})
        for person in (EVE, BOB):
            record_of(vendor, person)["commercial_partner_id"] = [COMPANY, "Söhne GmbH"]
        rule = {"field": "commercial_partner_id.x_tier", "premium": ["gold"]}
        extra = {"company": "commercial_partner_id.name"}
        adapter = built(vendor, http, premium=rule, fields={"extra": extra})
        for person in (EVE, BOB):
            (found,) = await by_phone(adapter, person.phone)
            assert (found.premium, found.extra) == (True, {"company": "Söhne GmbH"})
        (gus,) = await by_phone(adapter, GUS.phone)
        assert gus.premium is None

    async def test_a_switchboard_is_the_company_and_whoever_shares_it(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        record_of(vendor, ADA)["parent_id"] = [COMPANY, "Söhne GmbH"]
        vendor.records.append(vendor.record(Person(str(COMPANY), ADA.phones, "9000000")))
        assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id, str(COMPANY)}

    async def test_a_delivery_address_is_no_second_customer(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        address = vendor.record(Person(str(DELIVERY), ADA.phones, "9000001"))
        address |= {"type": "delivery", "parent_id": [int(ADA.id), ADA.name]}
        vendor.records.append(address)
        assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id}
        record_of(vendor, ADA).update(phone=False, mobile=False, phone_sanitized=False)
        assert ids(await by_phone(adapter, ADA.phone)) == {str(DELIVERY)}

    @pytest.mark.parametrize(("person", "premium"), [(ADA, True), (BOB, False)])
    async def test_a_checkbox_means_premium(
        self, vendor: FakeVendor, http: aiohttp.ClientSession, person: Person, premium: bool
    ) -> None:
        (found,) = await by_phone(built(vendor, http, premium={"field": "x_vip"}), person.phone)
        assert found.premium is premium

    @pytest.mark.parametrize(
        ("expression", "premium"),
        [
            ('x_tier == "gold"', (True, False, None)),
            ('x_tier == "gold" or x_vip', (True, False, None)),
            ('x_vip == False and x_tier in ["gold", "basic"]', (False, True, None)),
        ],
    )
    async def test_in_an_expression_an_empty_text_is_unknown_and_a_checkbox_is_not(
        self,
        vendor: FakeVendor,
        http: aiohttp.ClientSession,
        expression: str,
        premium: tuple[bool | None, ...],
    ) -> None:
        adapter = built(vendor, http, premium={"expression": expression})
        found = [(await by_phone(adapter, person.phone))[0] for person in (ADA, BOB, EVE)]
        assert tuple(customer.premium for customer in found) == premium

    async def test_an_empty_tier_is_no_tier_that_nobody_mapped(self, adapter: CrmAdapter) -> None:
        (found,) = await by_phone(adapter, EVE.phone)
        assert found.unmapped_tier is None

    async def test_a_customer_has_a_link(self, vendor: FakeVendor, adapter: CrmAdapter) -> None:
        (found,) = await by_phone(adapter, ADA.phone)
        assert found.record_url == f"{vendor.url}/odoo/res.partner/{ADA.id}"

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"auth": {"kind": "bearer", "token": "x"}}, "the credentials were refused"),
            ({"database": "ship"}, "no such database, or not Odoo 19 or newer"),
            ({"fields": {"track_id": "x_order"}}, "res.partner has no field `x_order`"),
            ({"fields": {"tags": "category_id.nam"}}, "res.partner.category has no field `nam`"),
            ({"premium": {"field": "x_level"}}, "res.partner has no field `x_level`"),
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

    @pytest.mark.parametrize("model", ["res.partner", "res.partner.category"])
    async def test_a_check_tells_which_right_is_missing(
        self, http: aiohttp.ClientSession, model: str
    ) -> None:
        async with FakeOdoo() as vendor:
            vendor.unreadable = {model}
            with pytest.raises(PermanentError, match="a right is missing; needed: to read Cont"):
                await built(vendor, http).ping()

    async def test_a_check_tells_the_address_of_something_else(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        vendor.fault = raw(b"<html>", 405, {"Content-Type": "text/html"})
        with pytest.raises(PermanentError, match="check base_url"):
            await adapter.ping()

    @pytest.mark.parametrize("place", ["user_id.name", "commercial_partner_id.user_id.name"])
    def test_a_place_that_leads_further_than_we_follow_is_refused(self, place: str) -> None:
        with pytest.raises(ValidationError, match="can be followed by a dot"):
            options(FakeOdoo(), fields={"track_id": place})

    async def test_a_ticket_has_what_every_ticket_shall_have(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> None:
        adapter = built(vendor, http, ticket={"team_id": 3})
        ref = await adapter.create_ticket(Ticket("call_1", "Call back", "A < B\n& C", ADA.id))
        (ticket,) = vendor.tickets
        assert ref.url == f"{vendor.url}/odoo/helpdesk.ticket/{ticket['id']}"
        assert ticket == {
            "id": int(ref.id),
            "active": True,
            "team_id": 3,
            "name": "Call back [call_1]",
            "description": "A &lt; B<br>&amp; C",
            "partner_id": int(ADA.id),
        }

    async def test_tickets_of_references_that_look_alike_are_two_and_archived_ones_are_found(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        wanted = Ticket("callx1", "Call back", "")
        first = await adapter.create_ticket(wanted)
        assert (await adapter.create_ticket(replace(wanted, reference="call_1"))).id != first.id
        vendor.tickets[0]["active"] = False
        assert await adapter.create_ticket(wanted) == first

    async def test_a_ticket_without_its_app_is_refused_in_words(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> None:
        adapter = built(vendor, http, ticket_model="project.task")
        with pytest.raises(PermanentError, match="is its app installed"):
            await adapter.create_ticket(Ticket("call-1", "Call back", ""))

    async def test_calls_whose_ids_look_alike_get_a_note_each(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        for call in ("ab1", "a_1", "1", "a_1"):
            await adapter.record_outcome(CallNote(call, ADA.id, "premium", 1.0, "A < B"))
        assert [(note["res_id"], note["body"]) for note in vendor.notes] == [
            (int(ADA.id), f"<p>A &lt; B<br>(call {call})</p>") for call in ("ab1", "a_1", "1")
        ]
        assert {note["subtype_xmlid"] for note in vendor.notes} == {"mail.mt_note"}

    @pytest.mark.parametrize(
        ("customer", "told"), [("999999", "a record is not there"), ("K-17", "none of Odoo's")]
    )
    async def test_a_note_for_nobody_is_refused(
        self, vendor: FakeVendor, adapter: CrmAdapter, customer: str, told: str
    ) -> None:
        with pytest.raises(PermanentError, match=told):
            await adapter.record_outcome(CallNote("call-1", customer, "premium", 1.0, "Hello."))
        assert vendor.notes == []

    async def test_two_customers_with_one_number_are_read_together(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        for record in vendor.records:
            record["category_id"] = [1]
        carol, dan = await by_phone(adapter, CAROL.phone)
        assert carol.tags == dan.tags == ("VIP",)
        assert len(vendor.asked) == 2


class _OfAnotherShape(FakeOdoo):
    def _create(self, model: str, context: object, vals_list: Sequence[Any]) -> object:
        super()._create(model, context, vals_list)
        return False


async def test_a_ticket_of_which_odoo_does_not_tell_the_id_is_an_error() -> None:
    async with _OfAnotherShape() as vendor, open_session(LOOPBACK) as http:
        with pytest.raises(PermanentError, match="another shape"):
            await built(vendor, http).create_ticket(Ticket("call-1", "Call back", ""))


class _WithoutPhoneValidation(FakeOdoo):
    has_phone_validation = False


async def test_without_phone_validation_every_spelling_is_asked_for_if_one_says_so() -> None:
    async with _WithoutPhoneValidation() as vendor, open_session(LOOPBACK) as http:
        with pytest.raises(PermanentError, match="phone_validation is not installed"):
            await built(vendor, http).ping()
        adapter = built(vendor, http, fields={"phones": ["phone", "mobile"]})
        found = [ids(await by_phone(adapter, person.phone)) for person in (*SPELLED, BOB)]
    assert found == [{person.id} for person in (*SPELLED, BOB)]


async def test_a_server_with_one_database_is_not_told_its_name() -> None:
    async with FakeOdoo() as vendor, open_session(LOOPBACK) as http:
        adapter = built(vendor, http, database=None)
        with pytest.raises(PermanentError):
            await adapter.find_by_phone(ADA.phone)
        assert "X-Odoo-Database" not in vendor.asked[0].headers

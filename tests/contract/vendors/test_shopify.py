"""The Shopify adapter keeps the kit's promises, and asks as Shopify wants to be asked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from pydantic import ValidationError

from broker.plugins import build
from broker.ports import CallNote
from broker.sdk import BadInputError, NotAskedError, PermanentError, Reference, TemporaryError
from broker.testing.crm_kit import by_phone, by_reference, ids
from broker.testing.http_crm_kit import HttpCrmAdapterKit, NoteKit
from broker.testing.people import ADA, BOB, DAN, EVE, GUS, STRANGER
from broker.testing.scripted_server import reply
from crm_adapters.shopify import ShopifyAdapter, ShopifyOptions
from tests.vendors.shopify import CLIENT, SCOPES, FakeShopify

if TYPE_CHECKING:
    import aiohttp

    from broker.ports import CrmAdapter
    from broker.testing.vendor import FakeVendor

NOTE = CallNote("call-1", ADA.id, "premium", 1_790_000_000.0, "Called;\nwent to an agent.")
LINE = "2026-09-21 14:13 UTC Called; went to an agent. [call-1]"
KEPT = (f"gid://shopify/Customer/{ADA.id}", "ivr", "calls")
BY_ORDER = {"fields": {"reference": "order.name", "language": ""}}


def built(vendor: FakeVendor, http: aiohttp.ClientSession, **more: Any) -> CrmAdapter:
    """The adapter with other options than the vendor's."""
    options = ShopifyOptions.model_validate({**vendor.options(), **more})
    return build(ShopifyAdapter, options, http)


def sent(vendor: FakeVendor) -> list[Any]:
    return [orjson.loads(asked.body) for asked in vendor.asked]


class TestShopify(NoteKit, HttpCrmAdapterKit):
    adapter_type = ShopifyAdapter
    vendor_type = FakeShopify
    current: FakeShopify

    async def test_one_query_asks_for_the_number_and_for_those_that_look_like_it(
        self, adapter: CrmAdapter
    ) -> None:
        await adapter.find_by_phone(ADA.phone)
        (asked,) = self.current.asked
        assert asked.line == "POST /admin/api/2026-10/graphql.json"
        search = " OR ".join(f"phone:'{spelling}'" for spelling in ADA.phone.spellings)
        assert orjson.loads(asked.body)["variables"] == {"phone": ADA.phone.e164, "search": search}

    async def test_the_text_of_the_query_is_the_same_for_everybody(
        self, adapter: CrmAdapter
    ) -> None:
        for person in (ADA, BOB):
            await adapter.find_by_phone(person.phone)
        one, other = sent(self.current)
        assert one["query"] == other["query"]

    async def test_a_number_of_an_address_is_found_as_well(
        self, adapter: CrmAdapter, vendor: FakeVendor
    ) -> None:
        bob = replace(BOB, phones=("+491701234567", "(030) 2312 5002"))
        vendor.records = [vendor.record(bob)]
        for phone in bob.all_phones:
            assert ids(await by_phone(adapter, phone)) == {BOB.id}

    async def test_a_search_that_is_not_understood_finds_nobody_by_chance(
        self, adapter: CrmAdapter, vendor: FakeVendor
    ) -> None:
        self.current.search_fields = set()
        for phone in (ADA.phone, STRANGER):
            with pytest.raises(PermanentError, match="more records match"):
                await adapter.find_by_phone(phone)
        vendor.records = [{**vendor.record(EVE), "phone": None}]
        assert await by_phone(adapter, STRANGER) == ()

    async def test_nothing_is_searched_for_where_only_the_customers_own_number_counts(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> None:
        adapter = built(vendor, http, fields={"phones": ["defaultPhoneNumber.phoneNumber"]})
        assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id}
        assert await by_phone(adapter, STRANGER) == ()
        assert {tuple(one["variables"]) for one in sent(self.current)} == {("phone",)}

    async def test_a_reference_is_found_in_lower_case(
        self, adapter: CrmAdapter, vendor: FakeVendor
    ) -> None:
        vendor.records = [vendor.record(replace(GUS, reference="ab10007"))]
        assert ids(await by_reference(adapter, GUS.typed)) == {GUS.id}

    async def test_the_name_of_an_order_finds_its_customer(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> None:
        adapter = built(vendor, http, **BY_ORDER)
        vendor.records = [
            vendor.record(replace(ADA, track_id="#1001")),
            vendor.record(replace(BOB, track_id="#1002")),
            {**vendor.record(replace(DAN, track_id="#1003")), "guest": True},
        ]
        (found,) = await by_reference(adapter, Reference("1001"))
        assert (found.id, found.track_id) == (ADA.id, "#1001")
        assert await by_reference(adapter, Reference("1003")) == ()
        assert sent(vendor)[0]["variables"] == {"search": "name:'1001' OR name:'#1001'"}

    async def test_an_order_name_that_could_end_its_literal_is_not_sent(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> None:
        with pytest.raises(BadInputError):
            await built(vendor, http, **BY_ORDER).find_by_reference(Reference("1' OR name:'2"))
        assert vendor.asked == []

    @pytest.mark.parametrize(
        "rule", [{"tags": ["vip"]}, {"expression": "amountSpent.amount >= 1000"}]
    )
    async def test_premium_may_be_a_tag_or_what_was_spent(
        self, vendor: FakeVendor, http: aiohttp.ClientSession, rule: Any
    ) -> None:
        adapter = built(vendor, http, premium=rule)
        for person in (ADA, BOB):
            (found,) = await by_phone(adapter, person.phone)
            assert found.premium is person.premium

    async def test_a_customer_leads_to_his_page(self, adapter: CrmAdapter) -> None:
        (found,) = await by_phone(adapter, ADA.phone)
        assert found.record_url == f"{self.current.url}/admin/customers/{ADA.id}"

    async def test_a_token_is_fetched_once_and_again_when_it_is_refused(
        self, adapter: CrmAdapter
    ) -> None:
        for _ in range(2):
            await adapter.find_by_phone(ADA.phone)
        self.current.revoke()
        assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id}
        shown = [asked.headers["X-Shopify-Access-Token"] for asked in self.current.asked]
        assert shown == ["shpat_1", "shpat_1", "shpat_1", "shpat_2"]

    async def test_the_token_of_an_older_app_is_shown_in_the_same_header(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> None:
        adapter = built(vendor, http, auth={"kind": "bearer", "token": "shpat_old"})
        with pytest.raises(PermanentError):
            await adapter.ping()
        assert vendor.asked[0].headers["X-Shopify-Access-Token"] == "shpat_old"

    async def test_used_up_points_are_temporary_and_the_shop_is_left_alone_until_then(
        self, adapter: CrmAdapter
    ) -> None:
        await adapter.find_by_phone(ADA.phone)
        points = sent(self.current)[0]["query"].count("{")
        self.current.available = points - 50.0
        with pytest.raises(TemporaryError) as caught:
            await adapter.find_by_phone(ADA.phone)
        assert caught.value.retry_after == pytest.approx(0.5)
        self.current.available = 2000.0
        with pytest.raises(NotAskedError):
            await adapter.find_by_phone(ADA.phone)
        assert len(self.current.asked) == 2

    @pytest.mark.parametrize("extensions", [None, {}, {"cost": {"throttleStatus": None}}])
    async def test_used_up_points_without_figures_are_temporary(
        self, adapter: CrmAdapter, vendor: FakeVendor, extensions: Any
    ) -> None:
        error = {"extensions": {"code": "THROTTLED"}}
        vendor.fault = reply({"errors": [error], "extensions": extensions})
        with pytest.raises(TemporaryError) as caught:
            await adapter.find_by_phone(ADA.phone)
        assert caught.value.retry_after == 1.0

    async def test_an_error_inside_shopify_is_temporary(
        self, adapter: CrmAdapter, vendor: FakeVendor
    ) -> None:
        error = {"extensions": {"code": "INTERNAL_SERVER_ERROR"}}
        vendor.fault = reply({"errors": [error], "data": None})
        with pytest.raises(TemporaryError):
            await adapter.find_by_phone(ADA.phone)

    @pytest.mark.parametrize("errors", ["Not Found", [{"message": "?"}], [{"extensions": 1}], {}])
    async def test_any_other_error_is_permanent(
        self, adapter: CrmAdapter, vendor: FakeVendor, errors: Any
    ) -> None:
        vendor.fault = reply({"errors": errors})
        with pytest.raises(PermanentError):
            await adapter.find_by_phone(ADA.phone)

    async def test_check_says_that_the_credentials_are_wrong(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> None:
        auth = {"kind": "client_credentials", "client_id": CLIENT, "client_secret": "another"}
        with pytest.raises(PermanentError, match="credentials were refused"):
            await built(vendor, http, auth=auth).ping()

    @pytest.mark.parametrize("scope", ["read_customers", "read_orders"])
    async def test_check_says_which_right_is_missing(self, adapter: CrmAdapter, scope: str) -> None:
        self.current.scopes = SCOPES - {scope}
        with pytest.raises(PermanentError, match=f"a right is missing; needed: .*{scope}"):
            await adapter.find_by_phone(ADA.phone)

    async def test_without_orders_their_scope_is_not_needed(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> None:
        self.current.scopes = {"read_customers"}
        fields = {"track_id": "", "language": ""}
        assert "finds people" in await built(vendor, http, fields=fields).ping()

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"track_id": "lastOrdr.name"}, "there is no field called lastOrdr.name: check"),
            ({"extra": {"x": "amountSpent.sum"}}, "there is no field called amountSpent.sum: ch"),
            ({"extra": {"x": "tags.first"}}, "the query was refused: check `fields`"),
            ({"reference": "metafields.custom.tier"}, "custom.tier is no metafield definition"),
        ],
    )
    async def test_check_says_which_field_is_unknown(
        self, vendor: FakeVendor, http: aiohttp.ClientSession, fields: Any, said: str
    ) -> None:
        with pytest.raises(PermanentError, match=said):
            await built(vendor, http, fields=fields).ping()

    @pytest.mark.parametrize("more", [{"api_version": "2019-01"}, {"base_url": "/admin"}])
    async def test_check_says_that_nothing_is_at_the_address(
        self, vendor: FakeVendor, http: aiohttp.ClientSession, more: Any
    ) -> None:
        if "base_url" in more:
            more = {"base_url": vendor.url + more["base_url"], "auth": {**OLD}}
        with pytest.raises(PermanentError, match="check base_url and api_version"):
            await built(vendor, http, **more).ping()
        vendor.strays.clear()

    async def test_check_says_that_no_shop_is_at_the_address(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> None:
        adapter = built(vendor, http, base_url=f"{vendor.url}/elsewhere")
        with pytest.raises(PermanentError, match="nothing gives tokens at this address"):
            await adapter.ping()
        vendor.strays.clear()

    async def test_a_note_is_a_line_of_a_metafield_the_newest_first(
        self, adapter: CrmAdapter
    ) -> None:
        self.current.kept[KEPT] = "\n".join(f"a call [old-{i}]" for i in range(50))
        await adapter.record_outcome(NOTE)
        lines = self.current.kept[KEPT].splitlines()
        assert lines[:2] == [LINE, "a call [old-0]"]
        assert len(lines) == 50

    async def test_a_note_never_overwrites_what_somebody_else_wrote_meanwhile(
        self, adapter: CrmAdapter
    ) -> None:
        self.current.written_between = "another line"
        with pytest.raises(TemporaryError, match="at the same time"):
            await adapter.record_outcome(NOTE)
        assert self.current.kept[KEPT] == "another line"

    async def test_a_note_that_is_refused_is_a_permanent_error(
        self, vendor: FakeVendor, http: aiohttp.ClientSession
    ) -> None:
        with pytest.raises(PermanentError, match="check `notes`"):
            await built(vendor, http, notes="metafields.app--1.calls").record_outcome(NOTE)

    async def test_a_note_needs_a_customer_who_is_there(self, adapter: CrmAdapter) -> None:
        with pytest.raises(PermanentError, match="not there any more"):
            await adapter.record_outcome(replace(NOTE, customer_id="999"))
        with pytest.raises(PermanentError, match="id is none of Shopify's"):
            await adapter.record_outcome(replace(NOTE, customer_id="c-1"))

    @pytest.mark.parametrize(
        "wrong",
        [
            {"fields": {"track_id": "lastOrder { name } } x"}},
            {"fields": {"extra": {"x": 'metafields.a"b.c'}}},
            {"premium": {"field": "tags } }"}},
            {"fields": {"reference": "note"}},
            {"notes": "note"},
            {"api_version": "latest/../x"},
        ],
    )
    def test_a_name_that_could_change_the_query_is_refused_at_the_start(
        self, vendor: FakeVendor, wrong: Any
    ) -> None:
        with pytest.raises(ValidationError):
            ShopifyOptions.model_validate({**vendor.options(), **wrong})


OLD = {"kind": "bearer", "token": "shpat_old"}

"""The babelforce adapter keeps the kit's promises, and what only dispatching asks of it."""

from __future__ import annotations

import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from pydantic import ValidationError

from broker.domain.errors import BrokerError, PermanentError
from broker.http_client import open_session
from broker.testing.http_crm_kit import HttpCrmAdapterKit
from broker.testing.loopback import LOOPBACK
from broker.testing.people import ADA, BOB, EVE, GUS, STRANGER, UNKNOWN
from broker.testing.scripted_server import raw, reply
from crm_adapters.babelforce import BabelforceAdapter, BabelforceOptions
from tests.vendors.babelforce import INTEGRATION, NOBODY, PASSWORD, TOKEN, FakeBabelforce

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    Build = Callable[..., BabelforceAdapter]

PHONE = {"action": "find_user_by_phone", "param": "phone"}
DISPATCH = f"POST /api/v2/integrations/{INTEGRATION}/dispatch"


class TestBabelforce(HttpCrmAdapterKit):
    adapter_type = BabelforceAdapter
    vendor_type = FakeBabelforce


@pytest.fixture
async def vendor() -> AsyncIterator[FakeBabelforce]:
    async with FakeBabelforce() as vendor:
        yield vendor


@pytest.fixture
async def build(vendor: FakeBabelforce) -> AsyncIterator[Build]:
    """The adapter with the vendor's options and changes to them."""
    async with open_session(LOOPBACK) as http:

        def build(**changes: Any) -> BabelforceAdapter:
            options = {**vendor.options(), **changes}
            return BabelforceAdapter(BabelforceOptions.model_validate(options), http)

        yield build


def answered(data: object) -> Any:
    """The documented envelope around `data`."""
    return reply({"action": "a", "params": {}, "context": {}, "data": data})


async def said(adapter: BabelforceAdapter) -> str:
    with pytest.raises(BrokerError) as caught:
        await adapter.ping()
    return str(caught.value)


async def test_a_lookup_is_one_dispatch_with_its_parameters(
    vendor: FakeBabelforce, build: Build
) -> None:
    adapter = build()
    await adapter.find_by_phone(ADA.phone)
    await adapter.find_by_reference(ADA.typed)
    assert [asked.line for asked in vendor.asked] == [
        f"{DISPATCH}/find_user_by_phone",
        f"{DISPATCH}/find_user_by_external_id",
    ]
    assert [orjson.loads(asked.body) for asked in vendor.asked] == [
        {"params": {"limit": 10, "phone": "+493023125001"}},
        {"params": {"external_id": "1000001"}},
    ]
    assert [asked.query for asked in vendor.asked] == [{}, {}]


async def test_the_token_comes_by_the_platforms_password_grant_and_is_replaced(
    vendor: FakeBabelforce, build: Build
) -> None:
    adapter = build()
    await adapter.find_by_phone(ADA.phone)
    vendor.revoke()
    (found,) = await adapter.find_by_phone(ADA.phone)
    assert found.id == ADA.id
    assert len(vendor.desk.forms) == 2
    assert vendor.desk.forms[0] == {
        "grant_type": "password",
        "username": "manager@example.com",
        "password": PASSWORD,
        "client_id": "manager",
    }
    assert vendor.asked[-1].headers["Authorization"] == f"Bearer {TOKEN}2"


async def test_each_format_of_a_number_is_asked_for_once(
    vendor: FakeBabelforce, build: Build
) -> None:
    formats = ["e164", "digits", "national", "digits"]
    found = await build(phone=PHONE | {"formats": formats}).find_by_phone(ADA.phone)
    assert {customer.id for customer in found} == {ADA.id}
    asked = {orjson.loads(asked.body)["params"]["phone"] for asked in vendor.asked}
    assert asked == {"+493023125001", "493023125001", "3023125001"}
    assert len(vendor.asked) == 3


async def test_a_body_that_is_no_text_is_read_as_well(vendor: FakeBabelforce, build: Build) -> None:
    vendor.as_text = False
    (found,) = await build().find_by_phone(BOB.phone)
    assert (found.id, found.premium, found.track_id) == (BOB.id, False, BOB.track_id)


async def test_variables_of_the_session_map_can_be_the_record(
    vendor: FakeBabelforce, build: Build
) -> None:
    session = {"zendesk.user.id": 101, "zendesk.user.email": ADA.email, "tier": "gold"}
    vendor.fault = answered({"success": True, "session": session})
    adapter = build(
        results="session",
        fields={"id": "zendesk.user.id", "email": "zendesk.user.email"},
        premium={"field": "tier", "premium": ["gold"]},
    )
    (found,) = await adapter.find_by_phone(ADA.phone)
    assert (found.id, found.email, found.premium) == (ADA.id, ADA.email, True)
    vendor.fault = answered({"success": True, "session": {}})
    assert await adapter.find_by_phone(ADA.phone) == ()


async def test_nobody_may_be_a_failure_with_a_known_message(
    vendor: FakeBabelforce, build: Build
) -> None:
    vendor.fails_for_nobody = True
    with pytest.raises(PermanentError, match="put its message into not_found"):
        await build().find_by_phone(STRANGER)
    adapter = build(not_found=["Other", NOBODY])
    assert await adapter.find_by_phone(STRANGER) == ()
    assert await adapter.find_by_reference(UNKNOWN) == ()
    assert len(await adapter.find_by_phone(ADA.phone)) == 1


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {"success": True},
        {"success": True, "response": None},
        {"success": True, "response": {"body": "<html>down</html>"}},
        {"success": True, "response": {"body": '{"error": "down"}'}},
        {"success": True, "response": {"body": {"users": "maintenance"}}},
        {"success": False, "message": "+493023125001 is busy"},
    ],
)
async def test_an_envelope_with_anything_else_is_not_nobody(
    vendor: FakeBabelforce, build: Build, data: object
) -> None:
    vendor.fault = answered(data)
    with pytest.raises(PermanentError) as caught:
        await build().find_by_phone(ADA.phone)
    assert ADA.phone.digits not in "".join(traceback.format_exception(caught.value))


async def test_a_reference_stored_in_lower_case_is_found(
    vendor: FakeBabelforce, build: Build
) -> None:
    vendor.records = [vendor.record(replace(GUS, reference=GUS.reference.lower()))]
    (found,) = await build().find_by_reference(GUS.typed)
    assert found.id == GUS.id


async def test_a_lookup_without_action_asks_nobody(vendor: FakeBabelforce, build: Build) -> None:
    assert await build(phone=None).find_by_phone(ADA.phone) == ()
    assert await build(reference=None).find_by_reference(ADA.typed) == ()
    assert vendor.asked == []


async def test_a_record_opens_where_the_operator_says(vendor: FakeBabelforce, build: Build) -> None:
    vendor.records = [vendor.record(replace(EVE, id="a/b?c"))]
    (found,) = await build(record_link="https://desk.example/users/{id}").find_by_phone(EVE.phone)
    assert found.record_url == "https://desk.example/users/a%2Fb%3Fc"


async def test_an_integration_may_be_written_with_hyphens(
    vendor: FakeBabelforce, build: Build
) -> None:
    hyphenated = "1A2B3C4D-5E6F-7A8B-9C0D-1E2F3A4B5C6D"
    assert await build(integration=hyphenated).find_by_phone(ADA.phone)
    assert vendor.asked[0].path.split("/")[4] == INTEGRATION


async def test_check_says_that_all_is_well(build: Build) -> None:
    assert await build().ping() == "finds people by number and by reference"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"integration": "0" * 32}, "no such integration or action"),
        ({"phone": PHONE | {"action": "find_nobody"}}, "no such integration or action"),
        ({"phone": PHONE | {"param": "number"}}, "find_user_by_phone says success=false"),
        ({"results": "response.body.people"}, "nothing at the path `results`"),
        ({"base_url": "http://127.0.0.1:9"}, "no connection"),
    ],
)
async def test_check_says_in_a_sentence_what_to_change(
    build: Build, changes: dict[str, Any], told: str
) -> None:
    assert told in await said(build(**changes))


async def test_check_tells_refused_credentials_from_a_missing_right(
    vendor: FakeBabelforce, build: Build
) -> None:
    wrong = {**vendor.options()["auth"], "password": "wrong"}
    assert "credentials" in await said(build(auth=wrong))
    vendor.fault = raw(status=403)
    assert "a right is missing; needed: manager rights" in await said(build())
    vendor.fault = raw(status=422)
    assert "check param and params" in await said(build())


@pytest.mark.parametrize(
    "changes",
    [
        {"phone": None, "reference": None},
        {"phone": PHONE | {"params": {"phone": "1"}}},
        {"phone": PHONE | {"action": "../../calls"}},
        {"phone": PHONE | {"action": "."}},
        {"phone": PHONE | {"formats": []}},
        {"phone": PHONE | {"formats": ["local"]}},
        {"integration": "zendesk"},
        {"results": "a[b]"},
        {"fields": {"email": "a..b"}},
        {"record_link": "https://desk.example/users"},
        {"auth": None},
    ],
)
async def test_options_that_cannot_work_are_refused(build: Build, changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        build(**changes)

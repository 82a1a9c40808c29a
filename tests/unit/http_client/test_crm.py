"""What every adapter over HTTP gets from its base."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from broker.domain.call import Phone, Reference
from broker.domain.errors import PermanentError, TemporaryError
from broker.http_client import HttpCrmAdapter, HttpCrmOptions, list_at, one_at, open_session
from broker.ports import set_deadline
from broker.testing.loopback import LOOPBACK
from broker.testing.scripted_server import ScriptedServer, hang, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import aiohttp

    from broker.domain.customer import Customer

PHONE = Phone.from_e164("+493023125001")
TYPED = Reference("1000001")
ADA = {"id": "1", "phone": "030 23125001", "reference": "1000001"}
BOB = {"id": "2", "phone": "030 23125002", "reference": "1000002"}
OPTIONS = {"base_url": "http://crm.test", "auth": {"kind": "bearer", "token": "t"}, "region": "DE"}


class ShopAdapter(HttpCrmAdapter[HttpCrmOptions]):
    """Believes that every record of the answer was asked for."""

    name = "shop"
    rights = "the scope people.read"
    options_type = HttpCrmOptions

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        answer = await self.ask("GET", "/people", params={"phone": phone.e164})
        return self.found_by_phone(list_at(answer.body, "people"), phone, _get)

    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:
        answer = await self.ask("GET", "/people", params={"reference": reference.value})
        return self.found_by_reference(list_at(answer.body, "people"), reference, _get)

    def record_url(self, record: Any) -> str | None:
        return f"https://shop.test/people/{record['id']}"


def _get(record: Any) -> Any:
    return record.get


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(LOOPBACK) as session:
        yield session


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(otherwise=reply({"people": [ADA, BOB]})) as server:
        yield server


@pytest.fixture
def shop(server: ScriptedServer, http: aiohttp.ClientSession) -> ShopAdapter:
    return ShopAdapter(HttpCrmOptions.model_validate({**OPTIONS, "base_url": server.url}), http)


async def test_only_records_that_really_match_become_customers(shop: ShopAdapter) -> None:
    for found in (await shop.find_by_phone(PHONE), await shop.find_by_reference(TYPED)):
        assert [customer.id for customer in found] == ["1"]
        assert found[0].record_url == "https://shop.test/people/1"


@pytest.mark.parametrize("typed", ["http://crm.test", "http://crm.test/", " http://crm.test/\n"])
async def test_a_page_is_below_the_base_url_however_that_was_typed(
    http: aiohttp.ClientSession, typed: str
) -> None:
    shop = ShopAdapter(HttpCrmOptions.model_validate({**OPTIONS, "base_url": typed}), http)
    assert shop.page("/people/1") == "http://crm.test/people/1"


@pytest.mark.parametrize("found", ["found_by_phone", "found_by_reference"])
def test_more_than_was_read_is_an_error_unless_two_customers_show(
    shop: ShopAdapter, found: str
) -> None:
    wanted = PHONE if found == "found_by_phone" else TYPED
    two = [ADA, {**ADA, "id": "3"}]
    assert len(getattr(shop, found)(two, wanted, _get, more=True)) == 2
    for one in ([ADA], [ADA, ADA], [BOB], []):
        with pytest.raises(PermanentError, match="more records match"):
            getattr(shop, found)(one, wanted, _get, more=True)


def test_as_many_records_as_were_asked_for_are_believed_only_if_two_customers_show(
    shop: ShopAdapter,
) -> None:
    one = shop.found_by_phone([ADA], PHONE, _get)
    two = shop.found_by_phone([ADA, {**ADA, "id": "3"}], PHONE, _get)
    assert shop.not_cut_off(one, came=9, most=10) == one
    assert shop.not_cut_off(two, came=10, most=10) == two
    with pytest.raises(PermanentError, match="more records match than were read"):
        shop.not_cut_off(one, came=10, most=10)


def test_who_lists_no_number_can_be_left_out(shop: ShopAdapter) -> None:
    bare = {name: value for name, value in ADA.items() if name != "phone"}
    assert shop.found_by_phone([bare], PHONE, _get)
    assert shop.with_numbers([bare, BOB], _get) == [BOB]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "shop: HTTP 400: the request was refused: check the names in `fields` and"),
        (401, "shop: the credentials were refused (HTTP 401): check `auth`"),
        (403, "shop: HTTP 403: a right is missing; needed: the scope people.read"),
        (404, "shop: HTTP 404: nothing is at this address: check base_url"),
        (405, "shop: HTTP 405: nothing is at this address: check base_url"),
        (422, "shop: HTTP 422: the request was refused: check the names in `fields` and"),
    ],
)
async def test_a_refusal_says_what_to_change_and_repeats_nothing(
    shop: ShopAdapter, server: ScriptedServer, status: int, said: str
) -> None:
    server.otherwise = reply({"message": f"no {PHONE.e164} here"}, status)
    with pytest.raises(PermanentError) as caught:
        await shop.find_by_phone(PHONE)
    assert str(caught.value).startswith(said)
    assert PHONE.digits not in str(caught.value)


async def test_a_status_that_an_adapter_expects_is_an_answer(
    shop: ShopAdapter, server: ScriptedServer
) -> None:
    server.otherwise = reply({}, 404)
    assert (await shop.ask("GET", "/people/1", accept=frozenset({404}))).status == 404


async def test_ping_tries_both_lookups(shop: ShopAdapter, server: ScriptedServer) -> None:
    assert await shop.ping() == "finds people by number and by reference"
    assert [sorted(asked.query) for asked in server.asked] == [["phone"], ["reference"]]
    server.script.extend([reply({"people": []}), reply({}, 403)])
    with pytest.raises(PermanentError):
        await shop.ping()


async def test_a_request_takes_no_longer_than_the_lookup_may(
    shop: ShopAdapter, server: ScriptedServer
) -> None:
    server.otherwise = hang()

    async def lookup() -> None:
        set_deadline(0.02)
        await shop.find_by_phone(PHONE)

    with pytest.raises(TemporaryError, match="no answer in time"):
        await asyncio.wait_for(lookup(), 3)


def test_the_operators_spellings_are_asked_for_besides_the_usual_ones(
    http: aiohttp.ClientSession,
) -> None:
    options = {**OPTIONS, "spellings": ["(**) ********", "+49-**-********", "(****) ****-****"]}
    shop = ShopAdapter(HttpCrmOptions.model_validate(options), http)
    added = ("(30) 23125001", "+49-30-23125001")
    assert shop.spellings(PHONE) == (*PHONE.spellings, *added)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"auth": None}, "auth is missing"),
        ({"premium": {"tags": ["vip"]}}, "premium.tags needs fields.tags"),
        ({"spellings": ["(xxx)"]}, "a pattern is like"),
        ({"region": "Germany"}, "must be a region in capital letters"),
        ({"auth": {"kind": "magic"}}, "kind"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        HttpCrmOptions.model_validate({**OPTIONS, **options})


def test_a_tier_needs_no_place_for_tags() -> None:
    options = {**OPTIONS, "premium": {"field": "tier", "premium": ["gold"]}}
    assert HttpCrmOptions.model_validate(options).fields.tags is None


def test_a_crm_that_needs_no_credentials_can_say_so() -> None:
    class OpenOptions(HttpCrmOptions):
        needs_auth = False

    assert OpenOptions(base_url="http://crm.test").auth is None


@pytest.mark.parametrize(
    "body",
    [None, "x", 1, [], {}, {"a": None}, {"a": []}, {"a": {"b": {}}}, {"a": {"b": [1]}}],
)
def test_an_answer_without_the_documented_list_is_an_error(body: object) -> None:
    with pytest.raises(PermanentError, match="another shape"):
        list_at(body, "a", "b")


def test_an_empty_list_is_nobody() -> None:
    assert list_at({"a": {"b": []}}, "a", "b") == []
    assert list_at([{"id": 1}]) == [{"id": 1}]


@pytest.mark.parametrize("body", [None, [], {}, {"a": None}, {"a": []}, {"a": {"name": "x"}}])
def test_a_record_without_an_id_is_an_answer_of_another_shape(body: object) -> None:
    with pytest.raises(PermanentError, match="another shape"):
        one_at(body, "a")
    assert one_at({"a": {"id": 0}}, "a") == {"id": 0}

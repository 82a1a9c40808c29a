"""The REST adapter before a real server: what is asked, what is believed, what goes wrong."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from broker.domain.call import Phone, Reference
from broker.domain.customer import Customer, matches
from broker.domain.errors import ConfigError, PermanentError, TemporaryError
from broker.http_client import open_session
from broker.ports import set_deadline
from broker.testing.loopback import LOOPBACK
from broker.testing.scripted_server import ScriptedServer, cut, drip, endless, raw, reply, reset
from crm_adapters.rest import RestAdapter, RestOptions
from tests.timely import sometimes, stopped_from_outside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import aiohttp

    from broker.testing.scripted_server import Answer

BERLIN = Phone.from_e164("+493023125001")
TYPED = Reference("1000001")
PATHS = {"phone_path": "/crm/customers?phone={e164}", "reference_path": "/c/{reference}"}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(LOOPBACK) as session:
        yield session


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


def adapter(server: ScriptedServer, http: aiohttp.ClientSession, **options: Any) -> RestAdapter:
    values = {"base_url": server.url, **PATHS, **options}
    return RestAdapter(RestOptions.model_validate(values), http)


SHOP = {
    "id": "c-1",
    "email": "ada@example.com",
    "premium": True,
    "track_id": "T1",
    "name": "Ada",
    "language": "en",
    "phones": ["+493023125001"],
}
SHOP_CUSTOMER = Customer(
    "c-1",
    "ada@example.com",
    True,
    "T1",
    ("+493023125001",),
    "Ada",
    "en",
)


async def test_the_sample_crm_is_read_with_two_paths_and_a_premium_field(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    server.otherwise = reply({"customers": [SHOP]})
    shop = adapter(
        server,
        http,
        reference_path="/crm/customers?reference={reference}",
        results="customers[*]",
        premium={"field": "premium"},
    )
    assert await shop.find_by_phone(BERLIN) == (SHOP_CUSTOMER,)
    assert await shop.find_by_reference(TYPED) == (SHOP_CUSTOMER,)
    assert server.lines == ["GET /crm/customers"] * 2
    assert [asked.query for asked in server.asked] == [
        {"phone": "+493023125001"},
        {"reference": "1000001"},
    ]


async def test_a_nested_answer_is_read_by_paths(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    record = {
        "key": 17,
        "profile": {"email": "ada@example.com", "names": ["Ada", "Augusta"]},
        "numbers": [{"value": "030 23125001"}, {"value": "+44 20 7946 0018"}],
        "tier": {"code": "GOLD"},
        "orders": [{"no": "T9"}, {"no": "T8"}],
        "seat": {"row": 5},
    }
    server.otherwise = reply({"data": {"items": [record]}})
    nested = adapter(
        server,
        http,
        results="$.data.items",
        fields={
            "id": "key",
            "email": "profile.email",
            "name": "profile.names[*]",  # two names are no name
            "track_id": "orders[0].no",
            "phones": ["numbers[*].value"],
            "extra": {"seat": "seat.row"},
        },
        premium={"field": "tier.code", "premium": ["gold"]},
    )
    assert await nested.find_by_phone(BERLIN) == (
        Customer(
            "17",
            email="ada@example.com",
            premium=True,
            track_id="T9",
            phones=("030 23125001", "+44 20 7946 0018"),
            extra={"seat": "5"},
        ),
    )


async def test_a_number_in_a_path_is_one_segment(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    server.otherwise = reply([SHOP])
    await adapter(server, http, phone_path="/by-phone/{e164}/customers").find_by_phone(BERLIN)
    assert server.lines == ["GET /by-phone/+493023125001/customers"]


async def test_a_search_is_posted_with_all_spellings_in_its_body(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    server.otherwise = reply([SHOP])
    searching = adapter(
        server,
        http,
        method="POST",
        phone_path="/search",
        phone_body={"any": [{"phone": "{spellings}"}, {"mobile": "{e164}"}], "limit": 2},
        reference_path=None,
    )
    assert len(await searching.find_by_phone(BERLIN)) == 1
    assert await searching.find_by_reference(TYPED) == ()
    (asked,) = server.asked
    assert asked.line == "POST /search"
    assert orjson.loads(asked.body) == {
        "any": [{"phone": list(BERLIN.spellings)}, {"mobile": "+493023125001"}],
        "limit": 2,
    }


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"kind": "bearer", "token": "t0ken\n"}, "Authorization", "Bearer t0ken"),
        ({"kind": "header", "name": "X-Api-Key", "value": " k3y "}, "X-Api-Key", "k3y"),
        (
            {"kind": "basic", "username": "me", "password": "pä:ss\n"},
            "Authorization",
            "Basic " + base64.b64encode("me:pä:ss".encode()).decode(),
        ),
    ],
)
async def test_every_request_carries_the_credentials(
    server: ScriptedServer,
    http: aiohttp.ClientSession,
    auth: Mapping[str, str],
    header: str,
    value: str,
) -> None:
    server.otherwise = reply([])
    await adapter(server, http, auth=auth).find_by_phone(BERLIN)
    assert server.asked[0].headers[header] == value


async def test_a_secret_that_cannot_stand_in_a_header_is_refused_at_the_start(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    with pytest.raises(ConfigError) as refused:
        adapter(server, http, auth={"kind": "bearer", "token": "a\r\nX-Evil: 1"})
    assert "Evil" not in str(refused.value)


NOBODY = [
    pytest.param(reply({}, 404), "$", id="404"),
    pytest.param(raw(b"gone", status=404), "$", id="404 that is no JSON"),
    pytest.param(raw(b"", status=204), "customers", id="204"),
    pytest.param(raw(b""), "customers", id="an empty body"),
    pytest.param(reply({}), "$", id="an empty object"),
    pytest.param(reply([]), "$", id="an empty list"),
    pytest.param(raw(b"null"), "$", id="null"),
    pytest.param(reply({"customers": []}), "customers", id="an empty list inside"),
    pytest.param(reply({"customers": None}), "customers", id="null inside"),
    pytest.param(reply({"total": 0}), "customers[*]", id="left out"),
]


@pytest.mark.parametrize(("answer", "results"), NOBODY)
async def test_nobody_there_is_no_error(
    server: ScriptedServer, http: aiohttp.ClientSession, answer: Answer, results: str
) -> None:
    server.otherwise = answer
    asked = adapter(server, http, results=results)
    assert await asked.find_by_phone(BERLIN) == ()
    assert await asked.find_by_reference(TYPED) == ()


BROKEN = [
    pytest.param(reply({"error": "quota"}), PermanentError, id="an error with status 200"),
    pytest.param(reply({"customers": ["c-1"]}), PermanentError, id="records that are texts"),
    pytest.param(reply({"customers": False}), PermanentError, id="false"),
    pytest.param(reply({"customers": [{"email": "a@b.de"}]}), PermanentError, id="no id"),
    pytest.param(raw(b"<html>"), PermanentError, id="HTML"),
    pytest.param(reply({}, status=401), PermanentError, id="401"),
    pytest.param(reply({}, status=403), PermanentError, id="403"),
    pytest.param(reply({}, status=302), PermanentError, id="a redirect"),
    pytest.param(reply({}, status=429), TemporaryError, id="429"),
    pytest.param(reply({}, status=500), TemporaryError, id="500"),
    pytest.param(endless(), PermanentError, id="endless"),
    pytest.param(cut({"customers": []}), TemporaryError, id="cut off"),
    pytest.param(reset(), TemporaryError, id="no answer at all"),
]


@pytest.mark.parametrize(("answer", "error"), BROKEN)
async def test_an_answer_that_says_nothing_about_the_customer_is_an_error(
    server: ScriptedServer,
    http: aiohttp.ClientSession,
    answer: Answer,
    error: type[Exception],
) -> None:
    server.otherwise = answer
    asked = adapter(server, http, results="customers")
    with pytest.raises(error) as caught:
        await asked.find_by_phone(BERLIN)
    assert not isinstance(caught.value, ConfigError)
    assert "3023125001" not in str(caught.value)


async def test_another_status_can_mean_nobody(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    server.otherwise = reply({"error": "no such customer"}, status=422)
    assert await adapter(server, http, not_found=[404, 422]).find_by_phone(BERLIN) == ()


async def test_a_record_with_other_numbers_is_not_the_caller(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    abroad = {**SHOP, "id": "c-2", "phones": ["+443023125001"]}
    national = {**SHOP, "id": "c-3", "phones": ["030 23125001"]}
    silent = {**SHOP, "id": "c-4", "phones": []}
    server.otherwise = reply([abroad, national, silent])
    found = await adapter(server, http, region="DE").find_by_phone(BERLIN)
    assert [customer.id for customer in found] == ["c-3", "c-4"]
    found = await adapter(server, http, region="AT").find_by_phone(BERLIN)
    assert [customer.id for customer in found] == ["c-4"]


async def test_a_record_with_another_reference_is_not_the_caller(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    server.otherwise = reply(
        [{"id": 1, "no": "1000001"}, {"id": 2, "no": "11000001"}, {"id": 3, "no": "100-0001"}]
    )
    found = await adapter(server, http, fields={"reference": "no"}).find_by_reference(TYPED)
    assert [customer.id for customer in found] == ["1", "3"]


async def test_a_hundred_strangers_are_refused_by_the_broker_and_not_guessed_from(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    server.otherwise = reply([{"id": i} for i in range(200)])
    with pytest.raises(PermanentError):
        matches(await adapter(server, http).find_by_phone(BERLIN), BERLIN)


async def test_ping_notices_a_search_that_finds_everybody(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    server.otherwise = reply([{"id": 1}])
    with pytest.raises(ConfigError):
        await adapter(server, http).ping()


async def test_a_drip_of_an_answer_ends_shortly_after_the_deadline(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    server.otherwise = drip([SHOP], 0.2)
    began = time.monotonic()
    set_deadline(0.05)
    with pytest.raises(TemporaryError):
        await adapter(server, http).find_by_phone(BERLIN)
    assert 0.05 < time.monotonic() - began < 5.0


async def test_the_brokers_own_deadline_comes_first(
    server: ScriptedServer, http: aiohttp.ClientSession
) -> None:
    """Else a slow CRM would be told as an error instead of a timeout."""
    server.otherwise = drip([SHOP], 0.01)
    asked = adapter(server, http)
    assert await sometimes(lambda: stopped_from_outside(lambda: asked.find_by_phone(BERLIN)))

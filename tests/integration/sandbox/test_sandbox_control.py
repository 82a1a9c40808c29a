"""The sandbox's own controls, its CRM, its order page and its HTTP faults."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientError, ClientPayloadError

from broker.sandbox import credentials
from broker.sandbox.personas import HOTLINE

if TYPE_CHECKING:
    from tests.integration.sandbox.conftest import Client


async def test_a_persona_calls_from_a_fresh_number_and_says_what_to_expect(client: Client) -> None:
    call = await client.call(persona="standard")
    suffix = call["from"][-3:]
    assert call["from"].startswith("+496990009")
    assert (call["to"], call["anonymous"], call["persona"]) == (HOTLINE, False, "standard")
    assert call["reference"] == f"3001{suffix}"
    assert call["email"] == f"standard-{suffix}@example.com"
    assert call["track_id"] == f"TRK-STANDARD-{suffix}"
    assert (await client.call(persona="standard"))["from"] != call["from"]


async def test_a_withheld_persona_has_a_reference_but_no_number(client: Client) -> None:
    call = await client.call(persona="standard", anonymous=True)
    assert (call["from"], call["anonymous"]) == (None, True)
    assert call["reference"].startswith("3001")


@pytest.mark.parametrize("number", ["+15551230000", "garbage"])
async def test_any_number_may_call_and_nothing_is_expected_of_it(
    client: Client, number: str
) -> None:
    call = await client.call(**{"from": number})
    assert call["from"] == number
    assert "reference" not in call


async def test_a_number_of_the_fixture_is_recognised(client: Client) -> None:
    call = await client.call(**{"from": "+492214710042"})
    assert (call["persona"], call["reference"]) == ("shared", "5001042")


async def test_typed_keys_are_in_the_session_as_the_input_reader_leaves_them(
    client: Client,
) -> None:
    call = await client.call(persona="premium", keys="2001042#")
    _, shown = await client.control("GET", f"/calls/{call['call_id']}")
    assert shown["variables"] == {"app.inputReader.reference": "2001042#"}


async def test_the_history_shows_every_write_with_its_time(client: Client) -> None:
    call = await client.call(persona="premium")
    await client.platform("PUT", f"/sessions/{call['session_id']}", {"ivr.lookup": "timeout"})
    await client.platform("PUT", f"/sessions/{call['session_id']}", {"ivr.lookup": "found"})
    await client.platform(
        "PUT", f"/calls/{call['call_id']}/session/set", {"variables": {"app.a": 1}}
    )
    _, shown = await client.control("GET", f"/calls/{call['call_id']}")
    kept = [(write["via"], write["variables"]) for write in shown["writes"]]
    assert kept == [
        ("sessions", {"ivr.lookup": "timeout"}),
        ("sessions", {"ivr.lookup": "found"}),
        ("calls", {"app.a": 1}),
    ]
    times = [write["at_ms"] for write in shown["writes"]]
    assert 0 <= times[0] <= times[1] <= times[2] <= shown["age_ms"] < 60_000


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/calls", {}),
        ("POST", "/calls", {"persona": "nobody"}),
        ("POST", "/calls", {"persona": "premium", "from": "+4930"}),
        ("POST", "/calls", {"persona": "premium", "colour": "blue"}),
        ("POST", "/calls", {"persona": "premium", "keys": "abc"}),
        ("POST", "/calls", {"persona": "premium", "hangup_after_ms": -1}),
        ("POST", "/calls", {"anonymous": "yes"}),
        ("POST", "/calls", ["premium"]),
        ("PUT", "/faults", {"fax": {}}),
        ("PUT", "/faults", {"platform": {"state": 503}}),
        ("PUT", "/faults", {"platform": {"status": 200}}),
        ("PUT", "/faults", {"platform": {"status": 503, "answer": "html"}}),
        ("PUT", "/faults", {"platform": {"retry_after_s": 1}}),
        ("PUT", "/faults", {"crm": {"delay_ms": "fast"}}),
        ("PUT", "/faults", {"crm": {"call_id_is_session": True}}),
        ("PUT", "/faults", {"smtp": {"mode": "sulk"}}),
        ("PUT", "/faults", {"smtp": {"mode": "drop", "times": 0}}),
    ],
)
async def test_a_bad_control_is_a_problem_and_has_no_effect(
    client: Client, method: str, path: str, body: object
) -> None:
    url = f"{client.sandbox.base_url}/_sandbox{path}"
    async with client.http.request(method, url, json=body) as answer:
        assert answer.status == 400
        assert answer.content_type == "application/problem+json"
        problem = await answer.json()
    assert problem["status"] == 400
    assert problem["code"] in {"invalid_body", "unknown_persona"}
    assert problem["detail"]
    assert list(client.sandbox.state.calls) == []
    assert client.sandbox.state.faults.plan.model_dump(exclude_defaults=True) == {}


async def test_a_control_that_is_no_json_is_a_problem(client: Client) -> None:
    status, problem = await client.control("PUT", "/faults", data=b"{")
    assert (status, problem["code"]) == (400, "invalid_body")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/calls/x"), ("POST", "/calls/x/hangup"), ("GET", "/nothing")]
)
async def test_a_control_of_nothing_is_a_404_problem(
    client: Client, method: str, path: str
) -> None:
    status, problem = await client.control(method, path)
    assert (status, problem["status"]) == (404, 404)


async def test_reset_forgets_calls_messages_and_faults_but_no_token(client: Client) -> None:
    call = await client.call(persona="premium")
    await client.platform("POST", "/sms", {"to": "+491713920001", "text": "Hello"})
    grant = {
        "grant_type": "client_credentials",
        "client_id": credentials.CLIENT_ID,
        "client_secret": credentials.CLIENT_SECRET,
    }
    _, token = await client.send("POST", "/oauth/token", data=grant)
    await client.faults(platform={"status": 503})
    assert (await client.control("POST", "/reset"))[0] == 200
    assert (await client.control("GET", f"/calls/{call['call_id']}"))[0] == 404
    assert (await client.platform("GET", f"/sessions/{call['session_id']}"))[0] == 404
    assert (await client.control("GET", "/outbox"))[1] == {"messages": []}
    bearer = {"Authorization": f"Bearer {token['access_token']}"}
    assert (await client.send("GET", "/api/v2/ping", headers=bearer))[0] == 200


async def test_the_crm_shows_a_customer_but_not_his_reference(client: Client) -> None:
    answer = await client.crm(phone="+493023125042")
    customer = {
        "id": "premium-042",
        "email": "premium-042@example.com",
        "premium": True,
        "track_id": "TRK-PREMIUM-042",
        "name": "Carla Graf",
        "language": "de",
        "phones": ["+493023125042"],
        "push_tokens": [],
    }
    assert answer == (200, {"customers": [customer]})
    assert await client.crm(reference="2001042") == answer


async def test_the_crm_answers_an_empty_list_for_nobody(client: Client) -> None:
    assert await client.crm(phone="+494066969042") == (200, {"customers": []})


async def test_the_crm_shows_both_customers_of_a_shared_number(client: Client) -> None:
    _, answer = await client.crm(phone="+492214710042")
    assert [found["id"] for found in answer["customers"]] == [
        "shared-premium-042",
        "shared-standard-042",
    ]


async def test_the_crm_is_slow_where_the_fixture_says_so(client: Client) -> None:
    slow = client.sandbox.state.fixture.by_phone("+498999998042").after_s
    begun = time.monotonic()
    await client.crm(phone="+498999998042")
    assert time.monotonic() - begun >= slow > 0


@pytest.mark.parametrize("query", [{}, {"name": "Graf"}, {"phone": "1", "reference": "2"}])
async def test_the_crm_wants_exactly_one_key(client: Client, query: dict[str, str]) -> None:
    assert (await client.crm(**query))[0] == 400


async def test_the_crm_wants_its_own_token(client: Client) -> None:
    for token in ("", f"Bearer {credentials.PLATFORM_TOKEN}"):
        headers = {"Authorization": token}
        status, _ = await client.send("GET", "/crm/customers?phone=1", headers=headers)
        assert status == 401


async def test_an_order_page_says_which_order_and_nothing_about_the_person(
    client: Client,
) -> None:
    async with client.http.get(f"{client.sandbox.base_url}/track/TRK-STANDARD-042") as page:
        text = await page.text()
        assert (page.status, page.content_type) == (200, "text/html")
    assert "TRK-STANDARD-042" in text
    assert "Graf" not in text
    assert "@" not in text


async def test_the_page_of_no_order_does_not_repeat_the_address(client: Client) -> None:
    async with client.http.get(f"{client.sandbox.base_url}/track/<b>x") as page:
        assert page.status == 404
        assert "<b>" not in await page.text()


async def test_a_status_fault_counts_and_has_no_effect(client: Client) -> None:
    call = await client.call(persona="premium")
    path = f"/sessions/{call['session_id']}"
    await client.faults(platform={"status": 503, "times": 2})
    for _ in range(2):
        assert (await client.platform("PUT", path, {"ivr.a": "b"}))[0] == 503
    _, answer = await client.platform("GET", path)
    assert answer["item"]["data"] == {}


async def test_a_fault_can_be_meant_for_some_paths_only(client: Client) -> None:
    call = await client.call(persona="premium")
    await client.faults(platform={"status": 429, "retry_after_s": 3, "path": "/api/v2/sessions/"})
    assert (await client.platform("GET", f"/calls/{call['call_id']}"))[0] == 200
    url = f"{client.sandbox.base_url}/api/v2/sessions/{call['session_id']}"
    async with client.http.get(url) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "3")


async def test_faults_of_one_part_leave_the_others_alone(client: Client) -> None:
    await client.faults(crm={"status": 500})
    assert (await client.crm(phone="+493023125042"))[0] == 500
    assert (await client.platform("GET", "/ping"))[0] == 200
    await client.faults()
    assert (await client.crm(phone="+493023125042"))[0] == 200


async def test_a_token_request_can_fail_too(client: Client) -> None:
    await client.faults(platform={"status": 500, "path": "/oauth"})
    assert (await client.send("POST", "/oauth/token"))[0] == 500


async def test_an_answer_can_come_late(client: Client) -> None:
    await client.faults(crm={"delay_ms": 60})
    begun = time.monotonic()
    await client.crm(phone="+493023125042")
    assert time.monotonic() - begun >= 0.06


async def test_a_reset_connection_has_no_effect(client: Client) -> None:
    call = await client.call(persona="premium")
    await client.faults(platform={"answer": "reset"})
    with pytest.raises(ClientError):
        await client.platform("PUT", f"/sessions/{call['session_id']}", {"ivr.a": "b"})
    _, shown = await client.control("GET", f"/calls/{call['call_id']}")
    assert shown["variables"] == {}


async def test_an_answer_cut_short_has_taken_effect(client: Client) -> None:
    call = await client.call(persona="premium")
    await client.faults(platform={"answer": "cut"})
    with pytest.raises(ClientPayloadError):
        await client.platform("PUT", f"/sessions/{call['session_id']}", {"ivr.a": "b"})
    _, shown = await client.control("GET", f"/calls/{call['call_id']}")
    assert shown["variables"] == {"ivr.a": "b"}


async def test_a_page_can_come_instead_of_json(client: Client) -> None:
    await client.faults(crm={"answer": "html"})
    async with client.http.get(f"{client.sandbox.base_url}/crm/customers") as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")


async def test_a_write_can_be_unsuccessful_under_a_200(client: Client) -> None:
    call = await client.call(persona="premium")
    await client.faults(platform={"answer": "unsuccessful", "times": 1})
    path = f"/sessions/{call['session_id']}"
    assert await client.platform("PUT", path, {"ivr.a": "b"}) == (200, {"success": False})
    assert (await client.platform("GET", path))[1]["item"]["data"] == {}

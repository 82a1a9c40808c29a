"""The stand-in of the phone platform, as a client of the babelforce API meets it."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from broker.sandbox import credentials
from broker.sandbox.server import running_sandbox
from tests.timely import sometimes

if TYPE_CHECKING:
    from tests.integration.sandbox.conftest import Client

PASSWORD_GRANT = {
    "grant_type": "password",
    "client_id": credentials.PUBLIC_CLIENT,
    "username": credentials.USERNAME,
    "password": credentials.PASSWORD,
}
CLIENT_GRANT = {
    "grant_type": "client_credentials",
    "client_id": credentials.CLIENT_ID,
    "client_secret": credentials.CLIENT_SECRET,
}


@pytest.mark.parametrize("grant", [PASSWORD_GRANT, CLIENT_GRANT])
async def test_a_good_grant_gives_a_token_that_opens_the_api(
    client: Client, grant: dict[str, str]
) -> None:
    status, token = await client.send("POST", "/oauth/token", data=grant)
    assert (status, token["token_type"], token["expires_in"]) == (200, "bearer", 43_200)
    bearer = {"Authorization": f"Bearer {token['access_token']}"}
    assert (await client.send("GET", "/api/v2/ping", headers=bearer))[0] == 200


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"password": "wrong"}, "invalid_grant"),
        ({"client_id": "somebody"}, "invalid_client"),
        ({"grant_type": "client_credentials"}, "invalid_client"),
        ({"grant_type": "refresh_token"}, "unsupported_grant_type"),
    ],
)
async def test_a_bad_grant_is_400_with_the_oauth_error(
    client: Client, change: dict[str, str], error: str
) -> None:
    status, body = await client.send("POST", "/oauth/token", data=PASSWORD_GRANT | change)
    assert (status, body["error"]) == (400, error)
    assert body["error_description"]


async def test_a_grant_sent_as_json_is_not_read(client: Client) -> None:
    status, body = await client.send("POST", "/oauth/token", PASSWORD_GRANT)
    assert (status, body["error"]) == (400, "invalid_request")


async def test_an_expired_token_is_refused(client: Client) -> None:
    _, token = await client.send("POST", "/oauth/token", data=PASSWORD_GRANT)
    client.sandbox.state.tokens[token["access_token"]] = 0
    bearer = {"Authorization": f"Bearer {token['access_token']}"}
    assert (await client.send("GET", "/api/v2/ping", headers=bearer))[0] == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": f"Basic {credentials.PLATFORM_TOKEN}"},
        {"Authorization": f"Bearer {credentials.CRM_TOKEN}"},
        {"X-Auth-Access-Id": "a", "X-Auth-Access-Token": credentials.PLATFORM_TOKEN},
    ],
)
async def test_without_a_bearer_token_the_api_stays_shut(
    client: Client, headers: dict[str, str]
) -> None:
    call = await client.call(persona="premium")
    status, body = await client.send("GET", f"/api/v2/calls/{call['call_id']}", headers=headers)
    assert (status, body["code"]) == (401, "UNAUTHORIZED")
    assert body["message"]


async def test_a_call_has_three_different_ids_of_32_hex_digits(client: Client) -> None:
    call = await client.call(persona="premium")
    _, answer = await client.platform("GET", f"/calls/{call['call_id']}")
    item = answer["item"]
    ids = [item["id"], item["sessionId"], item["conversationId"]]
    assert ids == [call["call_id"], call["session_id"], call["conversation_id"]]
    assert len(set(ids)) == 3
    assert all(re.fullmatch(r"[0-9a-f]{32}", one) for one in ids)


async def test_a_live_call_is_in_progress_and_shows_its_numbers(client: Client) -> None:
    call = await client.call(persona="premium", to="+493023125999")
    _, answer = await client.platform("GET", f"/calls/{call['call_id']}")
    item = answer["item"]
    assert (item["state"], item["type"], item["anonymous"]) == ("in-progress", "inbound", False)
    assert (item["from"], item["to"]) == (call["from"], "+493023125999")
    assert "dateFinished" not in item


async def test_a_withheld_call_shows_no_number(client: Client) -> None:
    call = await client.call(persona="premium", anonymous=True)
    _, answer = await client.platform("GET", f"/calls/{call['call_id']}")
    assert (answer["item"]["from"], answer["item"]["anonymous"]) == ("anonymous", True)


@pytest.mark.parametrize("path", ["/calls/{}", "/sessions/{}", "/sms/{}", "/metrics/{}", "/x/{}"])
async def test_what_does_not_exist_is_404_with_the_platforms_error_body(
    client: Client, path: str
) -> None:
    status, body = await client.platform("GET", path.format("0" * 32))
    assert (status, body["code"]) == (404, "NOT_FOUND")


async def test_a_session_answers_only_to_its_own_id(client: Client) -> None:
    call = await client.call(persona="premium")
    hyphenated = str(UUID(call["session_id"]))
    for wrong in (call["call_id"], call["conversation_id"], hyphenated):
        assert (await client.platform("GET", f"/sessions/{wrong}"))[0] == 404
        assert (await client.platform("PUT", f"/sessions/{wrong}", {"ivr.route": "x"}))[0] == 404
    assert (await client.platform("GET", f"/sessions/{call['session_id']}"))[0] == 200


async def test_the_call_id_can_be_made_to_work_as_session_id(client: Client) -> None:
    call = await client.call(persona="premium")
    await client.faults(platform={"call_id_is_session": True})
    status, answer = await client.platform("PUT", f"/sessions/{call['call_id']}", {"ivr.a": "b"})
    assert (status, answer["item"]["id"]) == (200, call["session_id"])
    assert await variables(client, call) == {"ivr.a": "b"}


async def test_session_writes_merge(client: Client) -> None:
    call = await client.call(persona="premium")
    path = f"/sessions/{call['session_id']}"
    await client.platform("PUT", path, {"ivr.email": "a@example.com", "ivr.premium": False})
    _, answer = await client.platform("PUT", path, {"ivr.premium": True})
    merged = {"ivr.email": "a@example.com", "ivr.premium": True}
    assert answer["success"] is True
    assert answer["item"]["valid"] is True
    assert answer["item"]["data"] == merged
    assert await variables(client, call) == merged


async def test_two_calls_do_not_share_a_session(client: Client) -> None:
    one, other = await client.call(persona="premium"), await client.call(persona="premium")
    await client.platform("PUT", f"/sessions/{one['session_id']}", {"ivr.a": "b"})
    assert await variables(client, other) == {}


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ("flat", {"ivr.route": "premium", "x": 1}),
        ("nested", {"ivr": {"route": "premium"}, "x": 1}),
        ("text", '{"ivr.route": "premium", "x": 1}'),
    ],
)
async def test_a_session_can_be_shown_in_every_form_that_the_vendor_leaves_open(
    client: Client, form: str, shown: object
) -> None:
    call = await client.call(persona="premium")
    path = f"/sessions/{call['session_id']}"
    await client.platform("PUT", path, {"ivr.route": "premium", "x": 1})
    await client.faults(platform={"session_data": form})
    _, answer = await client.platform("GET", path)
    assert answer["item"]["data"] == shown


@pytest.mark.parametrize("body", [["ivr.a"], "text", 1])
async def test_a_session_write_that_is_no_object_is_400(client: Client, body: object) -> None:
    call = await client.call(persona="premium")
    status, answer = await client.platform("PUT", f"/sessions/{call['session_id']}", body)
    assert (status, answer["code"]) == (400, "BAD_REQUEST")


async def test_a_session_write_that_is_no_json_is_400(client: Client) -> None:
    call = await client.call(persona="premium")
    status, _ = await client.platform("PUT", f"/sessions/{call['session_id']}", data=b"\xff{")
    assert status == 400


async def test_the_calls_endpoint_keeps_app_variables_only_and_says_success(client: Client) -> None:
    call = await client.call(persona="premium")
    sent = {"variables": {"app.a": 1, "ivr.b": 2}}
    answer = await client.platform("PUT", f"/calls/{call['call_id']}/session/set", sent)
    assert answer == (200, {"success": True})
    assert await variables(client, call) == {"app.a": 1}


async def test_after_the_hang_up_a_session_is_invalid_and_keeps_nothing(client: Client) -> None:
    call = await client.call(persona="premium")
    await client.control("POST", f"/calls/{call['call_id']}/hangup")
    for method in ("GET", "PUT"):
        path = f"/sessions/{call['session_id']}"
        status, answer = await client.platform(method, path, {"ivr.a": "late"})
        assert (status, answer["item"]["valid"]) == (200, False)
        assert answer["item"]["data"] == {}
    _, shown = await client.control("GET", f"/calls/{call['call_id']}")
    assert [write["kept"] for write in shown["writes"]] == [False]


async def test_hanging_up_ends_the_call_once(client: Client) -> None:
    call = await client.call(persona="premium")
    path = f"/calls/{call['call_id']}/hangup"
    _, first = await client.platform("POST", path)
    assert (first["success"], first["item"]["state"]) == (True, "completed")
    assert first["item"]["finishReason"] == "system-hangup"
    assert first["item"]["dateFinished"]
    status, second = await client.platform("POST", path)
    assert (status, second["success"]) == (200, False)


async def test_a_call_can_end_by_itself(client: Client) -> None:
    async def alive_at_first() -> bool:
        call = await client.call(persona="premium", hangup_after_ms=40)
        path = f"/sessions/{call['session_id']}"
        valid = (await client.platform("GET", path))[1]["item"]["valid"]
        async with asyncio.timeout(20):
            while (await client.platform("GET", path))[1]["item"]["valid"]:
                await asyncio.sleep(0.01)
        return bool(valid)

    assert await sometimes(alive_at_first)


async def test_a_standalone_session_can_be_written_and_read_back(client: Client) -> None:
    _, created = await client.platform("POST", "/sessions")
    path = f"/sessions/{created['item']['id']}"
    await client.platform("PUT", path, {"ivr.probe": "1"})
    _, answer = await client.platform("GET", path)
    assert answer["item"]["data"] == {"ivr.probe": "1"}


async def listed(client: Client, query: str) -> tuple[list[str], dict[str, Any]]:
    status, answer = await client.platform("GET", f"/calls/reporting?{query}")
    assert status == 200
    return [item["id"] for item in answer["items"]], answer["pagination"]


async def test_active_calls_are_listed_until_they_end(client: Client) -> None:
    live, over = await client.call(persona="premium"), await client.call(persona="standard")
    await client.control("POST", f"/calls/{over['call_id']}/hangup")
    assert (await listed(client, "state=in-progress"))[0] == [live["call_id"]]
    assert (await listed(client, "filters.state=completed"))[0] == [over["call_id"]]
    both = {live["call_id"], over["call_id"]}
    assert set((await listed(client, "state=in-progress&state=completed"))[0]) == both


@pytest.mark.parametrize("name", ["from", "fromNumber", "filters.from"])
@pytest.mark.parametrize("plus", ["%2B", ""])
async def test_calls_are_found_by_caller_with_or_without_plus(
    client: Client, name: str, plus: str
) -> None:
    wanted = await client.call(persona="premium")
    await client.call(persona="standard")
    found, _ = await listed(client, f"{name}={plus}{wanted['from'].lstrip('+')}")
    assert found == [wanted["call_id"]]


async def test_calls_are_found_by_the_number_dialled(client: Client) -> None:
    wanted = await client.call(persona="premium", to="+493023125999")
    await client.call(persona="premium")
    assert (await listed(client, "to=493023125999"))[0] == [wanted["call_id"]]


async def test_the_list_of_calls_comes_in_pages_newest_first(client: Client) -> None:
    first, second, third = [(await client.call(persona="premium"))["call_id"] for _ in range(3)]
    assert (await listed(client, "max=2"))[0] == [third, second]
    rest, pagination = await listed(client, "max=2&page=2")
    assert rest == [first]
    assert (pagination["pages"], pagination["total"], pagination["current"]) == (2, 3, 2)


@pytest.mark.parametrize("query", ["page=0", "max=none", "max=-1"])
async def test_a_page_that_is_no_number_is_400(client: Client, query: str) -> None:
    assert (await client.platform("GET", f"/calls/reporting?{query}"))[0] == 400


async def test_an_sms_is_queued_lands_in_the_outbox_and_is_sent(client: Client) -> None:
    message = {"to": "+491713920001", "text": "Hello", "session": {"app.case": "7"}}
    status, answer = await client.platform("POST", "/sms", message)
    assert (status, answer["item"]["state"]) == (200, "queued")
    _, later = await client.platform("GET", f"/sms/{answer['item']['id']}")
    assert (later["item"]["state"], later["item"]["text"]) == ("sent", "Hello")
    _, box = await client.control("GET", "/outbox?to=%2B491713920001")
    (kept,) = box["messages"]
    assert (kept["kind"], kept["text"], kept["session"]) == ("sms", "Hello", {"app.case": "7"})


@pytest.mark.parametrize("body", [{"to": "+491713920001"}, {"text": "Hello"}, {"to": 1, "text": 2}])
async def test_an_sms_without_recipient_or_text_is_400(client: Client, body: object) -> None:
    assert (await client.platform("POST", "/sms", body))[0] == 400
    assert not client.sandbox.state.outbox


async def test_metrics_and_business_hours_say_that_somebody_is_there(client: Client) -> None:
    _, metric = await client.platform("GET", "/metrics/agents.state.available.total")
    assert metric["metric"]["value"] > 0
    _, hours = await client.platform("GET", "/business-hours")
    assert [profile["active"] for profile in hours["items"]] == [True]


async def test_two_sandboxes_share_nothing(client: Client) -> None:
    call = await client.call(persona="premium")
    async with running_sandbox() as other:
        assert other.state.calls.get(call["call_id"]) is None


async def variables(client: Client, call: dict[str, Any]) -> dict[str, Any]:
    _, shown = await client.control("GET", f"/calls/{call['call_id']}")
    kept: dict[str, Any] = shown["variables"]
    return kept

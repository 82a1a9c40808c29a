"""What may be sent, and what is refused: each with its code, and no other call the worse for it."""

from __future__ import annotations

import asyncio
import gzip
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import uuid4

import aiohttp
import pytest

from tests.timely import timely

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.service.conftest import Service

REFUSED_WITHIN_S = 0.35
"""The promise is 200 ms; a busy test machine gets some more."""
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
HOSTILE_IDS = ["../users/1", "%2e%2e", "a/b", "a?b", "a b", "x\x00y", "ä", "a" * 65, "1" * 10_000]


@pytest.mark.parametrize("hostile", HOSTILE_IDS)
@pytest.mark.parametrize("field", ["call_id", "session_id", "parent_id", "agent_id"])
async def test_hostile_id_is_refused_before_anything_is_sent(
    service: Service, field: str, hostile: str
) -> None:
    body = {"call_id": uuid4().hex, "from": "+493023125001", field: hostile}
    status, answer = await service.post("/v1/calls", body)
    assert (status, answer["code"]) == (400, "invalid_id")
    assert hostile not in str(answer)
    assert (await service.get("/v1/calls"))[1]["calls"] == []
    assert "broker_lookups_total{" not in await _metrics(service), "a CRM was asked"


@pytest.mark.parametrize("hostile", ["..%2fusers", "%2e%2e", "a%00b", "a%3fb", "%f0%9f%93%9e"])
async def test_hostile_id_in_the_address_is_refused(service: Service, hostile: str) -> None:
    async with service.http.post(f"{service.url}/v1/calls/{hostile}/end") as response:
        assert response.status in {400, 404}


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"no json", "invalid_body"),
        (b'{"call_id": "a"', "invalid_body"),
        (b'["call_id"]', "invalid_body"),
        (b'{"call_id": "a", "call_id": "b"}', "invalid_body"),
        (b'{"call_id": "a", "x": ' + b"[" * 17 + b"]" * 17 + b"}", "invalid_body"),
        (b'{"call_id": "a", "x": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", "invalid_body"),
        (b'{"call_id": "a", "x": NaN}', "invalid_body"),
        (b'{"call_id": "a", "anonymous": "perhaps"}', "invalid_body"),
        (b'{"call_id": "a", "from": {"number": 1}}', "invalid_body"),
        (b'{"call_id": "a", "from": "' + b"1" * 300 + b'"}', "invalid_body"),
        (b'{"call_id": 12}', "invalid_id"),
        (b'{"call_id": "a", "from": "\\ud800"}', "invalid_body"),
        (b'{"call_id": "a", "\\ud800": 1}', "invalid_body"),
        (b'{"call_id": "a", "n": 99999999999999999999}', "invalid_body"),
        (b"\xff\xfe{}", "invalid_body"),
        (b"{}", "missing_field"),
        (b"", "missing_field"),
        (b'{"call_id": ""}', "missing_field"),
        (b'{"call_id": null}', "missing_field"),
        (b'{"call_id": "{call.id}"}', "missing_field"),
        (
            b'{"call_id": "a", ' + b",".join(b'"k%d":1' % i for i in range(201)) + b"}",
            "invalid_body",
        ),
    ],
)
async def test_body_that_cannot_be_read_is_refused_with_its_code(
    service: Service, raw: bytes, code: str
) -> None:
    status, answer = await service.post("/v1/calls", data=raw, headers=JSON)
    assert (status, answer["code"]) == (400, code)
    assert answer["status"] == 400


async def test_form_carries_the_same_fields_as_json(service: Service) -> None:
    call = await service.rings("premium")
    form = {"call_id": call["call_id"], "session_id": call["session_id"], "from": call["from"]}
    status, answer = await service.post("/v1/calls?wait_ms=3000", data=form, headers=FORM)
    assert (status, answer["route"]) == (200, "premium")


async def test_json_form_and_query_tell_the_same_call(service: Service) -> None:
    """Without clients of its own the service takes queries, too."""
    kept = []
    for encoding in ("json", "form", "query"):
        call = await service.rings("premium")
        told = {name: call[name] for name in ("call_id", "session_id", "from", "to")} | {
            "topic": "x"
        }
        path = "/v1/calls?wait_ms=3000"
        how: dict[str, Any] = {"data": told, "headers": FORM}
        if encoding == "json":
            how = {"json": told}
        elif encoding == "query":
            path, how = f"{path}&{urlencode(told)}", {"data": b""}
        async with service.http.post(service.url + path, **how) as response:
            assert response.status == 200
        _, seen = await service.get(f"/v1/calls/{call['call_id']}")
        assert seen["session_id"] == call["session_id"]
        kept.append({name: seen[name] for name in ("lookup", "called", "data")})
    assert kept[0] == kept[1] == kept[2]
    assert kept[0]["data"].keys() == {"topic"}


async def test_the_platforms_buckets_may_come_as_they_are(serve: Callable[..., Any]) -> None:
    """`call` when somebody rings; `agent` and `queue` besides when an agent's leg begins."""
    fields = {
        "call_id": "call.id",
        "session_id": "call.sessionId",
        "from": "call.from.number",
        "parent_id": "call.parentId",
        "agent_id": "agent.id",
    }
    async with serve(inbound={"fields": fields}) as service:
        call = await service.rings("premium")
        caller = {"number": call["from"]}
        about = {"id": call["call_id"], "sessionId": call["session_id"], "from": caller}
        inbound = {"call": about | {"dateCreated": 1795276800}, "queue.name": "orders"}
        status, answer = await service.post("/v1/calls?wait_ms=3000", inbound)
        assert (status, answer["route"]) == (200, "premium")
        leg = {"call": {"id": uuid4().hex, "parentId": call["call_id"]}, "agent": {"id": "a7"}}
        bridged = leg | {"queue": {"name": "orders"}}
        assert (await service.post("/v1/calls", bridged))[1]["call_id"] == call["call_id"]
        _, seen = await service.get(f"/v1/calls/{call['call_id']}")
        assert (seen["session_id"], list(seen["data"])) == (call["session_id"], ["queue.name"])


async def test_json_that_is_called_a_form_is_still_json(service: Service) -> None:
    raw = b'{"call_id": "' + uuid4().hex.encode() + b'"}'
    status, _ = await service.post("/v1/calls", data=raw, headers=FORM)
    assert status == 202


async def test_too_large_a_body_is_refused_by_its_length_before_it_comes(
    service: Service,
) -> None:
    reader, writer = await asyncio.open_connection(*_address(service))
    writer.write(b"POST /v1/calls HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
    async with asyncio.timeout(5):  # who waits for the body hears of its own time limit
        head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413")
    writer.close()


async def test_too_large_a_body_without_length_is_refused(service: Service) -> None:
    async def endless() -> Any:
        for _ in range(100):
            yield b"x" * 1000

    status, answer = await service.post("/v1/calls", data=endless(), headers=JSON)
    assert (status, answer["code"]) == (413, "too_large")


async def test_encoded_body_is_refused(service: Service) -> None:
    packed = gzip.compress(b'{"call_id": "a"}')
    status, answer = await service.post(
        "/v1/calls", data=packed, headers={**JSON, "Content-Encoding": "gzip"}
    )
    assert (status, answer["code"]) == (415, "encoding")


async def test_address_that_does_not_exist_and_wrong_method_are_problems_too(
    service: Service,
) -> None:
    assert (await service.get("/v2/calls"))[1]["code"] == "not_found"
    status, answer = await service.get(f"/v1/calls/{uuid4().hex}/end")
    assert (status, answer["code"]) == (405, "method_not_allowed")
    assert (await service.get(f"/v1/calls/{uuid4().hex}"))[1]["code"] == "unknown_call"
    unknown = await service.post(f"/v1/calls/{uuid4().hex}/tracking-email", {})
    assert (unknown[0], unknown[1]["code"]) == (404, "unknown_call")


@pytest.mark.parametrize(
    "query",
    [
        *("limit=-1", "limit=x", "limit=0", "state=over"),
        *("cursor=abc", "cursor=1", "cursor=-1", "cursor=1e308-a", "cursor=1-", "cursor=1-a%2Fb"),
    ],
)
async def test_odd_list_query_is_refused(service: Service, query: str) -> None:
    assert (await service.get(f"/v1/calls?{query}"))[0] == 400


async def test_fields_may_have_the_names_the_ivr_gives_them(serve: Callable[..., Any]) -> None:
    fields = {"call_id": "Details.ContactData.ContactId", "from": "caller"}
    async with serve(inbound={"fields": fields}) as service:
        call = await service.rings("premium")
        body = {"Details": {"ContactData": {"ContactId": call["call_id"]}}, "caller": call["from"]}
        status, answer = await service.post("/v1/calls?wait_ms=3000", body)
        assert (status, answer["route"]) == (200, "premium")


async def test_id_may_come_in_the_body_where_the_address_cannot_hold_it(service: Service) -> None:
    call, _ = await service.starts("premium")
    status, answer = await service.post("/v1/calls/_/end", {"call_id": call["call_id"]})
    assert (status, answer["call_id"]) == (200, call["call_id"])
    assert (await service.post("/v1/calls/_/end", {}))[1]["code"] == "missing_field"


async def test_same_idempotency_key_with_other_content_is_refused(service: Service) -> None:
    body = {"call_id": uuid4().hex, "from": "+494066969001"}
    headers = {"Idempotency-Key": uuid4().hex}
    assert (await service.post("/v1/calls", body, headers=headers))[0] == 202
    assert (await service.post("/v1/calls", body, headers=headers))[0] == 202
    other = {**body, "from": "+494066969002"}
    status, answer = await service.post("/v1/calls", other, headers=headers)
    assert (status, answer["code"]) == (409, "idempotency_conflict")


CLIENTS = {
    "ivr": {"key": "ivr-key-of-sixteen", "scopes": ["calls"]},
    "desk": {"key": "desk-key-of-sixteen", "scopes": ["read"]},
    "boss": {"key": "boss-key-of-sixteen", "scopes": ["read", "admin"]},
    "plain": {"key": "plain-key-of-sixteen", "scopes": ["calls"], "allow_query": True},
}


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer ivr-key-of-sixteen"},
        {"Authorization": "Key ivr-key-of-sixteen"},
        {"X-Api-Key": "ivr-key-of-sixteen"},
        {"Authorization": aiohttp.encode_basic_auth("anybody", "ivr-key-of-sixteen")},
    ],
)
async def test_key_is_taken_in_every_header_an_ivr_can_send(
    serve: Callable[..., Any], headers: dict[str, str]
) -> None:
    async with serve(server={"clients": CLIENTS}) as service:
        status, _ = await service.post("/v1/calls", {"call_id": uuid4().hex}, headers=headers)
        assert status == 202


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong-key-of-sixteen"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Bearer"},
        {"X-Api-Key": "\u00e4"},
    ],
)
async def test_wrong_key_is_refused_without_effect(
    serve: Callable[..., Any], headers: dict[str, str]
) -> None:
    async with serve(server={"clients": CLIENTS}) as service:
        call_id = uuid4().hex
        status, answer = await service.post("/v1/calls", {"call_id": call_id}, headers=headers)
        assert (status, answer["code"]) == (401, "unauthorized")
        boss = {"X-Api-Key": "boss-key-of-sixteen"}
        assert (await service.get(f"/v1/calls/{call_id}", headers=boss))[0] == 404


async def test_key_in_the_query_works_only_for_who_may(serve: Callable[..., Any]) -> None:
    async with serve(server={"clients": CLIENTS}) as service:
        query = f"call_id={uuid4().hex}&from=%2B494066969001"
        status, _ = await service.post(f"/v1/calls?key=plain-key-of-sixteen&{query}", data=b"")
        assert status == 202
        status, _ = await service.post(f"/v1/calls?key=ivr-key-of-sixteen&{query}", data=b"")
        assert status == 401


async def test_scope_decides_what_a_key_may_do_and_see(serve: Callable[..., Any]) -> None:
    async with serve(server={"clients": CLIENTS}) as service:
        call = await service.rings("premium")
        body = {"call_id": call["call_id"], "session_id": call["session_id"], "from": call["from"]}
        ivr, desk, boss = (
            {"X-Api-Key": f"{name}-key-of-sixteen"} for name in ("ivr", "desk", "boss")
        )
        await service.post("/v1/calls?wait_ms=3000", body, headers=ivr)
        path = f"/v1/calls/{call['call_id']}"
        assert (await service.get(path, headers=ivr))[1]["code"] == "scope"
        assert (await service.post(f"{path}/end", {}, headers=desk))[1]["code"] == "scope"
        _, masked = await service.get(path, headers=desk)
        _, plain = await service.get(path, headers=boss)
        assert plain["variables"]["ivr.email"] == call["email"]
        assert plain["caller"] == call["from"]
        assert call["email"] not in str(masked)
        assert call["from"] not in str(masked)
        assert masked["variables"]["ivr.route"] == "premium"


async def test_store_that_is_away_refuses_the_call_within_200_ms(
    serve: Callable[..., Any],
) -> None:
    async with serve(store={"url": "redis://127.0.0.1:1/0"}) as service:

        async def refused() -> tuple[aiohttp.ClientResponse, dict[str, Any]]:
            url, body = f"{service.url}/v1/calls", {"call_id": uuid4().hex}
            async with service.http.post(url, json=body) as response:
                return response, await response.json(content_type=None)

        response, answer = await timely(refused, REFUSED_WITHIN_S)
        assert (response.status, answer["code"]) == (503, "store_unavailable")
        assert response.headers["Retry-After"] == "1"
        assert (await service.get("/livez"))[0] == 200
        status, ready = await service.get("/readyz")
        assert (status, ready["store"]) == (503, "down")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", {"call_id": "a1", "from": "+493023125001"}),
        ("", {"call_id": "a1", "parent_id": "a2"}),
        ("/a1/reference", {"reference": "1234567"}),
        ("/a1/tracking-email", {}),
        ("/a1/end", {}),
    ],
)
async def test_store_that_hangs_refuses_every_request_within_200_ms(
    serve: Callable[..., Any], path: str, body: dict[str, Any]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # the kernel connects, nobody answers
        url = f"redis://127.0.0.1:{hanging.getsockname()[1]}/0"
        async with serve(store={"url": url}) as service:
            headers = {"Idempotency-Key": "k1"}
            status, answer = await timely(
                lambda: service.post(f"/v1/calls{path}", body, headers=headers), REFUSED_WITHIN_S
            )
        assert (status, answer["code"]) == (503, "store_unavailable")


async def test_reference_of_a_child_leg_opens_no_call(service: Service) -> None:
    leg = {"parent_id": uuid4().hex, "reference": "1234567"}
    status, answer = await service.post(f"/v1/calls/{uuid4().hex}/reference", leg)
    assert (status, answer["state"]) == (202, "ignored")
    assert (await service.get(f"/v1/calls/{leg['parent_id']}"))[0] == 404


async def test_metrics_count_calls_without_naming_callers(service: Service) -> None:
    call, _ = await service.starts("premium")
    await service.post(f"/v1/calls/{call['call_id']}/end", {})
    text = await _metrics(service)
    assert 'broker_calls_total{outcome="premium",reason=""} 1.0' in text
    assert 'broker_lookups_total{lookup="found"} 1.0' in text
    assert call["from"] not in text
    assert call["call_id"] not in text


async def _metrics(service: Service) -> str:
    async with service.http.get(f"{service.url}/metrics") as response:
        return await response.text()


def _address(service: Service) -> tuple[str, int]:
    host, _, port = service.url.removeprefix("http://").partition(":")
    return host, int(port)

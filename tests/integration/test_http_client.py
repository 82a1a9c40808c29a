"""The outbound client against a real server that misbehaves."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from broker.domain.errors import BadInputError, BrokerError, PermanentError, TemporaryError
from broker.http_client import (
    Authorizer,
    FixedHeaders,
    JsonClient,
    Reply,
    ReplyLostError,
    UnauthorizedError,
    open_session,
)
from broker.testing.loopback import LOOPBACK
from broker.testing.scripted_server import (
    ScriptedServer,
    cut,
    drip,
    endless,
    hang,
    hang_mid_body,
    raw,
    reply,
    reset,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import aiohttp

    from broker.testing.scripted_server import Answer

CAP = 4096
SOON_S = 0.1
GRACE_S = 5.0
"""Far below what an answer would take that is waited for."""


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(LOOPBACK) as session:
        yield session


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
def client(http: aiohttp.ClientSession, server: ScriptedServer) -> JsonClient:
    return JsonClient(
        http, server.url, name="crm.shop", headers={"X-Team": "a"}, max_body_bytes=CAP
    )


async def failure(client: JsonClient, method: str = "GET", within: float = 2.0) -> BrokerError:
    with pytest.raises(BrokerError) as caught:
        await client.request(method, "/x", params={"phone": "+4930231"}, within=within)
    assert "4930231" not in str(caught.value)
    assert str(caught.value).startswith("crm.shop: ")
    return caught.value


def by_name(server: ScriptedServer) -> str:
    return server.url.replace("127.0.0.1", "localhost")


async def test_a_request_arrives_as_it_was_meant(
    client: JsonClient, server: ScriptedServer
) -> None:
    await client.request(
        "PUT", "/x/1", params={"q": "+49 30&a=b#c%"}, json={"name": "Zoë"}, headers={"X-Key": "k"}
    )
    asked = server.asked[0]
    assert asked.line == "PUT /x/1"
    assert asked.query == {"q": "+49 30&a=b#c%"}
    assert orjson.loads(asked.body) == {"name": "Zoë"}
    sent = {key.lower(): value for key, value in asked.headers.items()}
    assert sent["content-type"] == "application/json"
    assert sent["accept"] == "application/json"
    assert (sent["x-team"], sent["x-key"]) == ("a", "k")


async def test_a_form_arrives_as_a_form(client: JsonClient, server: ScriptedServer) -> None:
    await client.request("POST", "/t", form={"username": "a+b@example.com", "password": "ä &="})
    assert server.asked[0].body == b"username=a%2Bb%40example.com&password=%C3%A4+%26%3D"


async def test_a_reply_has_status_body_and_headers(
    client: JsonClient, server: ScriptedServer
) -> None:
    server.script.append(reply({"a": [1, None]}, 201, {"X-Rate": "7"}))
    got = await client.request("POST", "/x", json={})
    assert (got.status, got.body, got.headers["x-rate"]) == (201, {"a": [1, None]}, "7")


async def test_an_empty_body_is_none(client: JsonClient, server: ScriptedServer) -> None:
    server.script.append(raw(status=204))
    assert (await client.request("DELETE", "/x")).body is None


@pytest.mark.parametrize("body", [b"<html>Not found</html>", b"", b'{"code":"NOT_FOUND"}'])
async def test_an_expected_status_comes_back_whatever_its_body_is(
    client: JsonClient, server: ScriptedServer, body: bytes
) -> None:
    server.script.append(raw(body, 404))
    got = await client.request("GET", "/x", accept=frozenset({404}))
    assert got.status == 404
    assert got.body == ({"code": "NOT_FOUND"} if body.startswith(b"{") else None)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
async def test_these_may_work_later(
    client: JsonClient, server: ScriptedServer, status: int
) -> None:
    server.script.append(raw(b"<html>", status, {"Retry-After": "7"}))
    error = await failure(client)
    assert isinstance(error, TemporaryError)
    assert error.retry_after == 7.0
    assert str(status) in str(error)


@pytest.mark.parametrize("status", [300, 301, 304, 400, 401, 403, 404, 409, 410, 415, 422, 451])
async def test_these_never_will(client: JsonClient, server: ScriptedServer, status: int) -> None:
    server.script.append(raw(status=status, headers={"Retry-After": "7"}))
    assert isinstance(await failure(client), PermanentError)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(
    client: JsonClient, server: ScriptedServer, status: int
) -> None:
    server.script.append(raw(status=status, headers={"Location": "/elsewhere"}))
    assert isinstance(await failure(client), PermanentError)
    assert server.lines == ["GET /x"]


@pytest.mark.parametrize(
    "body", [b"<html>Welcome</html>", b'{"a":', b'{"a": NaN}', b"\xff\xfe", b"[" * 2000]
)
async def test_what_is_no_json_is_an_error(
    client: JsonClient, server: ScriptedServer, body: bytes
) -> None:
    server.script.append(raw(body))
    assert isinstance(await failure(client), PermanentError)


BOMB = gzip.compress(b" " * 50_000_000)


@pytest.mark.parametrize(
    "answer",
    [
        raw(b" " * (CAP + 1)),
        endless(),
        raw(BOMB, headers={"Content-Encoding": "gzip"}),
    ],
    ids=["large", "endless", "gzip bomb"],
)
async def test_a_body_over_the_cap_is_given_up_at_once(
    client: JsonClient, server: ScriptedServer, answer: Answer
) -> None:
    server.script.append(answer)
    began = time.monotonic()
    error = await failure(client, within=30.0)
    assert isinstance(error, PermanentError)
    assert f"more than {CAP} bytes" in str(error)
    assert time.monotonic() - began < GRACE_S


async def test_a_compressed_answer_is_read(client: JsonClient, server: ScriptedServer) -> None:
    packed = gzip.compress(b'{"a": 1}')
    server.script.append(raw(packed, headers={"Content-Encoding": "gzip"}))
    assert (await client.request("GET", "/x")).body == {"a": 1}


@pytest.mark.parametrize(
    "answer",
    [hang(), hang_mid_body({"a": 1}), drip({"a": "b" * 100}, 0.08)],
    ids=["silence", "silence within the body", "one byte at a time"],
)
async def test_the_deadline_is_one_for_everything(
    client: JsonClient, server: ScriptedServer, answer: Answer
) -> None:
    server.script.append(answer)
    began = time.monotonic()
    assert isinstance(await failure(client, within=SOON_S), TemporaryError)
    assert 0.9 * SOON_S < time.monotonic() - began < SOON_S + GRACE_S


async def test_a_server_that_is_down_may_be_up_later(client: JsonClient) -> None:
    async with ScriptedServer() as gone:
        url = gone.url
    down = JsonClient(client._http, url, name="crm.shop")
    error = await failure(down)
    assert isinstance(error, TemporaryError)
    assert not isinstance(error, ReplyLostError)


async def test_a_host_name_that_does_not_exist_may_exist_later(client: JsonClient) -> None:
    error = await failure(JsonClient(client._http, "http://broker.invalid", name="crm.shop"))
    assert isinstance(error, TemporaryError)


@pytest.mark.parametrize(
    ("method", "sent"), [("GET", 2), ("PUT", 2), ("DELETE", 2), ("POST", 1), ("PATCH", 1)]
)
async def test_a_broken_connection_says_whether_the_request_was_sent_twice(
    client: JsonClient, server: ScriptedServer, method: str, sent: int
) -> None:
    server.otherwise = reset()
    error = await failure(client, method)
    assert isinstance(error, ReplyLostError)
    assert error.repeated is (sent == 2)
    assert len(server.asked) == sent


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_connection_that_died_while_idle_costs_nothing(
    client: JsonClient, server: ScriptedServer, method: str
) -> None:
    await client.request(method, "/x")
    server.script.extend([reset(), reply({"a": 1})])
    assert (await client.request(method, "/x")).body == {"a": 1}


async def test_an_answer_that_breaks_off_may_be_whole_later(
    client: JsonClient, server: ScriptedServer
) -> None:
    server.script.append(cut({"a": 1}))
    assert isinstance(await failure(client), TemporaryError)
    assert len(server.asked) == 1


async def test_a_request_cut_by_the_caller_leaves_the_client_working(
    client: JsonClient, server: ScriptedServer
) -> None:
    server.script.append(hang())
    asking = asyncio.create_task(client.request("GET", "/x", within=60.0))
    async with asyncio.timeout(20):
        while not server.asked:
            await asyncio.sleep(0.005)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (await client.request("GET", "/x")).status == 200


@pytest.mark.parametrize("path", ["/sessions/../users/1", "/x?y=1", "/%2e%2e/x", "//x", "x"])
async def test_a_path_that_leads_elsewhere_sends_nothing(
    client: JsonClient, server: ScriptedServer, path: str
) -> None:
    with pytest.raises(BadInputError):
        await client.request("PUT", path, json={})
    assert server.asked == []


async def test_no_cookie_goes_from_one_request_to_the_next(
    client: JsonClient, server: ScriptedServer
) -> None:
    server.script.append(reply({}, headers={"Set-Cookie": "session=1; Path=/"}))
    named = JsonClient(client._http, by_name(server), name="crm.shop")
    await named.request("GET", "/x")
    await named.request("GET", "/x")
    assert "Cookie" not in server.asked[1].headers


async def test_proxies_of_the_environment_are_ignored(
    client: JsonClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert (await client.request("GET", "/x")).status == 200


async def test_names_are_resolved_without_threads(
    client: JsonClient, server: ScriptedServer
) -> None:
    """Threads that are stuck, as on a dead name server, would hold up every other name."""
    released = threading.Event()
    with ThreadPoolExecutor(max_workers=1) as pool:
        asyncio.get_running_loop().set_default_executor(pool)
        stuck = asyncio.get_running_loop().run_in_executor(None, released.wait)
        try:
            local = JsonClient(client._http, by_name(server), name="crm.shop")
            assert (await local.request("GET", "/x", within=2.0)).status == 200
        finally:
            released.set()
            await stuck


class Rotating(Authorizer):
    """Key 1 until it is rejected, then key 2 and so on."""

    def __init__(self) -> None:
        self.number = 1
        self.rejected = 0

    async def headers(self) -> Mapping[str, str]:
        return {"X-Key": str(self.number)}

    def reject(self) -> None:
        self.rejected += 1
        self.number += 1


def signed_in(client: JsonClient, server: ScriptedServer, auth: Authorizer) -> JsonClient:
    return JsonClient(client._http, server.url, name="crm.shop", auth=auth)


async def test_a_401_is_tried_once_more_with_fresh_credentials(
    client: JsonClient, server: ScriptedServer
) -> None:
    server.script.append(raw(status=401))
    auth = Rotating()
    got = await signed_in(client, server, auth).request("POST", "/x", json={"a": 1})
    assert got.status == 200
    assert [asked.headers["X-Key"] for asked in server.asked] == ["1", "2"]
    assert [asked.body for asked in server.asked] == [b'{"a":1}'] * 2


async def test_a_second_401_is_the_answer(client: JsonClient, server: ScriptedServer) -> None:
    server.otherwise = raw(status=401)
    error = await failure(signed_in(client, server, Rotating()))
    assert isinstance(error, PermanentError)
    assert len(server.asked) == 2


async def test_credentials_that_cannot_change_are_not_sent_again(
    client: JsonClient, server: ScriptedServer
) -> None:
    server.otherwise = raw(status=401)
    auth = FixedHeaders.bearer("hunter2", name="crm.shop")
    assert "hunter2" not in str(await failure(signed_in(client, server, auth)))
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (reply({"code": "OAUTH_SCOPE_MISMATCH"}, 401), {"code": "OAUTH_SCOPE_MISMATCH"}),
        (raw(b"<html>", 401), None),
        (raw(b"[" + b" " * 2 * CAP, 401), None),
    ],
    ids=["json", "html", "too long"],
)
async def test_what_a_server_says_with_a_401_can_be_read(
    client: JsonClient, server: ScriptedServer, answer: Answer, body: object
) -> None:
    server.otherwise = answer
    error = await failure(signed_in(client, server, Rotating()))
    assert isinstance(error, UnauthorizedError)
    assert error.reply.body == body


async def test_many_requests_with_one_old_token_reject_it_once(
    client: JsonClient, server: ScriptedServer
) -> None:
    async def only_key_two(request: Any) -> Any:
        await asyncio.sleep(0.01)
        status = 200 if request.headers["X-Key"] == "2" else 401
        return await reply({}, status)(request)

    server.otherwise = only_key_two
    auth = Rotating()
    signed = signed_in(client, server, auth)
    replies: list[Reply] = await asyncio.gather(*(signed.request("GET", "/x") for _ in range(10)))
    assert {got.status for got in replies} == {200}
    assert auth.rejected == 1

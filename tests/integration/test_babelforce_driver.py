"""The babelforce driver against a server that plays every fault a live platform may show."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from structlog.testing import capture_logs

from broker.domain.errors import BrokerError
from broker.http_client import open_session
from broker.platforms.babelforce import BabelforceOptions, BabelforcePlatform
from broker.sdk import (
    BadInputError,
    CallEndedError,
    CallRef,
    PermanentError,
    Session,
    SessionNotFoundError,
    TemporaryError,
)
from broker.testing.loopback import LOOPBACK
from broker.testing.scripted_server import (
    ScriptedServer,
    cut,
    drip,
    hang,
    hang_mid_body,
    raw,
    reply,
    reset,
)
from tests.timely import sometimes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import aiohttp

    from broker.sdk import Variable
    from broker.testing.scripted_server import Answer

CALL = "7c3f9a2e4b5d6e8f9a0b1c2d3e4f5a6b"
SESSION = "1a2b3c4d5e6f7a8b9c0d1e2f3a4b5c6d"
HYPHENATED = "1A2B3C4D-5E6F-7A8B-9C0D-1E2F3A4B5C6D"
GIVEN = Session(SESSION, "given")
GUESSED = Session(CALL, "guessed")
PUT = f"PUT /api/v2/sessions/{SESSION}"
GET_CALL = f"GET /api/v2/calls/{CALL}"
EMAIL = "canary@example.com"
VARIABLES: dict[str, Variable] = {"ivr.email": EMAIL, "ivr.premium": True}
WITHIN_S = 5.0
"""Ample time, for what ends at once."""
TIGHT_S = 0.5
"""For what ends with its deadline: three fifths of it are the first attempt's."""
GRACE_S = 1.0
TOKEN = {"kind": "token", "token": "hunter2"}
PASSWORD = {"username": "agent@example.com", "password": "hunter2\n"}


def session_item(**changes: Any) -> dict[str, Any]:
    item = {"id": SESSION, "valid": True, "created": 1.5, "last_access": 2.5, "data": {}}
    return {"item": item | changes, "success": True}


def call_item(**changes: Any) -> dict[str, Any]:
    return {"item": {"id": CALL, "sessionId": SESSION, "state": "in-progress"} | changes}


WRITTEN = reply(session_item())
HTML = raw(b"<html>Welcome</html>", headers={"Content-Type": "text/html"})


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(LOOPBACK) as session:
        yield session


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(otherwise=WRITTEN) as server:
        yield server


@pytest.fixture
async def driver(
    http: aiohttp.ClientSession, server: ScriptedServer
) -> AsyncIterator[Callable[..., BabelforcePlatform]]:
    """Makes a driver from the options that matter to the test."""
    made: list[BabelforcePlatform] = []

    def make(**options: Any) -> BabelforcePlatform:
        given = {"base_url": server.url, "auth": TOKEN} | options
        made.append(BabelforcePlatform(BabelforceOptions.model_validate(given), http))
        return made[-1]

    yield make
    for platform in made:
        await platform.aclose()


@pytest.fixture
def platform(driver: Callable[..., BabelforcePlatform]) -> BabelforcePlatform:
    return driver()


async def failed_write(
    platform: BabelforcePlatform, session: Session = GIVEN, within: float = WITHIN_S
) -> BrokerError:
    """The error of a write; it came in time and quotes nothing."""
    began = time.monotonic()
    with pytest.raises(BrokerError) as caught:
        await platform.write(session, VARIABLES, within=within)
    assert time.monotonic() - began < within + GRACE_S
    for secret in (EMAIL, SESSION, CALL, "hunter2"):
        assert secret not in str(caught.value)
    return caught.value


# What is written ---------------------------------------------------------------------------------


async def test_variables_are_put_flat_and_nothing_else(
    platform: BabelforcePlatform, server: ScriptedServer
) -> None:
    await platform.write(GIVEN, VARIABLES, within=WITHIN_S)
    assert server.lines == [PUT]
    assert orjson.loads(server.asked[0].body) == VARIABLES
    assert server.asked[0].headers["Authorization"] == "Bearer hunter2"


async def test_booleans_are_put_as_text_if_the_operator_wants_it(
    driver: Callable[..., BabelforcePlatform], server: ScriptedServer
) -> None:
    await driver(bool_encoding="string").write(GIVEN, VARIABLES, within=WITHIN_S)
    assert orjson.loads(server.asked[0].body) == VARIABLES | {"ivr.premium": "true"}


async def test_a_hyphenated_session_id_goes_out_without_hyphens(
    platform: BabelforcePlatform, server: ScriptedServer
) -> None:
    await platform.write(Session(HYPHENATED, "given"), VARIABLES, within=WITHIN_S)
    assert server.lines == [PUT]


@pytest.mark.parametrize("session_id", ["../users/1", "%2e%2e", "x?y=1", "x#y", "x\0", "x/y", ""])
async def test_a_session_id_that_leads_elsewhere_sends_nothing(
    platform: BabelforcePlatform, server: ScriptedServer, session_id: str
) -> None:
    with pytest.raises(BadInputError):
        await platform.write(Session(session_id, "given"), VARIABLES, within=WITHIN_S)
    assert server.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        reply(session_item(), 201),
        reply(session_item(), 202),
        raw(status=204),
        reply({"success": True}),
        reply(session_item(id=None)),
        reply(session_item(id=HYPHENATED)),
        reply(session_item(data='{"ivr.email":"x"}')),
        reply({"item": {"valid": True}}),
    ],
)
async def test_every_way_to_say_yes_is_a_yes(
    platform: BabelforcePlatform, server: ScriptedServer, answer: Answer
) -> None:
    server.script.append(answer)
    await platform.write(GIVEN, VARIABLES, within=WITHIN_S)
    assert server.lines == [PUT]


# What is gone ------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["given", "resolved"])
@pytest.mark.parametrize(
    "answer",
    [
        reply({"code": "NOT_FOUND"}, 404),
        raw(b"<html>", 404),
        raw(status=410),
        reply(session_item(valid=False)),
    ],
)
async def test_a_known_session_that_is_gone_ends_the_call(
    platform: BabelforcePlatform, server: ScriptedServer, answer: Answer, source: Any
) -> None:
    server.script.append(answer)
    assert isinstance(await failed_write(platform, Session(SESSION, source)), CallEndedError)
    assert server.lines == [PUT]


@pytest.mark.parametrize(
    "answer", [reply({"code": "NOT_FOUND"}, 404), reply(session_item(id=CALL, valid=False))]
)
async def test_a_guessed_session_that_is_not_there_does_not_end_the_call(
    platform: BabelforcePlatform, server: ScriptedServer, answer: Answer
) -> None:
    server.script.append(answer)
    assert isinstance(await failed_write(platform, GUESSED), SessionNotFoundError)


# What is repeated once ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        *(raw(b"<html>", status) for status in (408, 500, 502, 503, 504)),
        *(
            raw(status=429, headers={"Retry-After": after})
            for after in ("0", "abc", "-5", "Wed, 21 Oct 2015 07:28:00 GMT")
        ),
        raw(status=429),
        hang(),
        hang_mid_body(session_item()),
        drip(session_item(), 0.05),
        cut(session_item()),
    ],
)
async def test_a_passing_fault_is_mended_by_the_same_put_again(
    platform: BabelforcePlatform, server: ScriptedServer, answer: Answer
) -> None:
    async def mended() -> bool:
        server.script.clear()
        server.script.append(answer)
        server.asked.clear()
        with suppress(TemporaryError):
            await platform.write(GIVEN, VARIABLES, within=TIGHT_S)
            return server.lines == [PUT, PUT]
        return False

    assert await sometimes(mended)
    assert server.asked[0].body == server.asked[1].body


@pytest.mark.parametrize(
    "answer", [raw(status=500), raw(status=429), hang(), hang_mid_body(session_item())]
)
async def test_a_lasting_fault_costs_two_puts_and_no_more_than_the_deadline(
    platform: BabelforcePlatform, server: ScriptedServer, answer: Answer
) -> None:
    server.otherwise = answer

    async def asked_twice() -> bool:
        server.asked.clear()
        assert isinstance(await failed_write(platform, within=TIGHT_S), TemporaryError)
        assert len(server.asked) <= 2
        return server.lines == [PUT, PUT]

    assert await sometimes(asked_twice)


@pytest.mark.parametrize("after", ["1", "86400", "Wed, 21 Oct 2071 07:28:00 GMT"])
async def test_a_server_that_wants_more_time_than_there_is_is_left_alone(
    platform: BabelforcePlatform, server: ScriptedServer, after: str
) -> None:
    server.script.append(raw(status=429, headers={"Retry-After": after}))
    error = await failed_write(platform, within=0.9)
    assert isinstance(error, TemporaryError)
    assert error.retry_after is not None
    assert error.retry_after >= 1
    assert server.lines == [PUT]


async def test_a_retry_after_that_fits_is_waited_for(
    platform: BabelforcePlatform, server: ScriptedServer
) -> None:
    server.script.append(raw(status=503, headers={"Retry-After": "1"}))
    began = time.monotonic()
    await platform.write(GIVEN, VARIABLES, within=20.0)
    assert time.monotonic() - began >= 1.0
    assert server.lines == [PUT, PUT]


async def test_a_lost_reply_is_repeated_once_altogether(
    platform: BabelforcePlatform, server: ScriptedServer
) -> None:
    server.script.append(reset())
    await platform.write(GIVEN, VARIABLES, within=WITHIN_S)
    assert server.lines == [PUT, PUT]
    server.otherwise = reset()
    assert isinstance(await failed_write(platform), TemporaryError)
    assert len(server.asked) == 4


async def test_a_platform_that_is_down_may_be_up_later(
    driver: Callable[..., BabelforcePlatform],
) -> None:
    async with ScriptedServer() as gone:
        url = gone.url
    assert isinstance(await failed_write(driver(base_url=url)), TemporaryError)


# What is not repeated ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        HTML,
        raw(),
        raw(b'{"item":'),
        reply([]),
        reply({}),
        reply({"success": False}),
        reply({**session_item(), "success": False}),
        reply(session_item(id=CALL)),
        reply(session_item(id=CALL, valid=False)),
        reply({"code": "BAD"}, 400),
        raw(status=403),
        reply({"code": "INVALID"}, 422),
        raw(status=301, headers={"Location": "/api/v2/users/1"}),
        raw(status=307, headers={"Location": "/api/v2/users/1"}),
    ],
)
async def test_an_answer_that_is_no_yes_is_a_failed_write(
    platform: BabelforcePlatform, server: ScriptedServer, answer: Answer
) -> None:
    server.script.append(answer)
    error = await failed_write(platform)
    assert isinstance(error, PermanentError)
    assert not isinstance(error, SessionNotFoundError)
    assert server.lines == [PUT]


async def test_an_answer_about_another_session_is_logged_without_ids(
    platform: BabelforcePlatform, server: ScriptedServer
) -> None:
    server.script.append(reply(session_item(id=CALL)))
    with capture_logs() as logs:
        await failed_write(platform)
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("answered_for_another", "error")
    ]
    assert CALL not in str(logs)
    assert SESSION not in str(logs)


async def test_a_call_id_that_the_platform_takes_for_its_session_is_written(
    platform: BabelforcePlatform, server: ScriptedServer
) -> None:
    await platform.write(GUESSED, VARIABLES, within=WITHIN_S)
    assert server.lines == [f"PUT /api/v2/sessions/{CALL}"]


# Credentials -------------------------------------------------------------------------------------


def token(text: str, **more: Any) -> Answer:
    return reply({"access_token": text, "token_type": "bearer", **more})


async def test_a_token_that_is_refused_in_the_middle_is_replaced_within_the_write(
    driver: Callable[..., BabelforcePlatform], server: ScriptedServer
) -> None:
    platform = driver(auth=PASSWORD)
    server.script.extend([token("t1"), WRITTEN, raw(status=401), token("t2"), WRITTEN])
    await platform.write(GIVEN, VARIABLES, within=WITHIN_S)
    await platform.write(GIVEN, VARIABLES, within=WITHIN_S)
    signed = [asked.headers.get("Authorization") for asked in server.asked]
    assert signed == [None, "Bearer t1", "Bearer t1", None, "Bearer t2"]
    assert server.asked[0].body == (
        b"grant_type=password&username=agent%40example.com&password=hunter2&client_id=manager"
    )


async def test_credentials_that_are_refused_fail_the_write_in_words(
    driver: Callable[..., BabelforcePlatform], server: ScriptedServer
) -> None:
    server.script.append(reply({"error": "invalid_grant", "error_description": EMAIL}, 400))
    error = await failed_write(driver(auth=PASSWORD))
    assert isinstance(error, PermanentError)
    assert "invalid_grant" in str(error)
    assert server.lines == ["POST /oauth/token"]


async def test_a_client_of_its_own_signs_in_by_client_credentials(
    driver: Callable[..., BabelforcePlatform], server: ScriptedServer
) -> None:
    auth = {"kind": "client_credentials", "client_id": "c1", "client_secret": "hunter2"}
    server.script.append(token("t1"))
    await driver(auth=auth).write(GIVEN, VARIABLES, within=WITHIN_S)
    assert server.asked[0].body == (
        b"grant_type=client_credentials&client_id=c1&client_secret=hunter2"
    )
    assert server.asked[1].headers["Authorization"] == "Bearer t1"


async def test_an_old_environment_gets_its_pair_of_headers(
    driver: Callable[..., BabelforcePlatform], server: ScriptedServer
) -> None:
    auth = {"kind": "legacy_headers", "access_id": "a1", "access_token": "hunter2\n"}
    await driver(auth=auth).write(GIVEN, VARIABLES, within=WITHIN_S)
    sent = server.asked[0].headers
    assert (sent["X-Auth-Access-Id"], sent["X-Auth-Access-Token"]) == ("a1", "hunter2")
    assert "Authorization" not in sent


# Which session -----------------------------------------------------------------------------------


async def test_a_given_session_is_taken_without_asking(
    platform: BabelforcePlatform, server: ScriptedServer
) -> None:
    found = await platform.find_session(CallRef(CALL, HYPHENATED), within=WITHIN_S)
    assert found == GIVEN
    assert server.asked == []


@pytest.mark.parametrize("key", ["auto", "session_id"])
async def test_the_platform_is_asked_for_the_session_of_a_call(
    driver: Callable[..., BabelforcePlatform], server: ScriptedServer, key: str
) -> None:
    server.script.append(reply(call_item(sessionId=HYPHENATED)))
    hyphenated = "7C3F9A2E-4B5D-6E8F-9A0B-1C2D3E4F5A6B"
    found = await driver(session_key=key).find_session(CallRef(hyphenated), within=WITHIN_S)
    assert found == Session(SESSION, "resolved")
    assert server.lines == [GET_CALL]


NO_TELLING = [
    raw(status=500),
    raw(status=401),
    raw(status=403),
    HTML,
    hang(),
    reset(),
    reply({"success": False}),
    reply({"success": True}),
    reply(call_item(sessionId=None)),
    reply(call_item(sessionId="")),
    reply(call_item(sessionId="../users/1")),
    reply(call_item(sessionId=7)),
]


@pytest.mark.parametrize("answer", NO_TELLING)
async def test_a_session_nobody_tells_is_guessed_in_time(
    platform: BabelforcePlatform, server: ScriptedServer, answer: Answer
) -> None:
    server.otherwise = answer
    began = time.monotonic()
    assert await platform.find_session(CallRef(CALL), within=TIGHT_S) == GUESSED
    assert time.monotonic() - began < TIGHT_S + GRACE_S


@pytest.mark.parametrize("answer", NO_TELLING)
async def test_a_session_nobody_tells_is_not_guessed_against_the_operators_will(
    driver: Callable[..., BabelforcePlatform], server: ScriptedServer, answer: Answer
) -> None:
    server.otherwise = answer
    with pytest.raises(PermanentError):
        await driver(session_key="session_id").find_session(CallRef(CALL), within=TIGHT_S)


async def test_a_call_id_is_taken_without_asking_if_the_operator_wants_it(
    driver: Callable[..., BabelforcePlatform], server: ScriptedServer
) -> None:
    found = await driver(session_key="call_id").find_session(CallRef(CALL), within=WITHIN_S)
    assert found == GUESSED
    assert server.asked == []


async def test_a_call_the_platform_does_not_know_is_over(
    platform: BabelforcePlatform, server: ScriptedServer
) -> None:
    server.script.append(reply({"code": "NOT_FOUND"}, 404))
    with pytest.raises(CallEndedError):
        await platform.find_session(CallRef(CALL), within=WITHIN_S)


async def test_an_answer_about_another_call_is_not_used(
    platform: BabelforcePlatform, server: ScriptedServer
) -> None:
    server.script.append(reply(call_item(id=SESSION)))
    with pytest.raises(PermanentError):
        await platform.find_session(CallRef(CALL), within=WITHIN_S)


# `broker check` ----------------------------------------------------------------------------------


async def test_ping_fails_with_credentials_that_do_not_work(
    platform: BabelforcePlatform, server: ScriptedServer
) -> None:
    await platform.ping()
    assert server.lines == ["GET /api/v2/ping"]
    server.otherwise = raw(status=401)
    with pytest.raises(PermanentError, match="401"):
        await platform.ping()


READ_BACK: dict[str, Variable] = {"ivr.lookup": "not_found", "ivr.premium": False}
NESTED = {"ivr": {"lookup": "not_found", "premium": False}}


@pytest.mark.parametrize(
    "data",
    [
        READ_BACK,
        {"ivr": {"lookup": "not_found", "premium": False}},
        orjson.dumps(READ_BACK).decode(),
    ],
)
async def test_the_probe_writes_to_a_session_of_its_own(
    platform: BabelforcePlatform, server: ScriptedServer, data: object
) -> None:
    server.script.extend([reply(session_item(), 201), WRITTEN, reply(session_item(data=data))])
    assert "written and read back" in await platform.probe_session()
    assert server.lines == ["POST /api/v2/sessions", PUT, PUT.replace("PUT", "GET")]


@pytest.mark.parametrize("data", [{}, READ_BACK | {"ivr.premium": "false"}])
async def test_the_probe_names_what_came_back_differently(
    platform: BabelforcePlatform, server: ScriptedServer, data: object
) -> None:
    server.script.extend([reply(session_item()), WRITTEN, reply(session_item(data=data))])
    with pytest.raises(PermanentError, match=r"ivr\.premium"):
        await platform.probe_session()


async def test_the_probe_fails_if_no_session_can_be_made(
    platform: BabelforcePlatform, server: ScriptedServer
) -> None:
    server.script.append(reply({"success": True}))
    with pytest.raises(PermanentError, match="no id"):
        await platform.probe_session()
    assert len(server.asked) == 1

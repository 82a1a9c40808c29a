"""Screen pop and log-back of the babelforce driver: the exact requests, and each sent once."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from broker.http_client import open_session
from broker.platforms.babelforce import BabelforceOptions, BabelforcePlatform
from broker.sdk import AnswerLostError, BadInputError, PermanentError, TemporaryError
from broker.testing.loopback import LOOPBACK
from broker.testing.platform_kit import POP, REPORT
from broker.testing.scripted_server import ScriptedServer, cut, hang, raw, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from broker.testing.scripted_server import Answer

CONVERSATION = "9f8e7d6c5b4a3f2e1d0c9b8a7f6e5d4c"
GET_CALL = f"GET /api/v2/calls/{REPORT.call_id}"
PUSH = "POST /api/v2/agents/push"
EVENT = f"POST /api/v2/conversations/{CONVERSATION}/events"
WITHIN_S = 5.0
DONE = reply({"success": True})


def call_item(**changes: Any) -> Answer:
    item = {"id": REPORT.call_id, "sessionId": "1a2b", "conversationId": CONVERSATION} | changes
    return reply({"item": item, "success": True})


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(otherwise=DONE) as server:
        yield server


@pytest.fixture
async def driver(server: ScriptedServer) -> AsyncIterator[Callable[..., BabelforcePlatform]]:
    async with open_session(LOOPBACK) as http:

        def make(**options: Any) -> BabelforcePlatform:
            auth = {"kind": "token", "token": "hunter2"}
            given = {"base_url": server.url, "auth": auth} | options
            return BabelforcePlatform(BabelforceOptions.model_validate(given), http)

        yield make


@pytest.fixture
def platform(driver: Callable[..., BabelforcePlatform]) -> BabelforcePlatform:
    return driver(screen_pop=True, log_back=True)


def test_both_are_off_unless_switched_on(driver: Callable[..., BabelforcePlatform]) -> None:
    quiet, loud = driver(), driver(screen_pop=True)
    assert (quiet.pops_screens, quiet.logs_back) == (False, False)
    assert (loud.pops_screens, loud.logs_back) == (True, False)


async def test_a_screen_pop_is_one_push_to_one_agent(
    platform: BabelforcePlatform, server: ScriptedServer
) -> None:
    hyphenated = replace(POP, agent_id="A0000000-0000-0000-0000-000000000007")
    await platform.pop_screen(hyphenated, within=WITHIN_S)
    (asked,) = server.asked
    assert asked.line == PUSH
    assert orjson.loads(asked.body) == {
        "agentId": "a0000000000000000000000000000007",
        "broadcast": False,
        "message": POP.message,
        "data": dict(POP.data),
    }


async def test_an_outcome_goes_to_the_conversation_that_the_call_names(
    platform: BabelforcePlatform, server: ScriptedServer
) -> None:
    server.script.append(call_item(conversationId="9F8E7D6C-5B4A-3F2E-1D0C-9B8A7F6E5D4C"))
    await platform.log_back(REPORT, within=WITHIN_S)
    assert server.lines == [GET_CALL, EVENT]
    assert orjson.loads(server.asked[1].body) == {
        "name": "broker-call-over",
        "data": dict(REPORT.data),
    }


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (raw(status=404), PermanentError),
        (reply({"success": False}), PermanentError),
        (call_item(conversationId=None), PermanentError),
        (call_item(conversationId="../sessions"), PermanentError),
        (call_item(id="0" * 32), PermanentError),
    ],
    ids=["unknown", "unsuccessful", "none", "odd", "another"],
)
async def test_without_a_conversation_nothing_is_added_anywhere(
    platform: BabelforcePlatform, server: ScriptedServer, answer: Answer, error: type[Exception]
) -> None:
    server.script.append(answer)
    with pytest.raises(error):
        await platform.log_back(REPORT, within=WITHIN_S)
    assert server.lines == [GET_CALL]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (raw(status=503), TemporaryError),
        (raw(status=429, headers={"Retry-After": "1"}), TemporaryError),
        (raw(status=403), PermanentError),
        (raw(status=404), PermanentError),
        (raw(status=302, headers={"Location": "/elsewhere"}), PermanentError),
        (reply({"success": False}), PermanentError),
        (cut({"success": True}), AnswerLostError),
        (raw(b"<html>", headers={"Content-Type": "text/html"}), AnswerLostError),
    ],
    ids=["503", "429", "403", "404", "redirect", "unsuccessful", "cut", "html"],
)
async def test_whatever_comes_back_a_push_is_sent_once(
    driver: Callable[..., BabelforcePlatform],
    server: ScriptedServer,
    answer: Answer,
    error: type[Exception],
) -> None:
    server.script.append(answer)
    with pytest.raises(error) as caught:
        await driver().pop_screen(POP, within=WITHIN_S)
    assert server.lines == [PUSH]
    assert not [word for word in (POP.message, "Zo", "hunter2") if word in str(caught.value)]


async def test_a_push_that_is_never_answered_is_sent_once(
    driver: Callable[..., BabelforcePlatform], server: ScriptedServer
) -> None:
    server.script.append(hang())
    with pytest.raises(AnswerLostError):
        await driver(hook_timeout_ms=800).pop_screen(POP, within=WITHIN_S)
    assert server.lines == [PUSH]


async def test_both_steps_of_a_log_back_share_one_deadline(
    driver: Callable[..., BabelforcePlatform], server: ScriptedServer
) -> None:
    server.script.extend([call_item(), hang()])
    began = time.monotonic()
    with pytest.raises(AnswerLostError):
        await driver(hook_timeout_ms=800).log_back(REPORT, within=2 * WITHIN_S)
    assert time.monotonic() - began < WITHIN_S
    assert server.lines == [GET_CALL, EVENT]


async def test_an_id_that_could_lead_elsewhere_is_not_sent(
    platform: BabelforcePlatform, server: ScriptedServer
) -> None:
    with pytest.raises(BadInputError):
        await platform.log_back(replace(REPORT, call_id="../../oauth"), within=WITHIN_S)
    assert server.asked == []

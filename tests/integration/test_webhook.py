"""The webhook channel against a real receiver: what arrives, and what its answers mean."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import standardwebhooks

from broker.channels.webhook import WebhookChannel, WebhookOptions
from broker.domain.errors import AnswerLostError, PermanentError, TemporaryError
from broker.domain.messages import TRACKING
from broker.http_client import open_session
from broker.ports import Envelope
from broker.testing.loopback import LOOPBACK
from broker.testing.scripted_server import (
    Answer,
    Asked,
    ScriptedServer,
    cut,
    hang,
    hang_mid_body,
    raw,
    reply,
    reset,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OLD, NEW, OTHER = (f"whsec_{base64.b64encode(byte * 24).decode()}" for byte in (b"o", b"n", b"x"))
LINK = "https://shop.example.com/track/T-1"
ENVELOPE = Envelope("c1|tracking", TRACKING, "ada@example.com", "de", {"link": LINK, "name": ""})
PAGE = Path(__file__).parents[2] / "docs" / "channels" / "webhook.md"
Made = Callable[..., WebhookChannel]


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
async def made(server: ScriptedServer) -> AsyncIterator[Made]:
    async with open_session(LOOPBACK) as http:

        def make(secret: str = NEW, path: str = "/in/box", **more: Any) -> WebhookChannel:
            table = {"url": server.url + path, "secret": secret, **more}
            return WebhookChannel(WebhookOptions.model_validate(table), http)

        yield make


async def arrived(made: Made, server: ScriptedServer, **more: Any) -> Asked:
    await made(**more).send(ENVELOPE, within=2.0)
    [asked] = server.asked
    return asked


def verified(asked: Asked, secret: str) -> Any:
    return standardwebhooks.Webhook(secret).verify(asked.body, dict(asked.headers))


async def test_the_reference_library_accepts_what_arrives(
    made: Made, server: ScriptedServer
) -> None:
    payload = verified(await arrived(made, server), NEW)
    timestamp = payload.pop("timestamp")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", timestamp)
    assert payload == {
        "type": "message.requested",
        "data": {
            "reference": "c1|tracking",
            "purpose": "tracking",
            "to": "ada@example.com",
            "language": "de",
            "values": {"link": LINK},
        },
    }


async def test_the_reference_library_refuses_another_secret(
    made: Made, server: ScriptedServer
) -> None:
    asked = await arrived(made, server)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verified(asked, OTHER)


async def test_while_the_secret_is_changed_both_are_accepted(
    made: Made, server: ScriptedServer
) -> None:
    asked = await arrived(made, server, secret=f"{NEW}\n{OLD}\n")
    assert verified(asked, OLD) == verified(asked, NEW)


async def test_the_key_follows_from_call_and_purpose(made: Made, server: ScriptedServer) -> None:
    asked = await arrived(made, server)
    assert asked.headers["Idempotency-Key"] == asked.headers["webhook-id"] == "c1|tracking"
    assert asked.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("path", ["", "/", "/hooks", "/hooks/"])
async def test_the_address_is_used_as_it_stands(
    made: Made, server: ScriptedServer, path: str
) -> None:
    assert (await arrived(made, server, path=path)).line == f"POST {path or '/'}"


@pytest.mark.parametrize(
    ("answer", "provider_id"),
    [
        (reply({"id": "m-1"}), "m-1"),
        (reply({"id": 17}, status=202), "17"),
        (reply({"id": "x" * 201}), None),
        (reply({"id": ["m-1"]}), None),
        (reply([]), None),
        (raw(status=204), None),
        (raw(b"ok"), None),
        (raw(b"<h1>thanks</h1>", 200, {"Content-Type": "text/html"}), None),
        (raw(b"[" + b" " * 300_000 + b"]"), None),
    ],
)
async def test_any_2xx_means_taken(
    made: Made, server: ScriptedServer, answer: Answer, provider_id: str | None
) -> None:
    server.script.append(answer)
    assert await made().send(ENVELOPE, within=2.0) == provider_id


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_a_receiver_that_is_busy_is_asked_again_when_it_wishes(
    made: Made, server: ScriptedServer, status: int
) -> None:
    server.script.append(reply({}, status, {"Retry-After": "7"}))
    with pytest.raises(TemporaryError) as caught:
        await made().send(ENVELOPE, within=2.0)
    assert caught.value.retry_after == 7.0


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 403, 404, 409, 410, 422])
async def test_a_refusal_is_final_and_a_redirect_is_one(
    made: Made, server: ScriptedServer, status: int
) -> None:
    server.script.append(reply({}, status, {"Location": f"{server.url}/elsewhere"}))
    with pytest.raises(PermanentError):
        await made().send(ENVELOPE, within=2.0)
    assert len(server.asked) == 1


@pytest.mark.parametrize("answer", [reset(), cut({"id": 1}), hang(), hang_mid_body({"id": 1})])
async def test_without_a_whole_answer_nobody_knows(
    made: Made, server: ScriptedServer, answer: Answer
) -> None:
    server.script.append(answer)
    with pytest.raises(AnswerLostError) as caught:
        await made(timeout_ms=400).send(ENVELOPE, within=2.0)
    assert "example.com" not in str(caught.value)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "envelope",
    [
        Envelope("c1|tracking", TRACKING, "a@example.com", None, {"link": "x" * 20_000}),
        Envelope("c1|tracking", TRACKING, "a@example.com", None, {"link": "\ud800"}),
        Envelope("c1.2|tracking", TRACKING, "a@example.com", None, {"link": LINK}),
        Envelope("c1\r\nx: y", TRACKING, "a@example.com", None, {"link": LINK}),
    ],
)
async def test_what_does_not_fit_is_not_sent(
    made: Made, server: ScriptedServer, envelope: Envelope
) -> None:
    with pytest.raises(PermanentError):
        await made().send(envelope, within=2.0)
    assert server.asked == []


async def test_ping_names_the_host_alone_and_sends_nothing(
    made: Made, server: ScriptedServer
) -> None:
    told = await made().ping()
    assert server.url.removeprefix("http://") in told
    assert "box" not in told
    assert server.asked == []


async def test_the_receiver_in_the_documentation_works(made: Made, server: ScriptedServer) -> None:
    [source] = re.findall(r"```python\n(.+?)```", PAGE.read_text("utf-8"), re.DOTALL)
    example: dict[str, Any] = {}
    exec(source, example)  # noqa: S102 - our own page
    asked = await arrived(made, server, secret=f"{OLD} {NEW}")
    headers = {name.lower(): value for name, value in asked.headers.items()}
    payload = example["verified"](headers, asked.body, NEW)
    assert payload == json.loads(asked.body)
    with pytest.raises(ValueError, match="signature"):
        example["verified"](headers, asked.body, OTHER)
    with pytest.raises(ValueError, match="old"):
        example["verified"](headers | {"webhook-timestamp": "1614265330"}, asked.body, NEW)

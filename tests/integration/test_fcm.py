"""What is sent to Firebase, and what its answers mean."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from broker.channels.fcm import FcmChannel, FcmOptions
from broker.domain.errors import ConfigError, PermanentError, TemporaryError
from broker.http_client import open_session
from broker.ports import Envelope
from broker.sandbox.fcm import service_account
from broker.testing.loopback import LOOPBACK
from broker.testing.scripted_server import Answer, ScriptedServer, raw, reply

TOKEN = "cX7-canary:APA91b"
ENVELOPE = Envelope(
    "c1|deflection",
    "deflection",
    TOKEN,
    "de",
    {"link": "https://b.example/d/x"},
    text="Schreiben Sie uns hier.\nBis gleich",
    title="Ihr Anruf\n",
    data={"context": "h4ndle"},
)
TAKEN = reply({"name": "projects/sandbox/messages/0:1"})
ACCESS = reply({"access_token": "ya29.t", "expires_in": 3599, "token_type": "Bearer"})


def options(url: str = "http://127.0.0.1:1", **changes: Any) -> FcmOptions:
    account = orjson.dumps(service_account(url)).decode()
    return FcmOptions.model_validate({"base_url": url, "service_account": account, **changes})


async def sent(*script: Answer, envelope: Envelope = ENVELOPE, **changes: Any) -> dict[str, Any]:
    """The message as it reached Google."""
    async with ScriptedServer(ACCESS, *script) as google, open_session(LOOPBACK) as http:
        channel = FcmChannel(options(google.url, **changes), http)
        await channel.send(envelope, within=20.0)
        await channel.aclose()
    token, asked = google.asked
    assert token.line == "POST /fcm/token"
    assert asked.line == "POST /v1/projects/sandbox/messages:send"
    assert asked.headers["Authorization"] == "Bearer ya29.t"
    message: dict[str, Any] = orjson.loads(asked.body)["message"]
    return message


async def test_title_text_link_and_context_arrive() -> None:
    message = await sent(TAKEN)
    assert message["token"] == TOKEN
    assert message["notification"] == {
        "title": "Ihr Anruf",
        "body": "Schreiben Sie uns hier.\nBis gleich",
    }
    assert message["data"] == {"context": "h4ndle", "link": "https://b.example/d/x"}


async def test_what_is_absent_is_left_out() -> None:
    message = await sent(TAKEN, envelope=replace(ENVELOPE, values={}, title=None, data={}))
    assert message["notification"].keys() == {"body"}
    assert message["data"] == {}


async def test_context_without_room_or_under_a_name_of_googles_is_left_out() -> None:
    long = "ä" * 2040
    context = {"handle": "h4ndle", "from": "queue", "gcm.x": "1", "note": long, "small": "1"}
    message = await sent(TAKEN, envelope=replace(ENVELOPE, data=context))
    link = "https://b.example/d/x"
    assert message["data"] == {"link": link, "handle": "h4ndle", "small": "1"}


async def test_context_is_kept_up_to_the_last_byte_of_googles_room() -> None:
    other = [*ENVELOPE.values.items(), ("", "note"), ("", "Ihr Anruf"), ("", str(ENVELOPE.text))]
    room = 4096 - sum(len(text.encode()) for pair in other for text in pair)
    for size, kept in ((room, True), (room + 1, False)):
        message = await sent(TAKEN, envelope=replace(ENVELOPE, data={"note": "x" * size}))
        assert ("note" in message["data"]) is kept


async def test_a_picture_goes_along() -> None:
    picture = "https://shop.example.com/x.png"
    message = await sent(TAKEN, envelope=replace(ENVELOPE, media_url=picture))
    assert message["notification"]["image"] == picture


async def test_a_second_try_takes_the_place_of_the_first_on_the_phone() -> None:
    first, again = await sent(TAKEN), await sent(TAKEN)
    other = await sent(TAKEN, envelope=replace(ENVELOPE, reference="c2|deflection"))
    tags = [one["android"]["notification"]["tag"] for one in (first, again, other)]
    assert tags[0] == tags[1] != tags[2]
    assert first["apns"]["headers"]["apns-collapse-id"] == tags[0]
    assert len(tags[0].encode()) <= 64


async def test_an_old_message_is_not_shown_days_later() -> None:
    message = await sent(TAKEN, ttl_s=60)
    assert message["android"]["ttl"] == "60s"
    assert int(message["apns"]["headers"]["apns-expiration"]) > 1_790_000_000


@pytest.mark.parametrize("text", [None, "", " \n", "\u200b"])
async def test_without_words_nothing_is_sent(text: str | None) -> None:
    async with open_session(LOOPBACK) as http:
        with pytest.raises(PermanentError, match="no text"):
            await FcmChannel(options(), http).send(replace(ENVELOPE, text=text), within=1.0)


def refusal(status: int, name: str, code: str | None = None) -> Answer:
    """As Google words it, with the token in it."""
    error: dict[str, Any] = {"code": status, "message": f"{TOKEN} is not valid", "status": name}
    if code is not None:
        error["details"] = [{"@type": "type.googleapis.com/FcmError", "errorCode": code}]
    return reply({"error": error}, status=status)


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (refusal(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"), PermanentError, "INVALID_ARGUMENT"),
        (refusal(404, "NOT_FOUND", "UNREGISTERED"), PermanentError, "UNREGISTERED"),
        (refusal(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"), PermanentError, "SENDER_ID_MISM"),
        (refusal(403, "PERMISSION_DENIED"), PermanentError, "PERMISSION_DENIED"),
        (refusal(400, TOKEN, TOKEN), PermanentError, "HTTP 400"),
        (raw(b"<html>", 404), PermanentError, "HTTP 404"),
        (refusal(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), TemporaryError, "429"),
        (refusal(503, "UNAVAILABLE", "UNAVAILABLE"), TemporaryError, "503"),
        (refusal(500, "INTERNAL", "INTERNAL"), TemporaryError, "500"),
    ],
)
async def test_googles_codes_say_whether_it_is_worth_another_try(
    answer: Answer, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said) as caught:
        await sent(answer)
    assert TOKEN not in str(caught.value)


async def test_google_says_how_long_to_wait() -> None:
    busy = reply({}, status=429, headers={"Retry-After": "17"})
    with pytest.raises(TemporaryError) as caught:
        await sent(busy)
    assert caught.value.retry_after == 17


async def test_a_token_that_google_does_not_take_is_explained() -> None:
    other = reply({"access_token": "ya29.u", "expires_in": 3599})
    no = refusal(401, "UNAUTHENTICATED")
    async with ScriptedServer(ACCESS, no, other, no) as google, open_session(LOOPBACK) as http:
        channel = FcmChannel(options(google.url), http)
        with pytest.raises(ConfigError, match="HTTP 401"):
            await channel.ping()
        await channel.aclose()

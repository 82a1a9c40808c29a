"""Twilio's number lookup: what is asked, and what its answers mean."""

from __future__ import annotations

from typing import Any

import pytest

from broker.channels.twilio import TwilioLookupOptions, TwilioNumberLookup
from broker.channels.twilio.lookup import LINES
from broker.domain.call import Line, Phone
from broker.domain.errors import ConfigError, PermanentError, TemporaryError
from broker.http_client import open_session
from broker.testing.loopback import LOOPBACK
from broker.testing.scripted_server import ScriptedServer, hang, raw, reply
from tests.specs import spec

PHONE = Phone.from_e164("+12025550143")
ACCOUNT, KEY = "AC" + "0" * 32, "SK" + "0" * 32


def told(kind: str | None, error: int | None = None) -> dict[str, Any]:
    intelligence = {"type": kind, "error_code": error, "carrier_name": None}
    return {"phone_number": PHONE.e164, "valid": True, "line_type_intelligence": intelligence}


async def line_of(server: ScriptedServer, within: float = 20.0) -> Line | None:
    async with open_session(LOOPBACK) as http:
        return await made(server, http).line_of(PHONE, within=within)


def made(server: ScriptedServer, http: Any, **more: str) -> TwilioNumberLookup:
    options = {"base_url": server.url, "account_sid": ACCOUNT, "auth_token": "t0ken", **more}
    return TwilioNumberLookup(TwilioLookupOptions.model_validate(options), http)


@pytest.mark.parametrize(("kind", "line"), LINES.items())
async def test_every_kind_of_line_is_understood(kind: str, line: Line) -> None:
    async with ScriptedServer(reply(told(kind))) as twilio:
        assert await line_of(twilio) is line


@pytest.mark.parametrize(
    "body",
    [
        told("unknown"),
        told(None, 60601),
        told("satellite"),
        {"phone_number": PHONE.e164, "valid": False, "line_type_intelligence": None},
        {"line_type_intelligence": {"type": ["mobile"]}},
        [],
    ],
)
async def test_what_twilio_does_not_know_is_not_known(body: object) -> None:
    async with ScriptedServer(reply(body)) as twilio:
        assert await line_of(twilio) is None


async def test_only_the_kind_of_line_is_asked_for() -> None:
    async with ScriptedServer(reply(told("mobile"))) as twilio:
        await line_of(twilio)
    [asked] = twilio.asked
    assert (asked.line, asked.query) == (
        f"GET /v2/PhoneNumbers/{PHONE.e164}",
        {"Fields": "line_type_intelligence"},
    )


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (reply({"code": 20404}, 404), PermanentError),
        (reply({"code": 20003}, 401), PermanentError),
        (reply({"code": 20429}, 429), TemporaryError),
        (reply({}, 500), TemporaryError),
        (raw(b"<html>"), PermanentError),
    ],
)
async def test_what_is_no_answer_is_an_error(answer: Any, error: type[Exception]) -> None:
    async with ScriptedServer(answer) as twilio:
        with pytest.raises(error) as caught:
            await line_of(twilio)
    assert PHONE.national not in str(caught.value)


async def test_it_keeps_to_its_time() -> None:
    async with ScriptedServer(hang()) as twilio:
        with pytest.raises(TemporaryError):
            await line_of(twilio, within=0.1)


async def test_credentials_are_tried_for_free() -> None:
    async with ScriptedServer(reply({"valid": True})) as twilio, open_session(LOOPBACK) as http:
        assert "credentials are taken" in await made(twilio, http, api_key=KEY).ping()
    assert [asked.query for asked in twilio.asked] == [{}]
    async with ScriptedServer(reply({}, 401)) as twilio, open_session(LOOPBACK) as http:
        with pytest.raises(ConfigError, match="check account_sid, api_key and auth_token"):
            await made(twilio, http).ping()


@pytest.mark.usefixtures("specs")
async def test_what_is_asked_is_what_the_vendors_own_file_allows() -> None:
    lookups = spec("twilio_lookups_v2.json")
    assert lookups is not None
    async with ScriptedServer(reply(told("mobile"))) as twilio, open_session(LOOPBACK) as http:
        await made(twilio, http).line_of(PHONE, within=20.0)
        await made(twilio, http).ping()
    assert [lookups.forbids(asked) for asked in twilio.asked] == [None, None]

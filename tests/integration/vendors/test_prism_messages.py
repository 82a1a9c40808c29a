"""What Twilio and babelforce get from us for a message, judged by mocks made from their own files.

Beside openapi-core in the contract tests, by other people. A request that a file forbids is judged
as well, so that a judge who lets everything pass is noticed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import orjson
import pytest

from broker.channels.babelforce_sms import BabelforceSmsChannel, BabelforceSmsOptions
from broker.channels.twilio import (
    TwilioChannel,
    TwilioLookupOptions,
    TwilioNumberLookup,
    TwilioOptions,
    TwilioWhatsAppChannel,
    TwilioWhatsAppOptions,
)
from broker.domain.call import Phone
from broker.domain.errors import BrokerError
from broker.http_client import open_session
from broker.ports import Envelope, VendorTemplate
from broker.testing.loopback import LOOPBACK
from broker.testing.scripted_server import ScriptedServer, reply
from tests.prism import START_S, complaints, mocks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import aiohttp

    from broker.testing.scripted_server import Asked

pytestmark = pytest.mark.timeout(START_S + 30)

SID = "0123456789abcdef" * 2
ACCOUNT: dict[str, Any] = {"account_sid": f"AC{SID}", "auth_token": "t0ken"}
SMS = {**ACCOUNT, "countries": ["DE"], "messaging_service_sid": f"MG{SID}", "validity_s": 600}
WHATSAPP = {**ACCOUNT, "countries": ["DE"], "sender": "+4915735980000"}
CONTENT = VendorTemplate(f"HX{SID}", None, ("Ada", "https://b.example/d/x"))
LIST = b"MediaUrl%5B%5D="
"""Prism reads a list in a form only as `name[]` (stoplightio/prism#2473); Twilio knows no such."""
WORDS = Envelope(
    "c1|deflection",
    "deflection",
    "+4915112345678",
    "de",
    {},
    text="Grüße",
    media_url="https://shop.example.com/a.png",
    data={"handle": "h4ndle"},
    receipt_url="https://broker.example.com/v1/channels/sms/callback?m=r.1",
)


async def twilio_sms(url: str, http: aiohttp.ClientSession) -> None:
    channel = TwilioChannel(TwilioOptions.model_validate({**SMS, "base_url": url}), http)
    await channel.send(WORDS, within=20.0)
    with suppress(BrokerError):
        await channel.ping()


async def twilio_whatsapp(url: str, http: aiohttp.ClientSession) -> None:
    options = TwilioWhatsAppOptions.model_validate({**WHATSAPP, "base_url": url})
    channel = TwilioWhatsAppChannel(options, http)
    await channel.send(replace(WORDS, template=CONTENT), within=20.0)
    await channel.send(WORDS, within=20.0)


async def twilio_content(url: str, http: aiohttp.ClientSession) -> None:
    options = TwilioWhatsAppOptions.model_validate({**WHATSAPP, "content_url": url})
    await TwilioWhatsAppChannel(options, http).check([CONTENT])


async def twilio_lookup(url: str, http: aiohttp.ClientSession) -> None:
    options = TwilioLookupOptions.model_validate({**ACCOUNT, "base_url": url})
    lookup = TwilioNumberLookup(options, http)
    await lookup.line_of(Phone.from_e164("+12025550143"), within=20.0)
    await lookup.ping()


async def babelforce_sms(url: str, http: aiohttp.ClientSession) -> None:
    auth = {"kind": "bearer", "token": "t0ken"}
    options = {"base_url": url, "auth": auth, "countries": ["DE"], "sender": "+493023125000"}
    channel = BabelforceSmsChannel(BabelforceSmsOptions.model_validate(options), http)
    await channel.send(WORDS, within=20.0)
    await channel.ping()


@dataclass(frozen=True, slots=True)
class Case:
    """Who sends, the vendor's file, and a change that the file forbids."""

    sends: Callable[[str, aiohttp.ClientSession], Awaitable[None]]
    file: str
    wrong: Mapping[str, Any]
    beyond: str = "nothing"
    """A path that the file does not describe."""


def form(**fields: str) -> bytes:
    return urlencode(fields).encode()


CASES = (
    Case(
        twilio_sms,
        "twilio_messages_v2010.json",
        {"body": form(To="+4915112345678", ValidityPeriod="soon")},
        beyond=f"/2010-04-01/Accounts/AC{SID}.json",
    ),
    Case(
        twilio_whatsapp,
        "twilio_messages_v2010.json",
        {"body": form(To="whatsapp:+4915112345678", ContentSid="order_update")},
    ),
    Case(twilio_content, "twilio_content_v1.json", {"path": "/v1/Content/order_update"}),
    Case(twilio_lookup, "twilio_lookups_v2.json", {"path": "/v2/PhoneNumbers"}),
    Case(
        babelforce_sms,
        "babelforce-subset.openapi.yaml",
        {"body": orjson.dumps({"to": "+4915112345678", "session": []})},
    ),
)


def _named(case: Case) -> str:
    return case.sends.__name__


@pytest.fixture(scope="module")
def urls(
    specs: Path, prism: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, str]]:
    """File -> where its mock listens. It answers 422 to what the file forbids."""
    files = [specs / name for name in dict.fromkeys(case.file for case in CASES)]
    with mocks(prism, files, tmp_path_factory.mktemp("prism"), "--errors") as addresses:
        yield {file.name: url for file, url in zip(files, addresses, strict=True)}


@pytest.mark.parametrize("case", CASES, ids=_named)
async def test_the_vendors_own_file_allows_whatever_is_sent(
    urls: Mapping[str, str], case: Case
) -> None:
    described = [asked for asked in await _sent_by(case) if asked.path != case.beyond]
    assert described
    assert await _complaints(urls[case.file], described) == []


@pytest.mark.parametrize("case", CASES, ids=_named)
async def test_the_judge_complains_of_what_the_file_forbids(
    urls: Mapping[str, str], case: Case
) -> None:
    example, *_ = await _sent_by(case)
    elsewhere = replace(example, path="/nowhere")
    stranger = replace(example, headers={"Content-Type": example.headers.get("Content-Type", "")})
    for wrong in (replace(example, **case.wrong), elsewhere, stranger):
        assert len(await _complaints(urls[case.file], [wrong])) == 1


async def _sent_by(case: Case) -> Sequence[Asked]:
    """All requests of one that does whatever it can."""
    taken = reply({"sid": f"SM{SID}", "item": {"id": "s1", "state": "queued"}})
    async with ScriptedServer(otherwise=taken) as vendor, open_session(LOOPBACK) as http:
        await case.sends(vendor.url, http)
        return vendor.asked


async def _complaints(url: str, requests: Iterable[Asked]) -> list[str]:
    judged = (replace(asked, body=asked.body.replace(b"MediaUrl=", LIST)) for asked in requests)
    return await complaints(url, judged, "Accept", "Authorization", "Content-Type")

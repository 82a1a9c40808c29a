"""What the channels really send, judged by mocks that Prism makes from the vendors' own files.

As test_prism.py does for CRM adapters: whatever is asked for beyond the files is listed here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from broker.http_client import open_session
from broker.ports import Envelope, VendorTemplate
from broker.testing.loopback import LOOPBACK
from broker.testing.scripted_server import ScriptedServer, reply
from tests.contract.test_fcm_channel import fcm
from tests.contract.test_whatsapp_channel import whatsapp
from tests.prism import START_S, complaints, mocks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import aiohttp

    from broker.testing.scripted_server import Asked

pytestmark = pytest.mark.timeout(START_S + 30)

TEMPLATE = VendorTemplate("ivr_deflect", "de", ("Ada", "https://b.example/d/x"))
ENVELOPE = Envelope(
    "c1|deflection",
    "deflection",
    "+4917604069001",
    "de",
    {"link": "https://b.example/d/x"},
    text="Hello",
    title="Your call",
    media_url="https://shop.example.com/x.png",
    data={"context": "h4ndle"},
    receipt_reference="r.1",
)


async def by_whatsapp(url: str, http: aiohttp.ClientSession) -> None:
    channel = whatsapp(url, http, version="v23.0", image_templates=["ivr_picture"])
    words = replace(ENVELOPE, media_url=None)
    for template in (TEMPLATE, VendorTemplate("ivr_welcome", "en_US")):
        await channel.send(replace(words, template=template), within=20.0)
    pictured = replace(TEMPLATE, name="ivr_picture")
    await channel.send(replace(ENVELOPE, template=pictured), within=20.0)
    await channel.send(words, within=20.0)
    await channel.send(ENVELOPE, within=20.0)
    await channel.check([TEMPLATE])
    await channel.ping()


async def by_fcm(url: str, http: aiohttp.ClientSession) -> None:
    channel = fcm(url, http)
    await channel.send(ENVELOPE, within=20.0)
    await channel.send(replace(ENVELOPE, title=None, values={}, media_url=None), within=20.0)
    await channel.ping()
    await channel.aclose()


@dataclass(frozen=True, slots=True)
class Case:
    """What a channel does, the vendor's file, and a body that the file forbids."""

    does: Callable[[str, aiohttp.ClientSession], Awaitable[None]]
    file: str
    wrong: Mapping[str, Any]
    below: str = ""
    """What stands in our paths before those of the file."""
    beyond: str = "nothing"
    """Paths that the file does not describe, as a regular expression."""


CASES = (
    Case(
        by_whatsapp,
        "meta_whatsapp_messages_v23.json",
        {"messaging_product": "whatsapp", "to": "+49", "type": "template", "template": {}},
        beyond=r"/v23\.0/[0-9]+",
    ),
    Case(
        by_fcm,
        "fcm_v1.json",
        {"message": {"token": "x", "data": {"tries": 3}}},
        below="/fcm",
        beyond="/fcm/token",
    ),
)
ANSWER = {
    "access_token": "ya29.t",
    "name": "projects/sandbox/messages/0:1",
    "messages": [{"id": "wamid.1"}],
    "id": "1",
}
"""Of all vendors at once."""


def _named(case: Case) -> str:
    return case.file.partition(".")[0]


@pytest.fixture(scope="module")
def urls(
    specs: Path, prism: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, str]]:
    """File -> where its mock listens. It answers 422 to what the file forbids."""
    folder = tmp_path_factory.mktemp("prism")
    files = [_mended(specs / case.file, folder) for case in CASES]
    with mocks(prism, files, folder, "--errors") as addresses:
        yield {file.name: url for file, url in zip(files, addresses, strict=True)}


def _mended(file: Path, folder: Path) -> Path:
    """The file; Meta's forbids every text and picture, also in its own examples.

    There `additionalProperties: false` stands in one part of an `allOf`, and knows nothing of the
    properties in the other part.
    """
    document = orjson.loads(file.read_bytes())
    for schema in document["components"]["schemas"].values():
        for part in schema.get("allOf", ()):
            part.pop("additionalProperties", None)
    mended = folder / file.name
    mended.write_bytes(orjson.dumps(document))
    return mended


@pytest.mark.parametrize("case", CASES, ids=_named)
async def test_the_vendors_own_file_allows_whatever_the_channel_sends(
    urls: Mapping[str, str], case: Case
) -> None:
    described = [one for one in await _sent(case) if not re.fullmatch(case.beyond, one.path)]
    assert len(described) > 2
    assert await _complaints(urls[case.file], case, described) == []


@pytest.mark.parametrize("case", CASES, ids=_named)
async def test_the_judge_complains_of_what_the_file_forbids(
    urls: Mapping[str, str], case: Case
) -> None:
    posts = [one for one in await _sent(case) if one.path.partition("/v")[1] and one.body]
    wrong = replace(posts[0], body=orjson.dumps(case.wrong))
    elsewhere = replace(posts[0], path=f"{case.below}/nowhere")
    stranger = replace(posts[0], headers={"Content-Type": "application/json"})
    for one in (wrong, elsewhere, stranger):
        assert len(await _complaints(urls[case.file], case, [one])) == 1


async def _sent(case: Case) -> Sequence[Asked]:
    async with ScriptedServer(otherwise=reply(ANSWER)) as vendor, open_session(LOOPBACK) as http:
        await case.does(vendor.url, http)
        return vendor.asked


async def _complaints(url: str, case: Case, requests: Sequence[Asked]) -> list[str]:
    below = (replace(one, path=one.path.removeprefix(case.below)) for one in requests)
    return await complaints(url, below, "Accept", "Authorization", "Content-Type")

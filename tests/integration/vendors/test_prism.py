"""What the adapters really send, judged by mocks that Prism makes from the vendors' own files.

A second judge besides openapi-core, by other people. It knows no more than the files do: what an
adapter asks for beyond them is listed here, and anything else that they lack is a mistake.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import orjson
import pytest

from broker.http_client import open_session
from broker.plugins import build, options_type
from broker.sdk import CallNote, CrmAdapter, Ticket
from broker.testing.loopback import LOOPBACK
from broker.testing.people import ADA, GUS
from crm_adapters.babelforce import BabelforceAdapter
from crm_adapters.freshdesk import FreshdeskAdapter
from crm_adapters.hubspot import HubSpotAdapter
from crm_adapters.pipedrive import PipedriveAdapter
from crm_adapters.zendesk import ZendeskAdapter
from crm_adapters.zoho import ZohoAdapter
from tests.prism import START_S, complaints, mocks
from tests.vendors.babelforce import INTEGRATION, FakeBabelforce
from tests.vendors.freshdesk import FakeFreshdesk
from tests.vendors.hubspot import FakeHubSpot, FakeHubSpotOfLists
from tests.vendors.pipedrive import FakePipedrive
from tests.vendors.zendesk import FakeZendesk
from tests.vendors.zoho import FakeZoho

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from broker.testing.scripted_server import Asked
    from broker.testing.vendor import FakeVendor

pytestmark = pytest.mark.timeout(START_S + 30)

TICKET = Ticket("call-1", "Call back", "Please", ADA.id)
NOTE = CallNote("call-1", ADA.id, "premium", 1_790_000_000.0, "Called; went to an agent.")
OURS = ("Accept", "Authorization", "Content-Type", "x-api-token")
"""Headers that an adapter sends, apart from those that come with the connection."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """A request that the vendor's file forbids."""

    line: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: object = None


@dataclass(frozen=True, slots=True)
class Case:
    """An adapter, who plays its vendor, and the vendor's file."""

    adapter: type[CrmAdapter]
    vendor: type[FakeVendor]
    file: str
    wrong: Wrong
    below: str = ""
    """What stands in our paths before those of the file, as its server URL does."""
    beyond: str = "nothing"
    """Paths that the file does not describe, as a regular expression."""
    open: bool = False
    """Whether the file says nothing of credentials."""
    options: Mapping[str, object] = field(default_factory=dict)
    """What makes the adapter ask for it, besides the usual."""


HUBSPOT = "hubspot_contacts_2026-09.json"
HUBSPOT_BEYOND = r"/crm/(properties|lists)/.+|/crm/objects/2026-09/(tickets|notes)"
NO_FILTERS = Wrong("POST /crm/objects/2026-09/contacts/search", body={"filterGroups": "phone"})
NO_INPUTS = Wrong("POST /crm/objects/2026-09/contacts/batch/read", body={"idProperty": "email"})
NO_PARAMS = Wrong(f"POST /api/v2/integrations/{INTEGRATION}/dispatch/find", body={"params": "x"})
CASES = (
    Case(HubSpotAdapter, FakeHubSpot, HUBSPOT, NO_FILTERS, beyond=HUBSPOT_BEYOND),
    Case(HubSpotAdapter, FakeHubSpotOfLists, HUBSPOT, NO_INPUTS, beyond=HUBSPOT_BEYOND),
    Case(
        PipedriveAdapter,
        FakePipedrive,
        "pipedrive_v2.json",
        Wrong("GET /api/v2/persons/search", {"fields": "phone"}),
        below="/api/v2",
        beyond=r"/api/v2/personFields/.+|/api/v1/notes",
    ),
    Case(
        FreshdeskAdapter,
        FakeFreshdesk,
        "freshdesk.json",
        Wrong("GET /api/v2/contacts/somebody"),
        below="/api/v2",
        beyond=r"/api/v2/(companies|tickets)(/.+)?",
    ),
    Case(BabelforceAdapter, FakeBabelforce, "babelforce-subset.openapi.yaml", NO_PARAMS),
    Case(
        ZendeskAdapter,
        FakeZendesk,
        "zendesk_search.json",
        Wrong("GET /api/v2/search", {"page": "first"}),
        beyond=r"/api/v2/(users/me|user_fields|organization_fields|tickets).*",
        open=True,
    ),
    Case(
        ZohoAdapter,
        FakeZoho,
        "zoho_coql.json",
        Wrong("POST /crm/v8/coql", body={"select_query": 5}),
        beyond=r"/crm/v8/(?!coql).+",
        open=True,
    ),
    Case(
        ZohoAdapter,
        FakeZoho,
        "zoho_module_search.json",
        Wrong("GET /crm/v8/Contacts/search", {"phone": "3023125001"}),
        beyond=r"/crm/v8/(?!Contacts/search).+",
        open=True,
        options={"search": True},
    ),
)


def _named(case: Case) -> str:
    return f"{case.vendor.__name__}-{case.file.partition('.')[0]}"


@pytest.fixture(scope="module")
def urls(
    specs: Path, prism: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, str]]:
    """File -> where its mock listens. It answers 422 to what the file forbids."""
    files = [specs / name for name in dict.fromkeys(case.file for case in CASES)]
    with mocks(prism, files, tmp_path_factory.mktemp("prism"), "--errors") as addresses:
        yield {file.name: url for file, url in zip(files, addresses, strict=True)}


@pytest.mark.parametrize("case", CASES, ids=_named)
async def test_the_vendors_own_file_allows_whatever_the_adapter_sends(
    urls: Mapping[str, str], case: Case
) -> None:
    sent = await _sent_by(case)
    described = [asked for asked in sent if not re.fullmatch(case.beyond, asked.path)]
    assert described
    assert await _complaints(urls[case.file], case, described) == []


@pytest.mark.parametrize("case", CASES, ids=_named)
async def test_the_judge_complains_of_what_the_file_forbids(
    urls: Mapping[str, str], case: Case
) -> None:
    (example, *_) = await _sent_by(case)
    method, _, path = case.wrong.line.partition(" ")
    body = b"" if case.wrong.body is None else orjson.dumps(case.wrong.body)
    forbidden = replace(example, method=method, path=path, query=case.wrong.query, body=body)
    elsewhere = replace(forbidden, path=f"{case.below}/nowhere")
    stranger = replace(example, headers={"Content-Type": "application/json"})
    for wrong in (forbidden, elsewhere) if case.open else (forbidden, elsewhere, stranger):
        assert len(await _complaints(urls[case.file], case, [wrong])) == 1


async def _sent_by(case: Case) -> Sequence[Asked]:
    """All requests of an adapter that does whatever it can."""
    async with case.vendor() as vendor, open_session(LOOPBACK) as http:
        options = options_type(case.adapter).model_validate({**vendor.options(), **case.options})
        adapter = build(case.adapter, options, http)
        await adapter.find_by_phone(ADA.phone)
        for person in (ADA, GUS):
            await adapter.find_by_reference(person.typed)
        if case.adapter.create_ticket is not CrmAdapter.create_ticket:
            await adapter.create_ticket(TICKET)
        if case.adapter.record_outcome is not CrmAdapter.record_outcome:
            await adapter.record_outcome(NOTE)
        await adapter.ping()
        await adapter.aclose()
        return vendor.asked


async def _complaints(url: str, case: Case, requests: Iterable[Asked]) -> list[str]:
    told = (replace(asked, path=asked.path.removeprefix(case.below)) for asked in requests)
    return await complaints(url, told, *OURS)

"""The Tryton adapter against a real Tryton: the kit's questions, and what no fake can say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator  # noqa: TC003 - pytest evaluates them
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import aiohttp  # noqa: TC002 - pytest evaluates it
import pytest

from broker.domain.errors import PermanentError
from broker.http_client import open_session
from broker.ports import CallNote, CrmAdapter
from broker.testing.crm_kit import CrmAdapterKit, by_phone, by_reference, ids
from broker.testing.http_crm_kit import NoteKit
from broker.testing.loopback import LOOPBACK
from broker.testing.people import ADA, BOB, EVE, PEOPLE
from crm_adapters.tryton import TrytonAdapter, TrytonOptions
from tests.vendors.tryton_server import DATABASE, KEY, TrytonServer, tryton_programs

if TYPE_CHECKING:
    from collections.abc import Collection

pytestmark = pytest.mark.timeout(180)
"""The first test waits until the server is made, which takes a busy machine half a minute."""


@pytest.fixture(scope="module")
def tryton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrytonServer]:
    """A Tryton that holds the kit's people."""
    server = TrytonServer(tryton_programs(), tmp_path_factory.mktemp("tryton"))
    try:
        server.start(PEOPLE)
        yield server
    finally:
        server.stop()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(LOOPBACK) as session:
        yield session


def built(server: TrytonServer, http: aiohttp.ClientSession, **changes: Any) -> TrytonAdapter:
    """The adapter with some options changed."""
    options = {
        "base_url": server.url,
        "database": DATABASE,
        "auth": {"kind": "bearer", "token": KEY},
        "region": "DE",
        "fields": {"track_id": "identifiers.code"},
        "premium": {"field": "categories.name", "premium": ["VIP"], "standard": ["Basic"]},
        "web_url": f"{server.url}/",
    }
    return TrytonAdapter(TrytonOptions.model_validate({**options, **changes}), http)


class TestLiveTryton(NoteKit, CrmAdapterKit):
    secrets = (KEY,)

    # A real server does not spoil the one answer that is asked for.
    test_a_note_that_was_not_written_is_an_error = None  # type: ignore[assignment]

    @pytest.fixture
    def vendor(self, tryton: TrytonServer) -> TrytonServer:
        tryton.forget_notes()
        return tryton

    @pytest.fixture
    def adapter(self, tryton: TrytonServer, http: aiohttp.ClientSession) -> CrmAdapter:
        self.server = tryton
        return built(tryton, http)

    @pytest.fixture
    def broken(self, tryton: TrytonServer, http: aiohttp.ClientSession) -> CrmAdapter:
        return built(tryton, http, auth={"kind": "bearer", "token": f"{KEY}x"})

    async def hang(self) -> None:
        self.server.hang()

    async def recover(self) -> None:
        self.server.wake()


async def test_a_customer_has_a_link_into_the_web_client(
    tryton: TrytonServer, http: aiohttp.ClientSession
) -> None:
    (found,) = await by_phone(built(tryton, http), ADA.phone)
    assert found.record_url == f"{tryton.url}/#crm/model/party.party/{ADA.id}"


async def test_a_number_that_was_put_away_finds_nobody(
    tryton: TrytonServer, http: aiohttp.ClientSession
) -> None:
    adapter = built(tryton, http)
    wanted = [["party", "=", int(EVE.id)]]
    mechanism = tryton.admin("party.contact_mechanism.search", wanted, 0, None, None)
    tryton.admin("party.contact_mechanism.write", mechanism, {"active": False})
    assert await by_phone(adapter, EVE.phone) == ()
    tryton.admin("party.contact_mechanism.write", mechanism, {"active": True})
    assert ids(await by_phone(adapter, EVE.phone)) == {EVE.id}


async def test_a_party_that_was_put_away_is_nobody(
    tryton: TrytonServer, http: aiohttp.ClientSession
) -> None:
    adapter = built(tryton, http)
    tryton.admin("party.party.write", [int(EVE.id)], {"active": False})
    assert await by_phone(adapter, EVE.phone) == ()
    assert await by_reference(adapter, EVE.typed) == ()
    tryton.admin("party.party.write", [int(EVE.id)], {"active": True})
    assert ids(await by_phone(adapter, EVE.phone)) == {EVE.id}


async def test_categories_can_mean_premium(
    tryton: TrytonServer, http: aiohttp.ClientSession
) -> None:
    adapter = built(tryton, http, premium={"tags": ["vip"]})
    (ada,), (bob,) = await by_phone(adapter, ADA.phone), await by_phone(adapter, BOB.phone)
    assert (ada.tags, ada.premium) == (("VIP",), True)
    assert (bob.tags, bob.premium) == (("Basic",), False)


async def test_calls_whose_ids_look_alike_get_a_note_each(
    tryton: TrytonServer, http: aiohttp.ClientSession
) -> None:
    tryton.forget_notes()
    adapter = built(tryton, http)
    for call in ("ab1", "a_1", "1", "a_1"):
        await adapter.record_outcome(CallNote(call, BOB.id, "premium", 1.0, "Löwe & Söhne"))
    assert [(note["resource"], note["message"]) for note in tryton.notes] == [
        (f"party.party,{BOB.id}", "Löwe & Söhne\n(call ab1)"),
        (f"party.party,{BOB.id}", "Löwe & Söhne\n(call a_1)"),
        (f"party.party,{BOB.id}", "Löwe & Söhne\n(call 1)"),
    ]


async def test_a_note_for_nobody_is_refused(
    tryton: TrytonServer, http: aiohttp.ClientSession
) -> None:
    note = CallNote("call-1", "999999", "premium", 1.0, "Hello.")
    with pytest.raises(PermanentError, match="the party is not there any more"):
        await built(tryton, http).record_outcome(note)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"auth": {"kind": "bearer", "token": "x"}}, "the credentials were refused"),
        ({"database": "crn"}, "check base_url and database"),
        ({"fields": {"language": "lang.iso"}}, "ir.lang has no field `iso`"),
        ({"fields": {"track_id": "order"}}, "party.party has no field `order`"),
        ({"fields": {"reference": "code.value"}}, "`code` is no relation"),
        ({"fields": {"reference": "email"}}, "`email` cannot be searched"),
        ({"premium": {"field": "tier"}}, "party.party has no field `tier`"),
    ],
)
async def test_a_check_tells_what_to_change(
    tryton: TrytonServer, http: aiohttp.ClientSession, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(PermanentError, match=told):
        await built(tryton, http, **changes).ping()


async def test_a_check_tells_the_address_of_something_else(
    tryton: TrytonServer, http: aiohttp.ClientSession
) -> None:
    adapter = built(tryton, http, base_url=f"{tryton.url}/tryton")
    with pytest.raises(PermanentError, match="check base_url"):
        await adapter.ping()


@pytest.mark.parametrize("model", ["party.party", "party.contact_mechanism"])
async def test_a_check_tells_which_right_is_missing(
    tryton: TrytonServer, http: aiohttp.ClientSession, model: str
) -> None:
    with forbidden(tryton, model, ["perm_read"]), pytest.raises(PermanentError) as told:
        await built(tryton, http).ping()
    assert "a right is missing; needed: to read Parties" in str(told.value)


async def test_a_note_without_the_right_to_write_is_refused_in_words(
    tryton: TrytonServer, http: aiohttp.ClientSession
) -> None:
    note = CallNote("call-1", ADA.id, "premium", 1.0, "Hello.")
    with forbidden(tryton, "party.party", ["perm_write"]), pytest.raises(PermanentError) as told:
        await built(tryton, http).record_outcome(note)
    assert "a right is missing" in str(told.value)


@contextmanager
def forbidden(server: TrytonServer, model: str, rights: Collection[str]) -> Iterator[None]:
    """Nobody without a group may do this to the model."""
    all_rights = ("perm_read", "perm_write", "perm_create", "perm_delete")
    values = {right: right not in rights for right in all_rights}
    rule = server.admin("ir.model.access.create", [{"model": model, **values}])
    try:
        yield
    finally:
        server.admin("ir.model.access.delete", rule)


async def test_a_key_that_was_cancelled_is_refused(
    tryton: TrytonServer, http: aiohttp.ClientSession
) -> None:
    wanted = {"user": 1, "application": "rest", "key": "another-key"}
    keys = tryton.admin("res.user.application.create", [wanted])
    adapter = built(tryton, http, auth={"kind": "bearer", "token": "another-key"})
    assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id}
    tryton.admin("res.user.application.cancel", keys)
    with pytest.raises(PermanentError, match="the credentials were refused"):
        await adapter.find_by_phone(ADA.phone)

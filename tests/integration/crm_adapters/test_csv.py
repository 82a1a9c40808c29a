"""The CSV adapter and its file: how it is read, and what happens when it changes."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from broker.domain.call import Phone, Reference
from broker.domain.customer import Customer
from broker.domain.errors import ConfigError
from broker.http_client import open_session
from broker.testing.loopback import LOOPBACK
from crm_adapters.csv_file import FAULTS_TOLD, CsvAdapter, CsvOptions
from tests.timely import sometimes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import aiohttp

BERLIN = Phone.from_e164("+493023125001")
HEADER = "id,phone,reference,email,premium,track_id,name,language\n"
ADA = "c-1,+49 30 23125001,1000001,ada@example.com,true,T1,Ada,en\n"
BOB = "c-2,+49 30 23125002,1000002,bob@example.com,false,T2,Bob,de\n"
SOON_S = 10.0


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(LOOPBACK) as session:
        yield session


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "customers.csv"


@pytest.fixture
def make(path: Path, http: aiohttp.ClientSession) -> Callable[..., CsvAdapter]:
    """An adapter for this content of the file, which it looks at whenever it is asked."""

    def make(content: str | bytes, **options: Any) -> CsvAdapter:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        adapter = CsvAdapter(CsvOptions.model_validate({"path": path, **options}), http)
        adapter.check_every_s = 0.0
        return adapter

    return make


async def test_a_row_with_the_default_columns_is_a_customer_and_the_rest_is_extra(
    make: Callable[..., CsvAdapter],
) -> None:
    header = HEADER.replace("\n", ",city, Score ,\n")
    adapter = make(header + ADA.replace("\n", ',"Bonn, Beuel",7,\n'))
    assert await adapter.find_by_phone(BERLIN) == (
        Customer(
            "c-1",
            email="ada@example.com",
            premium=True,
            track_id="T1",
            phones=("+49 30 23125001",),
            name="Ada",
            language="en",
            extra={"city": "Bonn, Beuel", "Score": "7"},
        ),
    )


async def test_columns_have_the_names_that_the_operator_gives(
    make: Callable[..., CsvAdapter],
) -> None:
    adapter = make(
        "Nr;Festnetz;Mobil;Kunde;Stufe;Ort\n7;030 23125001;0170 1234567;ab-123;Gold;Bonn\n",
        delimiter=";",
        region="DE",
        fields={
            "id": "Nr",
            "phones": ["Festnetz", "Mobil"],
            "reference": "Kunde",
            "extra": {"city": "Ort"},
        },
        premium={"field": "Stufe", "premium": ["gold"]},
    )
    wanted = (
        Customer(
            "7", premium=True, phones=("030 23125001", "0170 1234567"), extra={"city": "Bonn"}
        ),
    )
    assert await adapter.find_by_phone(BERLIN) == wanted
    assert await adapter.find_by_phone(Phone.from_e164("+491701234567")) == wanted
    assert await adapter.find_by_reference(Reference("AB123")) == wanted
    assert await adapter.find_by_reference(Reference("22123", keypad=True)) == wanted


async def test_one_cell_may_hold_several_numbers(make: Callable[..., CsvAdapter]) -> None:
    adapter = make("id,phones\n1,+49 30 23125001; +49 30 23125002;\n")
    for e164 in ("+493023125001", "+493023125002"):
        assert len(await adapter.find_by_phone(Phone.from_e164(e164))) == 1


@pytest.mark.parametrize(
    ("cell", "premium"),
    [("true", True), (" FALSE ", False), ("", None), ("yes", None), ("1", None), ("0", None)],
)
async def test_premium_is_true_or_false_in_words_and_anything_else_is_unknown(
    make: Callable[..., CsvAdapter], cell: str, premium: bool | None
) -> None:
    (found,) = await make(f"id,phone,premium\n1,+493023125001,{cell}\n").find_by_phone(BERLIN)
    assert found.premium is premium


async def test_a_file_from_a_spreadsheet_is_read(make: Callable[..., CsvAdapter]) -> None:
    """With a byte order mark, Windows line ends, empty rows and line ends inside of cells."""
    content = '\ufeffid,phone,name\r\n1,+493023125001,"Ada\r\nL."\r\n\r\n,,\r\n'
    (found,) = await make(content).find_by_phone(BERLIN)
    assert found.name is not None
    assert found.name.split() == ["Ada", "L."]


async def test_a_reference_may_have_several_customers(make: Callable[..., CsvAdapter]) -> None:
    found = await make("id,reference\n1,1000001\n2,100 0001\n").find_by_reference(
        Reference("1000001")
    )
    assert [customer.id for customer in found] == ["1", "2"]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "there is no column id"),
        ("number,phone\n1,+493023125001\n", "there is no column id"),
        ("id,email\n1,ada@example.com\n", "no column with telephone numbers"),
        ("id,phone,phone\n1,2,3\n", "two columns have the same name"),
        (HEADER + ADA + "c-2,+493023125002\n", "row 3: has another number of cells"),
        (HEADER + ADA + ADA.replace("c-1", " "), "row 3: has no id"),
        ("id,phone\n1,030 23125001\n", "`region`"),
        (HEADER + '"c-1,+493023125001', "line 2: unexpected end of data"),
        (b"id,phone,name\n1,+493023125001,\xe4da\n", "not UTF-8"),
    ],
)
async def test_a_file_that_cannot_be_used_stops_the_start_and_tells_the_row_and_no_value(
    make: Callable[..., CsvAdapter], content: str | bytes, fault: str
) -> None:
    adapter = make(content)
    with pytest.raises(ConfigError) as refused:
        await adapter.ping()
    assert any(fault in told for told in refused.value.faults)
    assert not any(value in str(refused.value) for value in ("c-1", "c-2", "2312500", "ada@"))
    with pytest.raises(ConfigError):
        await adapter.find_by_phone(BERLIN)


async def test_all_faults_are_told_at_once_up_to_a_limit(make: Callable[..., CsvAdapter]) -> None:
    with pytest.raises(ConfigError) as refused:
        await make(HEADER + "x\n" * 3 + ADA + "x\n").ping()
    assert [fault.partition(":")[0] for fault in refused.value.faults] == [
        *("row 2", "row 3", "row 4", "row 6")
    ]
    with pytest.raises(ConfigError) as refused:
        await make(HEADER + "x\n" * 10_000).ping()
    assert len(refused.value.faults) == FAULTS_TOLD


async def test_a_column_that_was_named_has_to_exist(make: Callable[..., CsvAdapter]) -> None:
    named: list[dict[str, Any]] = [
        {"fields": {"email": "mail"}},
        {"fields": {"phones": ["phone", "mobile"]}},
        {"fields": {"extra": {"city": "town"}}},
        {"premium": {"field": "tier", "premium": ["gold"]}},
    ]
    for options in named:
        with pytest.raises(ConfigError, match="there is no column"):
            await make(HEADER + ADA, **options).ping()


async def test_a_missing_file_and_a_folder_stop_the_start(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(ConfigError):
            await CsvAdapter(CsvOptions(path=path), http).ping()


async def test_ping_tells_how_many_customers_and_in_which_rows_a_number_is_none(
    make: Callable[..., CsvAdapter],
) -> None:
    said = await make("id,phone\n1,+493023125001\n2,see notes\n3,\n4,12\n").ping()
    assert said.startswith("4 customers")
    assert said.endswith(": 3, 5")
    assert "12" not in said.replace("4 customers", "")


def test_an_unknown_option_or_region_is_refused(path: Path) -> None:
    wrong: list[dict[str, Any]] = [{"region": "de"}, {"delimiter": ";;"}, {"columns": {}}]
    for options in wrong:
        with pytest.raises(ValidationError):
            CsvOptions.model_validate({"path": path, **options})


async def until_found(adapter: CsvAdapter, phone: Phone) -> Customer:
    """The customer, as soon as the adapter has noticed that the file changed."""
    async with asyncio.timeout(SOON_S):
        while not (found := await adapter.find_by_phone(phone)):
            await asyncio.sleep(0.005)
    return found[0]


def changed(path: Path, content: str | None, *, seconds_later: int = 1) -> None:
    """Another version of the file, whose time of change differs for certain; None = no file."""
    if content is None:
        path.unlink()
        return
    path.write_text(content)
    later = time.time_ns() + seconds_later * 10**9
    os.utime(path, ns=(later, later))


async def test_a_changed_file_is_read_again(make: Callable[..., CsvAdapter], path: Path) -> None:
    adapter = make(HEADER + ADA)
    assert (await until_found(adapter, BERLIN)).name == "Ada"
    changed(path, HEADER + BOB)
    assert (await until_found(adapter, Phone.from_e164("+493023125002"))).name == "Bob"
    assert await adapter.find_by_phone(BERLIN) == ()


async def test_a_file_that_did_not_change_is_not_read_again(
    make: Callable[..., CsvAdapter], path: Path
) -> None:
    adapter = make(HEADER + ADA)
    (before,) = await adapter.find_by_phone(BERLIN)
    for _ in range(20):
        await asyncio.sleep(0.001)
        (after,) = await adapter.find_by_phone(BERLIN)
    assert after is before
    changed(path, HEADER + ADA)
    async with asyncio.timeout(SOON_S):
        while after is before:
            await asyncio.sleep(0.001)
            (after,) = await adapter.find_by_phone(BERLIN)


async def test_the_file_is_looked_at_once_a_second_at_most(
    make: Callable[..., CsvAdapter], path: Path
) -> None:
    adapter = make(HEADER + ADA)
    adapter.check_every_s = 60 * CsvAdapter.check_every_s  # however late this machine is
    await adapter.find_by_phone(BERLIN)
    changed(path, HEADER + BOB)
    for _ in range(20):
        await asyncio.sleep(0.005)
        assert await adapter.find_by_phone(BERLIN)
    assert CsvAdapter.check_every_s == 1.0


@pytest.mark.parametrize("content", ["", HEADER + ADA + "c-2\n", "id,phone\n1,030 1\n", None])
async def test_a_broken_new_file_keeps_the_customers_and_is_told_once(
    make: Callable[..., CsvAdapter], path: Path, content: str | None
) -> None:
    adapter = make(HEADER + ADA)
    await adapter.find_by_phone(BERLIN)
    with capture_logs() as logs:
        changed(path, content)
        looks = 0
        async with asyncio.timeout(SOON_S):
            while looks < 30 or not logs:
                assert len(await adapter.find_by_phone(BERLIN)) == 1
                await asyncio.sleep(0.002)
                looks += 1
        assert [log["event"] for log in logs] == ["csv_refused"]
        assert logs[0]["kept"]
        with pytest.raises(ConfigError):
            await adapter.ping()
        changed(path, HEADER + ADA + BOB, seconds_later=2)
        await until_found(adapter, Phone.from_e164("+493023125002"))
    assert [log["event"] for log in logs] == ["csv_refused", "csv_usable_again"]


async def test_a_file_that_was_missing_is_used_as_soon_as_it_is_there(
    path: Path, http: aiohttp.ClientSession
) -> None:
    adapter = CsvAdapter(CsvOptions(path=path), http)
    adapter.check_every_s = 0.0
    with pytest.raises(ConfigError):
        await adapter.find_by_phone(BERLIN)
    changed(path, HEADER + ADA)
    assert len(await adapter.find_by_phone(BERLIN)) == 1


async def test_the_first_lookups_share_one_reading_and_one_may_give_up(
    make: Callable[..., CsvAdapter],
) -> None:
    adapter = make(
        HEADER + ADA + "".join(f"x{i},,{i}\n".replace("\n", ",,,,,\n") for i in range(2000))
    )
    asking = [asyncio.create_task(adapter.find_by_phone(BERLIN)) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(isinstance(one, tuple) and len(one) == 1 for one in found[1:])


async def test_a_lookup_in_the_very_moment_the_file_is_read_finds_its_customers(
    make: Callable[..., CsvAdapter],
) -> None:
    adapter = make(HEADER + ADA)
    first = asyncio.create_task(adapter.find_by_phone(BERLIN))
    for _ in range(5):
        await asyncio.sleep(0)
        time.sleep(0.02)  # noqa: ASYNC251 - the thread ends, and the loop has not seen it yet
        assert len(await asyncio.create_task(adapter.find_by_phone(BERLIN))) == 1
    assert len(await first) == 1


async def test_reading_a_large_file_does_not_stop_the_loop(make: Callable[..., CsvAdapter]) -> None:
    assert await sometimes(lambda: _read_aside(make))


async def _read_aside(make: Callable[..., CsvAdapter]) -> bool:
    """Whether the loop went on while a large file was read."""
    adapter = make(HEADER + ADA + "".join(f"x{i},+4930231{i:05},,,,,,\n" for i in range(5000)))
    asking = asyncio.create_task(adapter.find_by_phone(BERLIN))
    longest, last = 0.0, time.monotonic()
    while not asking.done():
        await asyncio.sleep(0.001)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    assert len(await asking) == 1
    return longest < 0.25


async def test_closing_waits_for_the_thread(make: Callable[..., CsvAdapter]) -> None:
    adapter = make(HEADER + ADA)
    asking = asyncio.create_task(adapter.find_by_phone(BERLIN))
    await asyncio.sleep(0)
    asking.cancel()
    assert adapter._looking is not None
    await adapter.aclose()
    assert adapter._looking is None

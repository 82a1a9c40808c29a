"""The SQL adapter before an SQLite file: read only, stopped with the lookup, never guessing."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from broker.domain.call import Phone, Reference
from broker.domain.errors import ConfigError, PermanentError, TemporaryError
from broker.http_client import open_session
from broker.ports import set_deadline
from broker.testing.loopback import LOOPBACK
from crm_adapters.sql import SqlAdapter, SqlOptions
from crm_adapters.sql.sqlite import Sqlite
from crm_adapters.sql.statements import phone_values
from tests.timely import sometimes, stopped_from_outside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

BERLIN = Phone.from_e164("+493023125001")
TYPED = Reference("1000001")
DOCS = Path(__file__).parents[3] / "docs" / "adapters" / "sql.md"
FIELDS = {"phones": "phone", "reference": "reference"}
SOON_S = 10.0
"""The queries here would never end."""
ENDLESS = """
    WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
    SELECT x AS id, :e164 AS phone FROM n WHERE x < 0
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a shop?.db"  # a name that has to be escaped in the driver's URI


@pytest.fixture
def db(path: Path) -> Iterator[sqlite3.Connection]:
    """The other side of the file, to prepare and to lock."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("CREATE TABLE customers (id INTEGER, phone TEXT, reference TEXT, vip INT)")
    connection.execute("INSERT INTO customers VALUES (7, '030 23125001', '1000001', 1)")
    try:
        yield connection
    finally:
        connection.close()


@pytest.fixture
async def make(path: Path, db: sqlite3.Connection) -> AsyncIterator[Callable[..., SqlAdapter]]:
    assert db is not None
    made: list[SqlAdapter] = []
    async with open_session(LOOPBACK) as http:

        def make(**options: Any) -> SqlAdapter:
            values = {"dsn": f"sqlite:///{path}", "region": "DE", **options}
            made.append(SqlAdapter(SqlOptions.model_validate(values), http))
            return made[-1]

        yield make
        for adapter in made:
            await adapter.aclose()


async def test_a_row_becomes_a_customer_and_one_is_premium_where_the_rule_says_so(
    make: Callable[..., SqlAdapter],
) -> None:
    rule = {"field": "vip", "premium": ["1"], "standard": ["0"]}
    adapter = make(table="customers", fields=FIELDS, premium=rule)
    (customer,) = await adapter.find_by_phone(BERLIN)
    assert (customer.id, customer.premium) == ("7", True)
    assert await adapter.find_by_reference(TYPED) == (customer,)


async def test_statements_bind_by_name_and_lists(make: Callable[..., SqlAdapter]) -> None:
    adapter = make(
        by_phone="SELECT * FROM customers WHERE phone IN (:spellings) OR :e164 = phone",
        by_reference="SELECT * FROM customers WHERE reference = :reference AND :reference <> ''",
    )
    assert [customer.id for customer in await adapter.find_by_phone(BERLIN)] == ["7"]
    assert [customer.id for customer in await adapter.find_by_reference(TYPED)] == ["7"]


async def no_threads(adapter: SqlAdapter) -> None:
    """Until all threads of a closed adapter have ended."""
    assert isinstance(adapter._database, Sqlite)
    async with asyncio.timeout(SOON_S):
        while any(thread.is_alive() for thread in adapter._database._threads._threads):
            await asyncio.sleep(0.005)


async def test_a_query_that_was_cancelled_stops(make: Callable[..., SqlAdapter]) -> None:
    adapter = make(by_phone=ENDLESS)
    for moment in (0.0, 0.001, 0.05):
        asking = [asyncio.create_task(adapter.find_by_phone(BERLIN)) for _ in range(10)]
        await asyncio.sleep(moment)
        for lookup in asking:
            lookup.cancel()
        began = time.monotonic()
        await asyncio.wait(asking)
        assert all(lookup.cancelled() for lookup in asking)
        assert time.monotonic() - began < SOON_S
    await adapter.aclose()
    await no_threads(adapter)


async def test_a_query_ends_shortly_after_the_deadline(make: Callable[..., SqlAdapter]) -> None:
    adapter = make(by_phone=ENDLESS)
    set_deadline(0.05)
    began = time.monotonic()
    with pytest.raises(TemporaryError):
        await adapter.find_by_phone(BERLIN)
    assert 0.05 < time.monotonic() - began < SOON_S
    await adapter.aclose()
    await no_threads(adapter)


async def test_the_brokers_own_deadline_comes_first(make: Callable[..., SqlAdapter]) -> None:
    """Else a slow database would be told as an error instead of a timeout."""
    adapter = make(by_phone=ENDLESS)
    assert await sometimes(lambda: stopped_from_outside(lambda: adapter.find_by_phone(BERLIN)))


async def test_one_lookup_that_is_cancelled_does_not_stop_another(
    make: Callable[..., SqlAdapter],
) -> None:
    endless = make(by_phone=ENDLESS, by_reference="SELECT * FROM customers WHERE :reference <> ''")
    asking = asyncio.create_task(endless.find_by_phone(BERLIN))
    other = asyncio.create_task(endless.find_by_reference(TYPED))
    await asyncio.sleep(0.01)
    asking.cancel()
    assert len(await other) == 1
    await asyncio.wait({asking})


async def test_a_file_that_a_writer_has_locked_is_a_temporary_error(
    make: Callable[..., SqlAdapter], db: sqlite3.Connection
) -> None:
    adapter = make(table="customers", fields=FIELDS)
    db.execute("BEGIN EXCLUSIVE")
    set_deadline(0.1)
    with pytest.raises(TemporaryError):
        await adapter.find_by_phone(BERLIN)
    db.execute("ROLLBACK")
    set_deadline(20.0)
    assert len(await adapter.find_by_phone(BERLIN)) == 1


async def test_nothing_can_be_written(
    make: Callable[..., SqlAdapter], db: sqlite3.Connection
) -> None:
    for sql in (
        "DELETE FROM customers WHERE phone <> :e164 RETURNING id",
        "SELECT :e164 AS id) AS x; DELETE FROM customers; SELECT * FROM (SELECT 1",
    ):
        with pytest.raises((ConfigError, PermanentError)):
            await make(by_phone=sql).find_by_phone(BERLIN)
    assert db.execute("SELECT count(*) FROM customers").fetchone() == (1,)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"table": "nobody", "fields": FIELDS}, "SQLITE_ERROR"),
        ({"by_phone": "SELEKT :e164"}, "SQLITE_ERROR"),
        ({"table": "customers", "fields": FIELDS, "dsn": "sqlite:///none.db"}, "SQLITE_CANTOPEN"),
        ({"table": "customers", "fields": FIELDS, "dsn": f"sqlite:///{DOCS}"}, "SQLITE_NOTADB"),
    ],
)
async def test_what_the_operator_has_to_change_stops_the_start_and_is_told_by_its_code_alone(
    make: Callable[..., SqlAdapter], options: dict[str, Any], name: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        await make(**options).ping()
    assert str(refused.value) == f"SQLite: {name}"


async def test_a_text_that_is_no_utf_8_is_an_error_that_does_not_quote_it(
    make: Callable[..., SqlAdapter], db: sqlite3.Connection
) -> None:
    db.execute("UPDATE customers SET reference = CAST(x'4461e4' AS TEXT)")
    with pytest.raises(PermanentError) as refused:
        await make(table="customers", fields=FIELDS).find_by_phone(BERLIN)
    assert "with text" not in "".join(traceback.format_exception(refused.value))


async def test_more_rows_than_are_read_are_an_error_unless_they_show_two_customers(
    make: Callable[..., SqlAdapter], db: sqlite3.Connection
) -> None:
    adapter = make(table="customers", fields=FIELDS)
    db.executemany("INSERT INTO customers VALUES (7, ?, NULL, 0)", [["030 23125001"]] * 10)
    with pytest.raises(PermanentError):
        await adapter.find_by_phone(BERLIN)
    db.execute("UPDATE customers SET id = rowid")
    assert len(await adapter.find_by_phone(BERLIN)) > 1


async def test_short_numbers_are_found_however_they_are_spelled(
    make: Callable[..., SqlAdapter], db: sqlite3.Connection
) -> None:
    """Nine digits are more than the national part of these."""
    short = Phone.from_e164("+4930231250")
    adapter = make(table="customers", fields=FIELDS)
    for spelling in ("030 231250", "+49 30 231250", "0049 30/231250", "(030) 2312-50"):
        db.execute("UPDATE customers SET phone = ?", [spelling])
        assert len(await adapter.find_by_phone(short)) == 1


async def test_the_documented_index_is_used(
    make: Callable[..., SqlAdapter], db: sqlite3.Connection
) -> None:
    documented = re.findall(r"```sql\n(.*?);\n```", DOCS.read_text(), re.DOTALL)
    (index,) = [sql for sql in documented if "substr" in sql]
    db.execute(index)
    statement = make(table="customers", fields={"phones": "phone"})._by_phone
    assert statement is not None
    bound = {f"p{n}": value for n, value in enumerate(statement.bound(phone_values(BERLIN)), 1)}
    plan = db.execute(f"EXPLAIN QUERY PLAN {statement.text}", bound).fetchall()
    assert "USING INDEX customers_phone_ending" in str(plan)

"""The SQL adapter before a real PostgreSQL: nothing outlives its lookup, nothing is guessed."""

from __future__ import annotations

import asyncio
import re
import time
import traceback
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from broker.domain.call import Phone, Reference
from broker.domain.customer import Customer
from broker.domain.errors import ConfigError, PermanentError, TemporaryError
from broker.http_client import open_session
from broker.ports import set_deadline
from broker.testing.loopback import LOOPBACK
from crm_adapters.sql import SqlAdapter, SqlOptions
from crm_adapters.sql.statements import phone_values
from tests.timely import sometimes, stopped_from_outside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Server = asyncpg.Connection[asyncpg.Record]

BERLIN = Phone.from_e164("+493023125001")
ABROAD = "+443023125001"
TYPED = Reference("1000001")
DOCS = Path(__file__).parents[3] / "docs" / "adapters" / "sql.md"
SOON_S = 10.0
"""Far less than the queries take."""


@pytest.fixture
async def server(postgres_dsn: str) -> AsyncIterator[Server]:
    """A session of our own, to prepare and to look behind the scenes."""
    connection = await asyncpg.connect(postgres_dsn)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def make(postgres_dsn: str) -> AsyncIterator[Callable[..., SqlAdapter]]:
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(open_session(LOOPBACK))

        def make(**options: Any) -> SqlAdapter:
            values = {"dsn": postgres_dsn, "region": "DE", **options}
            adapter = SqlAdapter(SqlOptions.model_validate(values), http)
            stack.push_async_callback(adapter.aclose)
            return adapter

        yield make


async def one(lookup: Awaitable[Any]) -> Customer:
    (customer,) = await lookup
    assert isinstance(customer, Customer)
    return customer


async def table(server: Server, *numbers: str, ids: bool = True) -> None:
    """A table with one customer for each of `numbers`, or the same customer again and again."""
    await server.execute("CREATE TABLE customers (id text, phone text, reference text)")
    rows = [(str(i) if ids else "1", number, TYPED.value) for i, number in enumerate(numbers)]
    await server.executemany("INSERT INTO customers VALUES ($1, $2, $3)", rows)


FIELDS = {"phones": "phone", "reference": "reference"}


async def test_values_of_every_type_become_a_customer(
    make: Callable[..., SqlAdapter], server: Server
) -> None:
    await server.execute(
        """CREATE TABLE customers (
            no uuid, mail varchar(80), vip boolean, "Last Order" bigint, numbers text[],
            ref text, born date, balance numeric(8, 2), score float, lang char(2), name text)"""
    )
    await server.execute(
        """INSERT INTO customers VALUES (
            '00000000-0000-0000-0000-000000000001', 'ada@example.com', true, 9001,
            '{+493023125002,030 23125001}', '1000001', '1815-12-10', 12.50, 0.5, 'en', NULL)"""
    )
    adapter = make(
        table="customers",
        fields={
            "id": "no",
            "email": "mail",
            "track_id": "Last Order",
            "phones": "numbers",
            "reference": "ref",
            "language": "lang",
            "name": "name",
            "extra": {"born": "born", "balance": "balance", "score": "score"},
        },
        premium={"field": "vip"},
    )
    assert await one(adapter.find_by_reference(TYPED)) == Customer(
        "00000000-0000-0000-0000-000000000001",
        email="ada@example.com",
        premium=True,
        track_id="9001",
        phones=("+493023125002", "030 23125001"),
        language="en",
        extra={"born": "1815-12-10", "balance": "12.50"},
    )


async def test_the_server_itself_limits_the_time_and_takes_no_writes(
    make: Callable[..., SqlAdapter],
) -> None:
    sql = """SELECT current_setting('statement_timeout') AS id, :e164 AS phone,
        current_setting('transaction_read_only') AS name,
        current_setting('application_name') AS email"""
    adapter = make(by_phone=sql)
    set_deadline(50.0)
    customer = await one(adapter.find_by_phone(BERLIN))
    assert 40_000 < int(customer.id.removesuffix("ms")) <= 50_100
    assert (customer.name, customer.email) == ("on", "call-session-broker")


async def test_a_query_that_was_cancelled_ends_on_the_server_and_gives_its_connection_back(
    make: Callable[..., SqlAdapter], server: Server
) -> None:
    adapter = make(
        by_phone="SELECT pg_sleep(30)::text AS id WHERE :e164 <> ''",
        by_reference="SELECT pg_backend_pid() AS id, :reference AS reference",
    )
    backend = int((await one(adapter.find_by_reference(TYPED))).id)
    asking = asyncio.create_task(adapter.find_by_phone(BERLIN))
    await until(server, backend, "active")
    began = time.monotonic()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert time.monotonic() - began < SOON_S
    assert await state(server, backend) == "idle"
    assert int((await one(adapter.find_by_reference(TYPED))).id) == backend


async def state(server: Server, backend: int) -> str | None:
    found: str | None = await server.fetchval(
        "SELECT state FROM pg_stat_activity WHERE pid = $1", backend
    )
    return found


async def until(server: Server, backend: int, wanted: str | None) -> None:
    """Returns once the backend is in this state; None = gone."""
    async with asyncio.timeout(SOON_S):
        while await state(server, backend) != wanted:
            await asyncio.sleep(0.005)


async def test_the_server_stops_a_query_that_nobody_could_cancel(
    make: Callable[..., SqlAdapter], server: Server
) -> None:
    adapter = make(by_phone="SELECT pg_sleep(30)::text AS id WHERE :e164 <> ''")
    set_deadline(0.05)
    began = time.monotonic()
    with pytest.raises(TemporaryError):
        await adapter.find_by_phone(BERLIN)
    assert 0.05 < time.monotonic() - began < SOON_S
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE $1"
    assert await server.fetchval(asleep, "%pg_sleep(30)%AS found%") == 0


async def test_the_brokers_own_deadline_comes_first(make: Callable[..., SqlAdapter]) -> None:
    """Else a slow database would be told as an error instead of a timeout."""
    adapter = make(
        by_phone="SELECT pg_sleep(30)::text AS id WHERE :e164 <> ''",
        by_reference="SELECT :reference AS id",
    )
    await adapter.find_by_reference(TYPED)
    assert await sometimes(lambda: stopped_from_outside(lambda: adapter.find_by_phone(BERLIN)))


async def test_a_connection_that_the_server_closed_is_replaced_unnoticed(
    make: Callable[..., SqlAdapter], server: Server
) -> None:
    adapter = make(by_reference="SELECT pg_backend_pid() AS id, :reference AS reference")
    for turns in range(10):  # the sooner the lookup, the less asyncpg knows of it
        backend = int((await one(adapter.find_by_reference(TYPED))).id)
        await server.execute("SELECT pg_terminate_backend($1)", backend)
        for _ in range(turns):
            await asyncio.sleep(0)
        assert int((await one(adapter.find_by_reference(TYPED))).id) != backend


async def test_closing_closes_the_connections(
    make: Callable[..., SqlAdapter], server: Server
) -> None:
    adapter = make(by_reference="SELECT pg_backend_pid() AS id, :reference AS reference")
    backend = int((await one(adapter.find_by_reference(TYPED))).id)
    await adapter.aclose()
    await until(server, backend, None)


async def test_a_lookup_ends_its_transaction_itself(make: Callable[..., SqlAdapter]) -> None:
    """Else the pool would do it, and complain each time to the loop."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
    adapter = make(
        by_phone="SELECT pg_sleep(30)::text AS id WHERE :e164 <> ''",
        by_reference="SELECT 1 / (:reference::int - 1000002) AS id WHERE :reference <> '1000001'",
    )
    assert await adapter.find_by_reference(TYPED) == ()
    with pytest.raises(PermanentError):
        await adapter.find_by_reference(Reference("1000002"))
    asking = asyncio.create_task(adapter.find_by_phone(BERLIN))
    await asyncio.sleep(0.05)
    asking.cancel()
    await asyncio.wait({asking})
    assert await adapter.find_by_reference(TYPED) == ()
    assert complaints == []


class Silent:
    """A listener that takes connections and never says a word."""

    def __init__(self) -> None:
        self.open = 0
        """Connections whose other side is still there."""
        self.left = asyncio.Event()
        self.port = 0

    async def start(self) -> asyncio.Server:
        listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = listener.sockets[0].getsockname()[1]
        return listener

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.left.clear()
        while await reader.read(1024):
            pass
        writer.close()
        self.open -= 1
        if not self.open:
            self.left.set()


async def test_a_silent_server_costs_no_more_than_the_deadline_and_keeps_no_connection(
    make: Callable[..., SqlAdapter],
) -> None:
    silent = Silent()
    async with await silent.start():
        adapter = make(dsn=f"postgresql://u@127.0.0.1:{silent.port}/x", table="customers")
        set_deadline(0.05)
        began = time.monotonic()
        with pytest.raises(TemporaryError):
            await adapter.find_by_phone(BERLIN)
        asking = asyncio.create_task(adapter.find_by_reference(TYPED))
        await asyncio.sleep(0.03)
        asking.cancel()
        await asyncio.wait({asking})
        assert time.monotonic() - began < SOON_S
        async with asyncio.timeout(SOON_S):
            await silent.left.wait()


class Freezing:
    """A proxy before the server that stops passing anything on, in both directions."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._pumps: set[asyncio.Task[None]] = set()
        self.port = 0

    def freeze(self) -> None:
        self._thawed.clear()

    async def start(self) -> asyncio.Server:
        listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = listener.sockets[0].getsockname()[1]
        return listener

    async def stop(self) -> None:
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            self._pumps.add(asyncio.create_task(self._pump(source, sink)))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                await self._thawed.wait()
                sink.write(data)
                await sink.drain()
        finally:
            sink.close()


async def test_a_network_that_goes_silent_during_a_query_does_not_hold_a_cancelled_lookup(
    make: Callable[..., SqlAdapter], postgres_dsn: str
) -> None:
    """Neither the cancel request nor the rollback gets through: both are given up."""
    match = re.search(r"@([^:/]+):(\d+)/", postgres_dsn)
    assert match is not None
    proxy = Freezing(int(match[2]))
    async with await proxy.start():
        dsn = postgres_dsn.replace(match.group(), f"@127.0.0.1:{proxy.port}/")
        adapter = make(dsn=dsn, by_reference="SELECT :reference AS id")
        await adapter.find_by_reference(TYPED)
        proxy.freeze()
        asking = asyncio.create_task(adapter.find_by_reference(TYPED))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        asking.cancel()
        await asyncio.wait({asking})
        assert asking.cancelled()
        assert time.monotonic() - began < SOON_S
        await adapter.aclose()
        await proxy.stop()


async def test_the_same_ending_in_another_country_is_nobody(
    make: Callable[..., SqlAdapter], server: Server
) -> None:
    await table(server, ABROAD, "0043 30 23125001", "n/a")
    assert await make(table="customers", fields=FIELDS).find_by_phone(BERLIN) == ()


async def test_many_customers_with_one_number_are_ambiguous(
    make: Callable[..., SqlAdapter], server: Server
) -> None:
    await table(server, *["030 23125001"] * 50)
    found = await make(table="customers", fields=FIELDS).find_by_phone(BERLIN)
    assert len({customer.id for customer in found}) > 1
    assert len(found) <= 11


@pytest.mark.parametrize(
    ("numbers", "ids"),
    [
        (["030 23125001"] * 50, False),  # one customer: who knows whether all 50 are his
        ([*[ABROAD] * 10, "030 23125001"], True),  # one fits, and others may come
        ([ABROAD] * 50, True),  # nobody fits so far
    ],
)
async def test_more_rows_than_are_read_are_an_error_if_they_do_not_show_two_customers(
    make: Callable[..., SqlAdapter], server: Server, numbers: list[str], ids: bool
) -> None:
    await table(server, *numbers, ids=ids)
    with pytest.raises(PermanentError):
        await make(table="customers", fields=FIELDS).find_by_phone(BERLIN)


async def test_a_search_by_endings_has_to_return_the_numbers(
    make: Callable[..., SqlAdapter], server: Server
) -> None:
    await table(server, "030 23125001")
    blind = make(by_phone="SELECT id FROM customers WHERE right(phone, 8) = right(:suffix, 8)")
    with pytest.raises(ConfigError):
        await blind.find_by_phone(BERLIN)
    exact = make(by_phone="SELECT id FROM customers WHERE :e164 = '+493023125001'")
    assert len(await exact.find_by_phone(BERLIN)) == 1


async def test_a_row_with_another_reference_is_not_the_caller(
    make: Callable[..., SqlAdapter], server: Server
) -> None:
    await table(server, "030 23125001")
    loose = make(by_reference="SELECT * FROM customers WHERE reference LIKE '%' || :reference")
    assert len(await loose.find_by_reference(TYPED)) == 1
    assert await loose.find_by_reference(Reference("0001")) == ()


@pytest.mark.parametrize(
    ("options", "error", "sqlstate"),
    [
        ({"table": "nobody", "fields": FIELDS}, ConfigError, "42P01"),
        ({"table": "customers", "fields": {"phones": "tel"}}, ConfigError, "42703"),
        ({"by_phone": "SELEKT :e164"}, ConfigError, "42601"),
        ({"by_phone": "DELETE FROM customers WHERE phone = :e164"}, ConfigError, "42601"),
        ({"by_phone": "SELECT id FROM customers WHERE :digits::int > 0"}, PermanentError, "22003"),
        ({"by_phone": "SELECT :e164::uuid AS id"}, PermanentError, "22P02"),
    ],
)
async def test_a_statement_that_the_server_refuses_is_told_by_its_code_alone(
    make: Callable[..., SqlAdapter],
    server: Server,
    options: dict[str, Any],
    error: type[Exception],
    sqlstate: str,
) -> None:
    await table(server, "030 23125001")
    with pytest.raises(error) as refused:
        await make(**options).find_by_phone(BERLIN)
    assert type(refused.value) is error
    assert str(refused.value) == f"PostgreSQL: SQLSTATE {sqlstate}"
    assert BERLIN.digits not in "".join(traceback.format_exception(refused.value))


async def test_a_database_that_does_not_exist_and_a_dsn_that_is_none_stop_the_start(
    make: Callable[..., SqlAdapter], postgres_dsn: str
) -> None:
    nowhere = re.sub(r"(:\d+)/\w+", r"\1/a_database_nobody_has", postgres_dsn)
    for dsn in (nowhere, "postgresql://hunter2:hunter2@127.0.0.1:notaport/x"):
        with pytest.raises(ConfigError) as refused:
            await make(dsn=dsn, table="customers").ping()
        assert "hunter2" not in str(refused.value)


async def test_a_table_by_its_default_names_is_ready_to_use(
    make: Callable[..., SqlAdapter], server: Server
) -> None:
    await server.execute(
        """CREATE TABLE customers (id bigint, phone text, reference text, email text,
            track_id text, name text, language text, password_hash text);
        INSERT INTO customers VALUES (7, '030 23125001', '1000001', 'a@b.de')"""
    )
    adapter = make(table="customers")
    assert (await one(adapter.find_by_phone(BERLIN))).id == "7"
    assert (await one(adapter.find_by_reference(TYPED))).email == "a@b.de"
    assert "2 statements" in await adapter.ping()


async def test_the_documented_index_is_used(
    make: Callable[..., SqlAdapter], server: Server
) -> None:
    await server.execute(
        """CREATE TABLE customers (id int, phone text);
        INSERT INTO customers
            SELECT i, '+49 170 ' || (1000000 + i) FROM generate_series(1, 20000) i"""
    )
    (index,) = [sql for sql in documented() if "regexp_replace" in sql]
    await server.execute(f"{index}; ANALYZE customers")
    statement = make(table="customers", fields={"phones": "phone"})._by_phone
    assert statement is not None
    values = statement.bound(phone_values(Phone.from_e164("+491701000007")))
    plan = "\n".join(row[0] for row in await server.fetch(f"EXPLAIN {statement.text}", *values))
    assert "customers_phone_ending" in plan
    assert "Seq Scan" not in plan


def documented() -> list[str]:
    """The statements of docs/adapters/sql.md."""
    return re.findall(r"```sql\n(.*?);\n```", DOCS.read_text(), re.DOTALL)

"""Every CRM adapter, and the fake that stands for them elsewhere, keeps the kit's promises."""

from __future__ import annotations

import asyncio
import csv
import sqlite3
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, ClassVar

import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from broker.domain.customer import Customer
from broker.domain.errors import TemporaryError
from broker.http_client import open_session
from broker.ports import Clock
from broker.testing.crm_kit import CrmAdapterKit, KeypadCrmAdapterKit
from broker.testing.fake_crm import FakeCrm
from broker.testing.loopback import LOOPBACK
from broker.testing.people import PEOPLE, Person
from crm_adapters.csv_file import CsvAdapter, CsvOptions
from crm_adapters.rest import RestAdapter, RestOptions
from crm_adapters.sql import SqlAdapter, SqlOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection
    from pathlib import Path

    import aiohttp

    from broker.ports import CrmAdapter

COLUMNS = ("id", "phone", "mobile", "reference", "email", "tier", "track_id", "name", "language")
TIERS = {True: "gold", False: "basic", None: None}
PREMIUM = {"field": "tier", "premium": ["gold"], "standard": ["basic"]}
FOREVER_S = 3600.0


def row(person: Person) -> tuple[str | None, ...]:
    """A person in the order of COLUMNS, his second number as the mobile one."""
    phone, mobile = (*person.phones, None)[:2]
    return (
        *(person.id, phone, mobile, person.reference, person.email, TIERS[person.premium]),
        *(person.track_id, person.name, person.language),
    )


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(LOOPBACK) as session:
        yield session


class RealClock(Clock):
    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class TestFake(KeypadCrmAdapterKit):
    @pytest.fixture
    def adapter(self) -> CrmAdapter:
        self.fake = FakeCrm(RealClock())
        for person in PEOPLE:
            self.fake.add(
                Customer(
                    id=person.id,
                    email=person.email,
                    premium=person.premium,
                    track_id=person.track_id,
                    name=person.name,
                    language=person.language,
                ),
                *(phone.e164 for phone in person.all_phones),
                references=[person.reference],
            )
        return self.fake

    @pytest.fixture
    def broken(self) -> CrmAdapter:
        fake = FakeCrm(RealClock())
        fake.fail(*[TemporaryError("down")] * 2)
        return fake

    async def hang(self) -> None:
        self.fake.delay_s = FOREVER_S

    async def recover(self) -> None:
        self.fake.delay_s = 0.0

    async def busy(self) -> int:
        return len(self.fake.asked) - self.fake.answered - self.fake.cancelled


class TestCsv(KeypadCrmAdapterKit):
    @pytest.fixture
    def adapter(self, tmp_path: Path, http: aiohttp.ClientSession) -> CrmAdapter:
        path = tmp_path / "customers.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(row(person) for person in PEOPLE)
        options = {
            "path": path,
            "region": "DE",
            "premium": PREMIUM,
            "fields": {"phones": ["phone", "mobile"]},
        }
        return CsvAdapter(CsvOptions.model_validate(options), http)

    @pytest.fixture
    def broken(self, tmp_path: Path, http: aiohttp.ClientSession) -> CrmAdapter:
        path = tmp_path / "broken.csv"
        path.write_text("id,phone,email\n1,+493023125001,ada@example.com,1000001\n")
        return CsvAdapter(CsvOptions(path=path), http)


class Vendor:
    """A customer API that searches by the last digits, as real ones do, and can hang."""

    def __init__(self) -> None:
        self.hanging = False
        self.working = 0
        self.shapes: set[object] = set()

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/crm/customers", self._search)
        app.router.add_get("/crm/customers/{reference}", self._one)
        return app

    async def _enter(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != "Bearer s3cret-t0ken":
            raise web.HTTPUnauthorized
        route = request.match_info.route.resource
        self.shapes.add((request.method, route and route.canonical, tuple(sorted(request.query))))
        if self.hanging:
            self.working += 1
            try:
                await asyncio.sleep(FOREVER_S)
            finally:
                self.working -= 1

    async def _search(self, request: web.Request) -> web.Response:
        await self._enter(request)
        ending = request.query["phone"][-9:]
        found = [
            person for person in PEOPLE if any(p.digits.endswith(ending) for p in person.all_phones)
        ]
        return web.json_response({"customers": [self._json(person) for person in found]})

    async def _one(self, request: web.Request) -> web.Response:
        await self._enter(request)
        wanted = request.match_info["reference"]
        found = [person for person in PEOPLE if person.reference.upper() == wanted.upper()]
        if not found:
            raise web.HTTPNotFound
        return web.json_response({"customers": self._json(found[0])})

    @staticmethod
    def _json(person: Person) -> dict[str, Any]:
        known = {
            "id": person.id,
            "email": person.email,
            "premium": person.premium,
            "track_id": person.track_id,
            "name": person.name,
            "language": person.language,
            "reference": person.reference,
        }
        present = {key: value for key, value in known.items() if value is not None}
        return {**present, "phones": [{"number": number} for number in person.phones]}


class TestRest(CrmAdapterKit):
    secrets = ("s3cret-t0ken",)
    options: ClassVar[dict[str, Any]] = {
        "phone_path": "/crm/customers?phone={e164}",
        "reference_path": "/crm/customers/{reference}",
        "results": "$.customers",
        "fields": {"phones": "phones[*].number"},
        "premium": {"field": "premium"},
        "region": "DE",
        "auth": {"kind": "bearer", "token": "s3cret-t0ken\n"},
    }

    @pytest.fixture
    async def adapter(self, http: aiohttp.ClientSession) -> AsyncIterator[CrmAdapter]:
        self.vendor = Vendor()
        server = TestServer(self.vendor.application(), shutdown_timeout=0.0)
        await server.start_server(access_log=None)
        try:
            yield self._adapter(str(server.make_url("/")), http)
        finally:
            await server.close()

    @pytest.fixture
    def broken(self, unused_tcp_port: int, http: aiohttp.ClientSession) -> CrmAdapter:
        return self._adapter(f"http://127.0.0.1:{unused_tcp_port}", http)

    def _adapter(self, base_url: str, http: aiohttp.ClientSession) -> CrmAdapter:
        options = RestOptions.model_validate({**self.options, "base_url": base_url})
        return RestAdapter(options, http)

    async def hang(self) -> None:
        self.vendor.hanging = True

    async def recover(self) -> None:
        self.vendor.hanging = False

    async def busy(self) -> int:
        return self.vendor.working

    def shapes(self) -> Collection[object]:
        return self.vendor.shapes


TABLE = "CREATE TABLE customers (" + ", ".join(f"{column} text" for column in COLUMNS) + ")"
FIELDS = {
    "phones": ["phone", "mobile"],
    **{name: name for name in ("reference", "email", "track_id", "name", "language")},
}
STATEMENTS = {
    "by_phone": """
        SELECT *, concat_ws(';', phone, mobile) AS phones FROM customers
        WHERE right(regexp_replace(phone, '[^0-9]', '', 'g'), 9) IN (:suffixes)
           OR right(regexp_replace(mobile, '[^0-9]', '', 'g'), 9) = :suffix -- the mobile
    """,
    "by_reference": "SELECT * FROM customers WHERE reference IN (:references);",
}


class TestSqlite(CrmAdapterKit):
    @pytest.fixture
    async def adapter(
        self, tmp_path: Path, http: aiohttp.ClientSession
    ) -> AsyncIterator[CrmAdapter]:
        path = tmp_path / "customers.db"
        self.writer = sqlite3.connect(path, isolation_level=None)
        self.writer.execute("PRAGMA synchronous = OFF")
        self.writer.execute(TABLE)
        marks = ", ".join("?" * len(COLUMNS))
        self.writer.executemany(f"INSERT INTO customers VALUES ({marks})", map(row, PEOPLE))  # noqa: S608
        options = {
            "dsn": f"sqlite:///{path}",
            "table": "customers",
            "fields": FIELDS,
            "premium": PREMIUM,
            "region": "DE",
        }
        adapter = SqlAdapter(SqlOptions.model_validate(options), http)
        try:
            yield adapter
        finally:
            await adapter.aclose()
            self.writer.close()

    @pytest.fixture
    async def broken(
        self, tmp_path: Path, http: aiohttp.ClientSession
    ) -> AsyncIterator[CrmAdapter]:
        dsn = f"sqlite:///{tmp_path / 'nothing.db'}"
        options = {"dsn": dsn, "table": "customers", "fields": FIELDS}
        adapter = SqlAdapter(SqlOptions.model_validate(options), http)
        yield adapter
        await adapter.aclose()

    async def hang(self) -> None:
        self.writer.execute("BEGIN EXCLUSIVE")

    async def recover(self) -> None:
        self.writer.execute("ROLLBACK")


class TestPostgres(CrmAdapterKit):
    secrets = ("hunter2hunter2",)
    options: ClassVar[dict[str, Any]] = {"table": "customers", "fields": FIELDS}

    @pytest.fixture
    async def adapter(
        self, postgres_dsn: str, http: aiohttp.ClientSession
    ) -> AsyncIterator[CrmAdapter]:
        async with AsyncExitStack() as stack:
            self.writer = await asyncpg.connect(postgres_dsn)
            stack.push_async_callback(self.writer.close)
            await self.writer.execute(TABLE)
            marks = ", ".join(f"${i + 1}" for i in range(len(COLUMNS)))
            statement = f"INSERT INTO customers VALUES ({marks})"  # noqa: S608
            await self.writer.executemany(statement, [row(person) for person in PEOPLE])
            adapter = self._adapter(postgres_dsn, http)
            stack.push_async_callback(adapter.aclose)
            yield adapter

    @pytest.fixture
    async def broken(
        self, unused_tcp_port: int, http: aiohttp.ClientSession
    ) -> AsyncIterator[CrmAdapter]:
        adapter = self._adapter(
            f"postgres://u:{self.secrets[0]}@127.0.0.1:{unused_tcp_port}/x", http
        )
        yield adapter
        await adapter.aclose()

    def _adapter(self, dsn: str, http: aiohttp.ClientSession) -> CrmAdapter:
        options = {**self.options, "dsn": dsn, "premium": PREMIUM, "region": "DE"}
        return SqlAdapter(SqlOptions.model_validate(options), http)

    async def hang(self) -> None:
        await self.writer.execute("BEGIN; LOCK TABLE customers IN ACCESS EXCLUSIVE MODE")

    async def recover(self) -> None:
        await self.writer.execute("ROLLBACK")

    async def busy(self) -> int:
        waiting: int = await self.writer.fetchval(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'customers'::regclass"
        )
        return waiting


class TestPostgresStatements(TestPostgres):
    options: ClassVar[dict[str, Any]] = STATEMENTS

"""What one lookup costs on our side, adapter by adapter: time, and CPU of this process.

`python -m benchmarks.adapters [--lookups N] [--postgres DSN] [--output FILE]`
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import datetime as dt
import importlib
import multiprocessing
import sqlite3
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg
import orjson
import uvloop

from benchmarks import machine
from broker import plugins
from broker.http_client import Addresses, open_session
from broker.sdk import Phone
from broker.testing.people import ADA

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
    from multiprocessing.connection import Connection

    from broker.sdk import CrmAdapter

VENDORS = {
    "babelforce": "babelforce:FakeBabelforce",
    "dynamics": "dynamics:FakeDynamics",
    "freshdesk": "freshdesk:FakeFreshdesk",
    "hubspot": "hubspot:FakeHubSpot",
    "odoo": "odoo:FakeOdoo",
    "pipedrive": "pipedrive:FakePipedrive",
    "salesforce": "salesforce:FakeSalesforce",
    "shopify": "shopify:FakeShopify",
    "tryton": "tryton:FakeTryton",
    "zendesk": "zendesk:FakeZendesk",
    "zoho": "zoho:FakeZoho",
}
"""Adapter -> its fake in tests/vendors."""
ROWS = 200_000
SMALL = 20_000
WARM_UP = 50
POSTGRES = "postgresql://postgres@127.0.0.1:5432/postgres"
_PREFIX = "+4930"
_INDEX = """
CREATE INDEX ON customers (right(regexp_replace(phone, '[^0-9]', '', 'g'), 9));
ANALYZE customers
"""
_PAGE = """\
# Adapters
Made by `python -m benchmarks.adapters --lookups {lookups}` on {today}. What is measured:
[benchmarks/README.md](../README.md).

{facts}

| adapter | lookups | p50 ms | p99 ms | CPU us | of which the bare request |
|---|---|---|---|---|---|
{rows}

One lookup after the other, by number, somebody found. The vendors' fakes run in a process of their
own; their time is part of p50 and p99, not of the CPU. The bare request: the same one sent with
aiohttp and its answer read with orjson, in turns with the adapter.
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What many lookups took, in seconds."""

    took: Sequence[float]
    cpu: float
    """Per lookup."""


async def cost_of(lookups: int, ask: Callable[[], Awaitable[object]]) -> Cost:
    """`lookups` times `ask`, one after the other."""
    took: list[float] = []
    cpu = time.process_time()
    for _ in range(lookups):
        began = time.perf_counter()
        await ask()
        took.append(time.perf_counter() - began)
    return Cost(took, (time.process_time() - cpu) / lookups)


def row(name: str, costs: Sequence[Cost], bare: Sequence[Cost] = ()) -> str:
    """One line of the table; `costs` and `bare` were measured in turns."""
    took = sorted(t for cost in costs for t in cost.took)
    cuts = quantiles(took, n=100)
    cpu = median(cost.cpu for cost in costs) * 1e6
    share = f"{median(b.cpu for b in bare) * 1e6:.0f}" if bare else "-"
    p50, p99 = cuts[49] * 1000, cuts[98] * 1000
    return f"| {name} | {len(took)} | {p50:.2f} | {p99:.2f} | {cpu:.0f} | {share} |"


async def _serve(fake: str, pipe: Connection) -> None:
    """The fake in its own process; says its options, and ends when it is told."""
    module, _, name = fake.partition(":")
    vendor_type = getattr(importlib.import_module(f"tests.vendors.{module}"), name)
    async with vendor_type() as vendor:
        pipe.send(dict(vendor.options()))
        await asyncio.to_thread(pipe.recv)


def _process(fake: str, pipe: Connection) -> None:
    asyncio.run(_serve(fake, pipe))


@contextlib.contextmanager
def _running(fake: str) -> Iterator[Mapping[str, Any]]:
    """The options that reach a fake."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_process, args=(fake, theirs))
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        process.join(10)


@asynccontextmanager
async def _adapter(name: str, options: Mapping[str, Any]) -> AsyncIterator[CrmAdapter]:
    adapter_type = plugins.crm_adapter(name)
    read = plugins.options_type(adapter_type).model_validate(options)
    async with open_session(Addresses.parse(["127.0.0.0/8"])) as http:
        adapter = plugins.build(adapter_type, read, http)
        try:
            yield adapter
        finally:
            await adapter.aclose()


class _Sent:
    """The last request that an adapter sent, so that it can be sent again without it."""

    def __init__(self) -> None:
        self.request: tuple[str, Any, dict[str, Any]] | None = None

    def trace(self) -> aiohttp.TraceConfig:
        config = aiohttp.TraceConfig()

        async def on_start(_: object, __: object, params: aiohttp.TraceRequestStartParams) -> None:
            self.request = (params.method, params.url, {"headers": dict(params.headers)})

        async def on_chunk(
            _: object, __: object, params: aiohttp.TraceRequestChunkSentParams
        ) -> None:
            if self.request is not None and params.chunk:
                self.request[2]["data"] = params.chunk

        config.on_request_start.append(on_start)
        config.on_request_chunk_sent.append(on_chunk)
        return config


async def _vendor(name: str, lookups: int) -> str:
    with _running(VENDORS[name]) as options:
        sent = await _seen(name, options)
        async with _adapter(name, options) as adapter, aiohttp.ClientSession() as bare:

            async def plain() -> None:
                method, url, rest = sent
                async with bare.request(method, url, **rest) as response:
                    orjson.loads(await response.read())

            costs, bares = [], []
            await cost_of(WARM_UP, lambda: adapter.find_by_phone(ADA.phone))
            for _ in range(5):
                costs.append(await cost_of(lookups // 5, lambda: adapter.find_by_phone(ADA.phone)))
                bares.append(await cost_of(lookups // 5, plain))
            return row(name, costs, bares)


async def _seen(name: str, options: Mapping[str, Any]) -> tuple[str, Any, dict[str, Any]]:
    """The request of one lookup, as the adapter sends it."""
    sent = _Sent()
    adapter_type = plugins.crm_adapter(name)
    read = plugins.options_type(adapter_type).model_validate(options)
    async with aiohttp.ClientSession(trace_configs=[sent.trace()]) as http:
        adapter = plugins.build(adapter_type, read, http)
        found = await adapter.find_by_phone(ADA.phone)
        await adapter.aclose()
    if not found or sent.request is None:
        raise RuntimeError(f"{name} found nobody")
    return sent.request


def _people(count: int) -> Iterator[tuple[str, str, str, str, str]]:
    """Customers with Berlin numbers, spelled in two ways."""
    for i in range(count):
        number = f"23{i:06}"
        phone = f"{_PREFIX}{number}" if i % 2 else f"030 / {number[:4]} {number[4:]}"
        yield f"c-{i}", phone, f"{i:07}", f"c{i}@example.com", "gold" if i % 10 == 0 else "basic"


async def _files(lookups: int, folder: Path) -> list[str]:
    columns = ("id", "phone", "reference", "email", "tier")
    with (folder / "c.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *_people(SMALL)])
    database = sqlite3.connect(folder / "c.db")
    database.execute(f"CREATE TABLE customers ({', '.join(columns)})")
    database.executemany("INSERT INTO customers VALUES (?, ?, ?, ?, ?)", _people(SMALL))
    database.commit()
    database.close()
    premium = {"field": "tier", "premium": ["gold"], "standard": ["basic"]}
    fields = {"phones": ["phone"], "reference": "reference", "email": "email"}
    common = {"premium": premium, "region": "DE"}
    sqlite = {"dsn": f"sqlite:///{folder / 'c.db'}", "table": "customers", "fields": fields}
    return [
        await _local(f"csv, {SMALL:,} rows", "csv", {"path": folder / "c.csv", **common}, lookups),
        await _local(
            f"sql, SQLite, {SMALL:,} rows without index", "sql", {**sqlite, **common}, lookups // 10
        ),
    ]


async def _postgres(lookups: int, dsn: str) -> str:
    """The table and the index of docs/adapters/sql.md, in a schema of its own."""
    schema = "broker_benchmark"
    writer = await asyncpg.connect(dsn)
    try:
        await writer.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}")
        await writer.execute(f"SET search_path = {schema}")
        await writer.execute(
            "CREATE TABLE customers (id text, phone text, reference text, email text, tier text)"
        )
        await writer.copy_records_to_table("customers", records=_people(ROWS))
        await writer.execute(_INDEX)
        options = {
            "dsn": f"{dsn}?search_path={schema}",
            "table": "customers",
            "fields": {"phones": ["phone"], "reference": "reference", "email": "email"},
            "premium": {"field": "tier", "premium": ["gold"], "standard": ["basic"]},
            "region": "DE",
        }
        return await _local(f"sql, PostgreSQL, {ROWS:,} rows", "sql", options, lookups)
    finally:
        await writer.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        await writer.close()


async def _local(label: str, name: str, options: Mapping[str, Any], lookups: int) -> str:
    async with _adapter(name, options) as adapter:
        phones = [Phone.from_e164(f"{_PREFIX}23{i * 197 % SMALL:06}") for i in range(100)]
        turn = 0

        async def ask() -> None:
            nonlocal turn
            turn += 1
            if not await adapter.find_by_phone(phones[turn % len(phones)]):
                raise RuntimeError(f"{label}: found nobody")

        await cost_of(WARM_UP, ask)
        return row(label, [await cost_of(lookups // 5, ask) for _ in range(5)])


async def measure(lookups: int, dsn: str) -> list[str]:
    """The rows of the table; PostgreSQL is left out, and said so, if it takes nobody in."""
    rows = [await _vendor(name, lookups) for name in VENDORS]
    with TemporaryDirectory() as folder:
        rows += await _files(lookups, Path(folder))
    try:
        rows.append(await _postgres(lookups, dsn))
    except (OSError, asyncpg.PostgresError) as error:
        rows.append(f"| sql, PostgreSQL | not measured: {type(error).__name__} | | | | |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lookups", type=int, default=1000)
    parser.add_argument("--postgres", default=POSTGRES, metavar="DSN")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    page = _PAGE.format(
        lookups=args.lookups,
        today=dt.datetime.now(tz=dt.UTC).date(),
        facts="\n".join(f"- {fact}" for fact in machine.facts()),
        rows="\n".join(uvloop.run(measure(args.lookups, args.postgres))),
    )
    print(page)
    if args.output:
        args.output.write_text(page)


if __name__ == "__main__":
    main()

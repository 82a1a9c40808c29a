"""Customers from a CSV file: held in memory, read again when the file changes."""

from __future__ import annotations

import asyncio
import csv
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from pydantic import Field

from broker.sdk import (
    ConfigError,
    CrmAdapter,
    Customer,
    Fields,
    Options,
    PermanentError,
    Phone,
    PremiumRule,
    Reference,
    Region,
    fold_to_keypad,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import aiohttp

FAULTS_TOLD = 20
_BOOLEANS = {"true": True, "false": False}
_log = structlog.get_logger(__name__)

Version = tuple[int, int]
"""When the file was changed (ns) and how large it is (bytes)."""
_NEVER_SEEN: Version = (-1, -1)
_MISSING: Version = (0, -1)


class CsvOptions(Options):
    """See docs/adapters/csv.md. Columns that are named have to exist, the default ones need not.

    Columns that mean nothing else become the customer's `extra`, unless `fields.extra` picks some.
    """

    path: Path
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    region: Region | None = None
    """Where numbers without country code are read; without it they are not read at all."""
    fields: Fields = Fields()
    premium: PremiumRule = PremiumRule(field="premium")


class CsvAdapter(CrmAdapter):
    """Answers from memory, never waiting for the file except for the first time.

    A new version that cannot be used is logged once, and the customers before it stay.
    """

    options_type = CsvOptions
    folds_reference = True
    check_every_s = 1.0

    def __init__(self, options: CsvOptions, http: aiohttp.ClientSession) -> None:  # noqa: ARG002 - all plug-ins are built alike
        self._options = options
        self._table: Table | None = None
        self._faults: tuple[str, ...] = ()
        self._seen = _NEVER_SEEN
        self._check_at = 0.0
        self._looking: asyncio.Task[None] | None = None

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        return (await self._current()).find("phone", phone.e164)

    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:
        table = await self._current()
        return table.find("keys" if reference.keypad else "reference", reference.value)

    async def ping(self) -> str:
        """How much the file holds. ConfigError with all that is wrong with its newest version."""
        self._look()
        table = await self._current(newest=True)
        if self._faults:
            raise ConfigError(*self._faults)
        return table.summary

    async def aclose(self) -> None:
        if self._looking is not None:
            await asyncio.wait({self._looking})

    async def _current(self, *, newest: bool = False) -> Table:
        if time.monotonic() >= self._check_at:
            self._look()
        if self._looking is not None and (newest or self._table is None):
            # Others wait for the same look: it must survive the cancellation of one.
            await asyncio.shield(self._looking)
        if self._table is None:
            raise ConfigError(*self._faults)
        return self._table

    def _look(self) -> None:
        """Look at the file in a thread, so that a slow disk or a large file stops no call."""
        if self._looking is None:
            self._looking = asyncio.create_task(self._read_again())

    async def _read_again(self) -> None:
        """One task and no callback: whoever has awaited it sees what it found."""
        try:
            found = await asyncio.to_thread(look, self._options, self._seen)
        finally:
            self._looking = None
            self._check_at = time.monotonic() + self.check_every_s
        if found.version == self._seen:
            return
        self._seen = found.version
        self._table = found.table or self._table
        self._tell(found.faults)

    def _tell(self, faults: tuple[str, ...]) -> None:
        name = self._options.path.name
        if faults:
            _log.warning("csv_refused", file=name, faults=faults, kept=self._table is not None)
        elif self._faults:
            _log.info("csv_usable_again", file=name)
        self._faults = faults


@dataclass(slots=True)
class Table:
    """The customers of one version of the file, by all that can be asked for."""

    rows: int = 0
    index: defaultdict[tuple[str, str], list[Customer]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """(`phone`, E.164), (`reference`, as typed) and (`keys`, as typed on a keypad)."""
    unreadable: list[int] = field(default_factory=list)
    """Rows with a telephone number that is none."""

    def find(self, kind: str, value: str) -> tuple[Customer, ...]:
        return tuple(self.index.get((kind, value), ()))

    def add(self, row: int, customer: Customer, reference: str, region: str | None) -> None:
        self.rows += 1
        numbers = [Phone.read(spelled, region) for spelled in customer.phones]
        if None in numbers:
            self.unreadable.append(row)
        for e164 in {number.e164 for number in numbers if number}:
            self.index["phone", e164].append(customer)
        if plain := Reference.plain(reference):
            self.index["reference", plain].append(customer)
            self.index["keys", fold_to_keypad(plain)].append(customer)

    @property
    def summary(self) -> str:
        text = f"{self.rows} customers"
        if self.unreadable:
            some = ", ".join(str(row) for row in self.unreadable[:FAULTS_TOLD])
            text += f"; {len(self.unreadable)} rows have a number that cannot be read: {some}"
        return text


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the file showed: nothing new, a new table, or what is wrong with it."""

    version: Version
    table: Table | None = None
    faults: tuple[str, ...] = ()


def look(options: CsvOptions, seen: Version) -> Look:
    """Read the file unless it still is the version `seen`. Blocks."""
    version = seen
    try:
        stat = options.path.stat()
        version = (stat.st_mtime_ns, stat.st_size)
        if version == seen:
            return Look(version)
        with options.path.open(encoding="utf-8-sig", newline="") as file:
            return Look(version, _table(file, options))
    except FileNotFoundError:
        return Look(_MISSING, faults=("the file does not exist",))
    except OSError as exc:
        return Look(version, faults=(f"the file cannot be read ({exc.strerror})",))
    except UnicodeDecodeError:
        return Look(version, faults=("the file is not UTF-8",))
    except ConfigError as exc:
        return Look(version, faults=exc.faults)


def _table(file: Iterable[str], options: CsvOptions) -> Table:
    """ConfigError with the first FAULTS_TOLD faults, told by row and never by value."""
    reader = csv.reader(file, delimiter=options.delimiter, strict=True)
    table = Table()
    faults: list[str] = []
    try:
        header = [cell.strip() for cell in next(reader, [])]
        fields = _fields(header, options)
        for row, cells in enumerate(reader, start=2):
            if any(cells) and (fault := _added(table, row, _named(header, cells), fields, options)):
                faults.append(f"row {row}: {fault}")
            if len(faults) == FAULTS_TOLD:
                break
    except csv.Error as exc:
        faults.append(f"line {reader.line_num}: {exc}")
    if table.unreadable and not any(kind == "phone" for kind, _ in table.index):
        faults.append("not one telephone number can be read; national ones need `region`")
    if faults:
        raise ConfigError(*faults)
    return table


def _fields(header: Sequence[str], options: CsvOptions) -> Fields:
    """The columns to read; whatever else the file has is `extra`."""
    fields = options.fields
    named = {"id", "extra", *fields.model_fields_set}
    wanted = {place for name in named for place in fields.places_of(name)}
    if "premium" in options.model_fields_set:
        wanted |= {*options.premium.places}
    faults = [f"there is no column {place}" for place in sorted(wanted - {*header})]
    if len({*header}) < len(header):
        faults.append("two columns have the same name")
    if not {*fields.phones, *fields.places_of("reference")} & {*header}:
        faults.append("there is no column with telephone numbers, and none with references")
    if faults:
        raise ConfigError(*faults)
    used = {"", *fields.places(options.premium)}
    others = {column: column for column in header if column not in used}
    return fields.model_copy(update={"extra": fields.extra or others})


def _named(header: Sequence[str], cells: Sequence[str]) -> dict[str, str] | None:
    return dict(zip(header, cells, strict=True)) if len(cells) == len(header) else None


def _added(
    table: Table, row: int, cells: Mapping[str, str] | None, fields: Fields, options: CsvOptions
) -> str | None:
    """Put one row into the table; what is wrong with it, or None."""
    if cells is None:
        return "has another number of cells than the first row"

    def get(place: str) -> object:
        cell = cells.get(place, "")
        if place in options.premium.places:
            return _BOOLEANS.get(cell.strip().casefold(), cell)
        return cell

    try:
        customer = fields.customer(get, options.premium)
    except PermanentError:
        return "has no id"
    table.add(row, customer, cells.get(fields.reference or "", ""), options.region)
    return None

"""The CRM adapter for databases: which statement is asked, and whose rows are believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.sdk import (
    ConfigError,
    CrmAdapter,
    Customer,
    PermanentError,
    Phone,
    Reference,
    has_number,
    time_left,
)
from crm_adapters.sql import statements, tables
from crm_adapters.sql.options import SqlOptions
from crm_adapters.sql.postgres import Postgres
from crm_adapters.sql.sqlite import Sqlite

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import aiohttp

    from crm_adapters.sql.database import Database
    from crm_adapters.sql.statements import Statement

OUTSIDE_S = 5.0
"""How long a lookup may take that has no deadline, such as `ping`."""
_NOBODY = Phone.from_e164("+12025550199")
"""A number that is reserved for fiction."""


class SqlAdapter(CrmAdapter):
    """Reads customers with one statement each; a lookup that has none finds nobody."""

    options_type = SqlOptions

    def __init__(self, options: SqlOptions, http: aiohttp.ClientSession) -> None:  # noqa: ARG002 - all plug-ins are built alike
        self._options = options
        self._database = _database(options)
        by_phone, by_reference = _statements(options, self._database)
        self._exact = by_phone is not None and statements.parameters(by_phone) <= statements.EXACT
        self._by_phone = self._database.statement(by_phone) if by_phone else None
        self._by_reference = self._database.statement(by_reference) if by_reference else None

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        def fits(customer: Customer, _: Mapping[str, object]) -> bool:
            if not customer.phones and not self._exact:
                raise ConfigError("by_phone is not exact, so its rows need a column with numbers")
            return has_number(customer, phone, self._options.region)

        return await self._found(self._by_phone, statements.phone_values(phone), fits)

    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:
        def fits(_: Customer, row: Mapping[str, object]) -> bool:
            return self._options.fields.has_reference(row.get, reference)

        return await self._found(self._by_reference, statements.reference_values(reference), fits)

    async def ping(self) -> str:
        """Runs each statement once. ConfigError if the database refuses one."""
        await self.find_by_phone(_NOBODY)
        await self.find_by_reference(Reference("0"))
        count = sum(known is not None for known in (self._by_phone, self._by_reference))
        return f"{self._options.scheme} answers {count} statements"

    async def aclose(self) -> None:
        await self._database.aclose()

    async def _found(
        self,
        statement: Statement | None,
        values: Mapping[str, str],
        fits: Callable[[Customer, Mapping[str, object]], bool],
    ) -> tuple[Customer, ...]:
        """The customers of the rows that fit.

        PermanentError if there are more rows than are read, and those do not show two customers.
        """
        if statement is None:
            return ()
        rows = await self._database.rows(statement, values, time_left(OUTSIDE_S))
        read = [
            (self._options.fields.customer(row.get, self._options.premium), row) for row in rows
        ]
        found = tuple(customer for customer, row in read if fits(customer, row))
        if len(rows) > statements.ROWS_READ and len({customer.id for customer in found}) < 2:  # noqa: PLR2004 - two are ambiguous
            raise PermanentError(f"more than {statements.ROWS_READ} rows fit one lookup")
        return found


def _database(options: SqlOptions) -> Database:
    dsn = options.dsn.get_secret_value()
    if options.scheme == "sqlite":
        return Sqlite(dsn.removeprefix("sqlite:///"))
    return Postgres(dsn)


def _statements(options: SqlOptions, database: Database) -> tuple[str | None, str | None]:
    """The operator's own, or those that his table needs."""
    table = options.table
    if table is None:
        return options.by_phone, options.by_reference
    by_phone = by_reference = None
    if options.phones:
        by_phone = tables.by_phone(table, options.columns, options.phones, database.ending)
    if options.fields.reference is not None and "reference" in options.named:
        by_reference = tables.by_reference(table, options.columns, options.fields.reference)
    return by_phone, by_reference

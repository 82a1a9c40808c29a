"""PostgreSQL by asyncpg: a pool, read-only transactions, and no query that outlives its lookup."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING, Any

from broker.sdk import ConfigError, PermanentError, TemporaryError
from crm_adapters.sql.database import GRACE_S, Database, driver
from crm_adapters.sql.statements import Statement, statement
from crm_adapters.sql.tables import postgres_ending

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONNECTIONS = 10
IDLE_S = 60.0
"""Shorter than firewalls forget a silent connection."""
CLEAN_UP_S = 1.0
"""For rolling back and for closing. What takes longer is cut off."""
APPLICATION = "call-session-broker"
"""How our sessions are called in pg_stat_activity."""

_REFUSED = ("28", "3D", "42")
_TEMPORARY = ("08", "40", "53", "55", "57", "58")


class Postgres(Database):
    ending = staticmethod(postgres_ending)

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._pool: Any = None
        self._opening = asyncio.Lock()

    def statement(self, sql: str) -> Statement:
        # The cast says that texts are sent: what PostgreSQL would guess depends on the column.
        return statement(sql, lambda number: f"${number}::text")

    async def rows(
        self, statement: Statement, values: Mapping[str, str], within: float
    ) -> Sequence[Mapping[str, object]]:
        asyncpg = driver("asyncpg")
        # `from None`: PostgreSQL's texts quote values, and values are caller data.
        try:
            async with asyncio.timeout(within + GRACE_S):
                try:
                    return await self._rows(statement, values, within)
                except _closed_meanwhile(asyncpg):
                    # The server had closed a connection that was idle; to read again is harmless.
                    return await self._rows(statement, values, within)
        except asyncpg.PostgresError as exc:
            raise _refusal(exc.sqlstate or "") from None
        except TimeoutError:
            raise TemporaryError("PostgreSQL: no answer in time") from None
        except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as exc:
            raise TemporaryError(f"PostgreSQL: no connection ({type(exc).__name__})") from None

    async def aclose(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(CLEAN_UP_S):
                await pool.close()
        except TimeoutError:
            pool.terminate()

    async def _rows(
        self, statement: Statement, values: Mapping[str, str], within: float
    ) -> list[dict[str, object]]:
        pool = await self._opened()
        try:
            connection = await pool.acquire()
        except ValueError:
            raise ConfigError("PostgreSQL: the dsn cannot be read") from None
        try:
            await connection.execute(
                f"BEGIN READ ONLY; SET LOCAL statement_timeout = {_ms(within)}"
            )
            found = await connection.fetch(statement.text, *statement.bound(values))
            return [dict(row) for row in found]
        finally:
            # Whatever goes wrong here must not hide how the lookup itself ended; `release` throws
            # away a connection that cannot be cleaned.
            with contextlib.suppress(Exception):
                await connection.execute("ROLLBACK", timeout=CLEAN_UP_S)
            with contextlib.suppress(Exception):
                await pool.release(connection, timeout=CLEAN_UP_S)

    async def _opened(self) -> Any:
        async with self._opening:
            if self._pool is None:
                self._pool = await driver("asyncpg").create_pool(
                    self._dsn,
                    min_size=0,
                    max_size=CONNECTIONS,
                    max_inactive_connection_lifetime=IDLE_S,
                    server_settings={"application_name": APPLICATION},
                )
            return self._pool


def _closed_meanwhile(asyncpg: Any) -> tuple[type[Exception], ...]:
    """What a connection says that the server closed; a server that is down says otherwise."""
    return (
        asyncpg.PostgresConnectionError,
        asyncpg.AdminShutdownError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,  # the farewell has come, and asyncpg has not read it yet
        ConnectionResetError,
        BrokenPipeError,
    )


def _ms(seconds: float) -> int:
    return max(1, math.ceil((seconds + GRACE_S) * 1000))


def _refusal(sqlstate: str) -> Exception:
    """The error class by SQLSTATE class (PostgreSQL documentation, appendix A)."""
    text = f"PostgreSQL: SQLSTATE {sqlstate}"
    if sqlstate.startswith(_REFUSED):
        return ConfigError(text)
    if sqlstate.startswith(_TEMPORARY):
        return TemporaryError(text)
    return PermanentError(text)

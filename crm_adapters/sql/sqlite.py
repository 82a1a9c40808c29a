"""SQLite: one read-only connection for each lookup, in a thread, whose query stops with it.

Not by aiosqlite: a cancelled connect leaves its thread behind, and its debug log holds all values.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote

from broker.sdk import ConfigError, PermanentError, TemporaryError
from crm_adapters.sql.database import GRACE_S, Database
from crm_adapters.sql.statements import Statement, statement
from crm_adapters.sql.tables import sqlite_ending

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

THREADS = 8
LOCK_S = 0.5
"""How long a writer is waited for: the thread cannot stop while it waits."""
STEPS = 1000
"""Instructions of SQLite's machine between two looks at whether to stop; some tens of us."""
_PRIMARY = 0xFF
"""The lower byte of an extended result code is the plain one."""
_TEMPORARY = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_SCHEMA,
    }
)
_REFUSED = frozenset(
    {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_NOTADB,
    }
)


class Sqlite(Database):
    ending = staticmethod(sqlite_ending)

    def __init__(self, path: str) -> None:
        self._uri = f"file:{quote(path)}?mode=ro"
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="sqlite")

    def statement(self, sql: str) -> Statement:
        return statement(sql, lambda number: f":p{number}")

    async def rows(
        self, statement: Statement, values: Mapping[str, str], within: float
    ) -> Sequence[Mapping[str, object]]:
        stopped = threading.Event()
        loop = asyncio.get_running_loop()
        # `from None`: SQLite's texts can quote values.
        try:
            async with asyncio.timeout(within + GRACE_S):
                return await loop.run_in_executor(
                    self._threads, self._read, statement, values, min(within, LOCK_S), stopped
                )
        except TimeoutError:
            raise TemporaryError("SQLite: no answer in time") from None
        except (sqlite3.Error, sqlite3.Warning) as exc:
            raise _refusal(exc) from None
        finally:
            stopped.set()

    async def aclose(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _read(
        self,
        statement: Statement,
        values: Mapping[str, str],
        lock_s: float,
        stopped: threading.Event,
    ) -> list[dict[str, object]]:
        """The rows, on a connection of its own; blocks. Ends with an error once `stopped` is set.

        The query asks for that now and then. `interrupt` from outside would come to nothing if it
        came before the query.
        """
        with closing(sqlite3.connect(self._uri, uri=True, timeout=lock_s)) as connection:
            connection.set_progress_handler(stopped.is_set, STEPS)
            bound = {f"p{n}": text for n, text in enumerate(statement.bound(values), 1)}
            cursor = connection.execute(statement.text, bound)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]


def _refusal(exc: Exception) -> Exception:
    """The error class by SQLite's result code; without one it is Python's own complaint."""
    code = getattr(exc, "sqlite_errorcode", None)
    if code is None:
        return PermanentError(f"SQLite: {type(exc).__name__}")
    text = f"SQLite: {getattr(exc, 'sqlite_errorname', code)}"
    if code & _PRIMARY in _TEMPORARY:
        return TemporaryError(text)
    return ConfigError(text) if code & _PRIMARY in _REFUSED else PermanentError(text)

"""What the adapter needs of a database, whichever it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, Any

from broker.sdk import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crm_adapters.sql.statements import Statement
    from crm_adapters.sql.tables import Ending

GRACE_S = 0.1
"""The broker cancels at the deadline; the database's own limit is only for when it could not."""


class Database(ABC):
    """A database to read from. It connects when it is first asked."""

    ending: Ending
    """SQL for the last digits of a number in a column."""

    @abstractmethod
    def statement(self, sql: str) -> Statement:
        """`sql` with its parameters as this database spells them."""

    @abstractmethod
    async def rows(
        self, statement: Statement, values: Mapping[str, str], within: float
    ) -> Sequence[Mapping[str, object]]:
        """The rows. No query is left running when this ends, however it ends.

        ConfigError: the statement or the access is refused. TemporaryError, PermanentError.
        """

    async def aclose(self) -> None:  # noqa: B027 - not every database keeps something open
        """Close what is open. May be called twice."""


def driver(package: str) -> Any:
    """The installed `package`; ConfigError that says how to install it."""
    try:
        return import_module(package)
    except ImportError:
        raise ConfigError(
            f"{package} is not installed: pip install 'call-session-broker[sql]'"
        ) from None

"""Can this number take a text message? Asks a number lookup where the number itself cannot tell."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from broker.domain.call import Line
from broker.domain.errors import BrokerError, StoreUnavailableError
from broker.domain.references import Limit
from broker.ports import not_the_store

if TYPE_CHECKING:
    from broker.domain.call import Phone
    from broker.domain.recipients import LineRules
    from broker.metrics import Metrics
    from broker.ports import Counters, LineBook, NumberLookup

log = structlog.get_logger("broker.number_check")

_DAY_S = 86_400.0
_GRACE_S = 0.1
"""For foreign code that does not keep to its time."""


@dataclass(frozen=True, slots=True)
class NumberCheck:
    """What all replicas were told is shared, and they spend one budget together."""

    lookup: NumberLookup | None
    """None = there is none, and nothing is known."""
    lines: LineBook
    counters: Counters
    metrics: Metrics
    rules: LineRules
    within_s: float = 1.0
    budget_per_day: int = 1000
    kept_s: float = 604_800.0

    async def refusal(self, phone: Phone) -> str | None:
        """Why this number should get no text message, in one word; None if it may.

        For channels that reach mobile lines only, after `Recipients.refusal`. Nobody is asked
        unless mobile and fixed numbers look alike, as in the US. It never raises, and takes no
        longer than `within_s` and what the store may take.
        """
        if self.lookup is None or phone.line is not Line.FIXED_OR_MOBILE:
            return None
        return self.rules.refusal(await self._line(self.lookup, phone))

    async def _line(self, lookup: NumberLookup, phone: Phone) -> Line | None:
        try:
            known = await self.lines.recall(phone)
            if known is not None:
                return self._told("cached", known.line)
            if await self.counters.reserve([self._budget]) is not None:
                return self._told("over_budget")
        except StoreUnavailableError:
            # Without the store nobody counts, and what is not counted may cost anything.
            return self._told("unavailable")
        return await self._asked(lookup, phone)

    async def _asked(self, lookup: NumberLookup, phone: Phone) -> Line | None:
        """What the provider says, kept for all; None also if it could not be asked."""
        try:
            with not_the_store():
                async with asyncio.timeout(self.within_s + _GRACE_S):
                    line = await lookup.line_of(phone, within=self.within_s)
        except (BrokerError, TimeoutError):
            await self._refund()
            return self._told("failed")
        except Exception as error:  # noqa: BLE001 - foreign code: the message goes on without it
            log.warning("number_lookup_failed", error=type(error).__name__)
            return self._told("failed")
        with suppress(StoreUnavailableError):
            await self.lines.keep(phone, line, self.kept_s)
        return self._told("asked" if line is not None else "unknown", line)

    async def _refund(self) -> None:
        """Providers bill answers: what never came is asked for again another time."""
        with suppress(StoreUnavailableError):
            await self.counters.refund([self._budget])

    def _told(self, result: str, line: Line | None = None) -> Line | None:
        self.metrics.number_lookups.labels(result).inc()
        return line

    @property
    def _budget(self) -> Limit:
        return Limit("number_lookup", self.budget_per_day, _DAY_S)

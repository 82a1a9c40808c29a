"""How often references may fail: against guessing, since a reference is no secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.domain.people import caller_of, hashed

if TYPE_CHECKING:
    from broker.domain.record import Record

_DAY_S = 86_400.0
_TEN_MINUTES_S = 600.0
_UNLIMITED = 10**9


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` per `window_s` seconds, counted from the first."""

    key: str
    """`caller:<hash>`, `called:<hash>`: it becomes part of a key in the store."""
    most: int
    window_s: float


@dataclass(frozen=True, slots=True)
class ReferenceLimits:
    """Failures that one caller, and all callers of one number together, may have."""

    failures_per_caller_per_day: int = 5
    failures_per_called_per_10min: int = 200

    def of(self, record: Record) -> tuple[Limit, ...]:
        """What the next reference of this call counts against, until it is found.

        The first reference of a call is never refused because of what other callers did.
        """
        limits: list[Limit] = []
        caller = caller_of(record)
        if caller is not None:
            key = f"caller:{hashed(caller)}"
            limits.append(Limit(key, self.failures_per_caller_per_day, _DAY_S))
        if record.data.to:
            most = self.failures_per_called_per_10min if record.tries else _UNLIMITED
            limits.append(Limit(f"called:{hashed(record.data.to)}", most, _TEN_MINUTES_S))
        return tuple(limits)

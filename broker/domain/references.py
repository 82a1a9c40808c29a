"""How often references may fail: against guessing, since a reference is no secret."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from broker.domain.record import NUMBER

if TYPE_CHECKING:
    from broker.domain.record import Record

_DAY_S = 86_400.0
_TEN_MINUTES_S = 600.0
_UNLIMITED = 10**9


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` per `window_s` seconds, counted from the first."""

    key: str
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
        caller = _caller(record)
        if caller is not None:
            key = f"caller:{_hashed(caller)}"
            limits.append(Limit(key, self.failures_per_caller_per_day, _DAY_S))
        if record.data.to:
            most = self.failures_per_called_per_10min if record.tries else _UNLIMITED
            limits.append(Limit(f"called:{_hashed(record.data.to)}", most, _TEN_MINUTES_S))
        return tuple(limits)


def _caller(record: Record) -> str | None:
    """The caller's number in E.164, also of a call that began with its reference."""
    looked_up = next((s.value for s in record.steps if s.name == NUMBER and s.value), None)
    told = record.data.from_
    return looked_up or (told if told and told.startswith("+") else None)


def _hashed(number: str) -> str:
    return sha256(number.encode()).hexdigest()[:32]

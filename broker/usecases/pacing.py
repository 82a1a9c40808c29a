"""Hits, misses and refused references answer at the same age, so that time tells nothing."""

from __future__ import annotations

from collections import deque

FLOOR_S = 0.25
"""No reference is answered earlier: most CRMs answer within it, hit or miss."""
_REMEMBERED = 64


class Pace:
    """The age at which references are answered: that of the slowest of the latest lookups."""

    def __init__(self, floor_s: float = FLOOR_S) -> None:
        self._floor_s = floor_s
        self._ages: deque[float] = deque(maxlen=_REMEMBERED)

    def hold(self, age_s: float, *, asked: bool, deadline_s: float) -> float:
        """How long an outcome that is ready `age_s` after receipt is held back, in seconds.

        Only lookups that really asked a CRM (`asked`) set the pace; a deadline is never missed.
        """
        if asked:
            self._ages.append(age_s)
        pace = max(self._floor_s, *self._ages) if self._ages else self._floor_s
        return max(0.0, min(pace, deadline_s) - age_s)

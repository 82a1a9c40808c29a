"""How busy the agents are and which lines are open, as a platform tells it."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - plug-in authors read the annotations
from dataclasses import dataclass, field

from broker.domain.by_number import ByNumber

EVERY_NUMBER = ""
"""The beginning of every called number."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was told at one moment; None, or left out = not known."""

    ewt_seconds: float | None = None
    """The wait that is expected for the next agent."""
    agents_available: int | None = None
    open: Mapping[str, bool] = field(default_factory=dict)
    """Called number or how it begins -> whether it is open now; `EVERY_NUMBER` for all."""
    missing: tuple[str, ...] = ()
    """What could not be told and why, without personal data; for the log and the trace."""

    def is_open(self, called: str | None) -> bool | None:
        """What is said of the longest beginning of `called`."""
        return ByNumber(self.open).of(called or "")

"""How much may be sent: against pumped traffic, wasted money, and writing too often."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - a field of a dataclass
from dataclasses import dataclass, field

from broker.domain.guards import Cap, Forbidden
from broker.domain.people import hashed
from broker.domain.references import Limit

SPEND = "spend"
"""The counter of money, in millionths of the operator's unit."""
_MILLION = 1_000_000
_TEN_MINUTES_S, _HOUR_S, _DAY_S = 600.0, 3600.0, 86_400.0
_SHORT = 4
"""Numbers that differ only in so many last digits are one range."""


@dataclass(frozen=True, slots=True)
class Caps:
    """The operator's caps. They hold for everything but email, which costs next to nothing."""

    per_number_per_day: int = 3
    per_prefix_per_10min: int = 10
    per_hour: int | None = None
    """Of all messages together."""
    spend_per_day: float | None = None
    prices: Mapping[str, float] = field(default_factory=dict)
    """Of one message, by channel."""

    def of(self, to: str, channel: str) -> tuple[Cap, ...]:
        """What one message to `to` counts against, once for each channel it is sent on."""
        if "@" in to:
            return ()
        return (*self._number(to), *self._together(), *self._spent(channel))

    def _number(self, to: str) -> tuple[Cap, ...]:
        if not to.startswith("+"):
            return ()
        number = Limit(f"number:{hashed(to)}", self.per_number_per_day, _DAY_S)
        range_ = Limit(f"prefix:{hashed(to[:-_SHORT])}", self.per_prefix_per_10min, _TEN_MINUTES_S)
        return Cap(number, Forbidden.CAP_NUMBER), Cap(range_, Forbidden.CAP_PREFIX)

    def _together(self) -> tuple[Cap, ...]:
        if self.per_hour is None:
            return ()
        return (Cap(Limit("sends", self.per_hour, _HOUR_S), Forbidden.CAP_FREQUENCY),)

    def _spent(self, channel: str) -> tuple[Cap, ...]:
        limit, price = self.spend_limit, round(self.prices.get(channel, 0.0) * _MILLION)
        return (Cap(limit, Forbidden.CAP_SPEND, price),) if limit is not None and price else ()

    @property
    def spend_limit(self) -> Limit | None:
        """The day's money; None if nobody has set any."""
        if self.spend_per_day is None:
            return None
        return Limit(SPEND, round(self.spend_per_day * _MILLION), _DAY_S)

    def spent(self, counted: int) -> float:
        """The share of the day's money that is spent; 0 if there is no cap."""
        return counted / self.spend_limit.most if self.spend_limit is not None else 0.0

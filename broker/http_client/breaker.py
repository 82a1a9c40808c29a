"""When a dependency is left alone: a circuit breaker and a retry budget, on a clock passed in."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, IntEnum

RETRY_SHARE = 1 / 11
"""Of all attempts, which is one retry for ten requests."""
RETRIES_PER_S = 1.0
"""On top of it, so that where little is asked a retry is possible at all."""
RETRIES_AT_ONCE = 10.0
PROBED_S = 0.1
"""While a probe is on its way: it may be back, with good news, at any moment."""


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """`failures` in a row within `window_s` open it; a probe goes out every `probe_s` then."""

    failures: int = 5
    window_s: float = 10.0
    probe_s: float = 2.0


class BreakerState(IntEnum):
    """As the metric shows it."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Admission(Enum):
    """Whether a request may be sent."""

    SENT = "sent"
    PROBE = "probe"
    REFUSED = "refused"


class Breaker:
    """Closed: everything is sent. Open: nothing. Half-open: one probe is on its way.

    What is admitted has to be reported once: `succeeded`, `failed`, or `dropped` if it tells
    nothing. Any success closes it.
    """

    def __init__(self, limits: BreakerLimits) -> None:
        self._limits = limits
        self._failures: deque[float] = deque(maxlen=limits.failures)
        self._probe_at: float | None = None
        self._probing = False

    @property
    def state(self) -> BreakerState:
        if self._probe_at is None:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if self._probing else BreakerState.OPEN

    def admit(self, now: float) -> Admission:
        if self._probe_at is None:
            return Admission.SENT
        if self.refuses(now):
            return Admission.REFUSED
        self._probing = True
        self._probe_at = now
        return Admission.PROBE

    def refuses(self, now: float) -> bool:
        """Whether it would refuse a request now."""
        return self._probe_at is not None and (self._probing or now < self._probe_at)

    def wait(self, now: float) -> float:
        """Seconds after which asking again makes sense, for who was refused."""
        if self._probe_at is None:
            return 0.0
        return PROBED_S if self._probing else max(0.0, self._probe_at - now)

    def succeeded(self) -> None:
        self._failures.clear()
        self._probe_at = None
        self._probing = False

    def failed(self, admission: Admission, now: float) -> None:
        if admission is Admission.PROBE:
            self._open(now)
        elif self._probe_at is None:
            self._failures.append(now)
            full = len(self._failures) == self._limits.failures
            if full and now - self._failures[0] <= self._limits.window_s:
                self._open(now)

    def dropped(self, admission: Admission) -> None:
        """It was given up before it could tell anything: a probe's turn goes to the next."""
        if admission is Admission.PROBE:
            self._probing = False

    def _open(self, now: float) -> None:
        self._probe_at = now + self._limits.probe_s
        self._probing = False


class RetryBudget:
    """A token bucket: each attempt earns a share of a retry, and so does time."""

    def __init__(self) -> None:
        self._tokens = RETRIES_AT_ONCE
        self._filled_at: float | None = None

    def earn(self, now: float) -> None:
        """An attempt was made."""
        self._fill(now, RETRY_SHARE)

    def spend(self, now: float) -> bool:
        """Whether one retry may be made now."""
        self._fill(now, 0.0)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def _fill(self, now: float, earned: float) -> None:
        passed = 0.0 if self._filled_at is None else now - self._filled_at
        self._filled_at = now
        self._tokens = min(RETRIES_AT_ONCE, self._tokens + earned + passed * RETRIES_PER_S)

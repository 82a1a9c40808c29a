"""Whether this replica has as much to do as it can: then new calls are refused at once."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TICK_S = 0.02
"""How often the event loop is asked for how late it is."""
LATE_S = 0.03
"""A turn of the loop that takes longer is one too many: an accept needs some five of them."""
TURNS = 2
"""How many late turns in a row mean too much work; a single one may be anything."""

ACCEPT_S = 0.06
"""An accept that takes longer soon meets the end of the store's time, and is done for nothing."""
CROWD = 8
"""With fewer accepts at once it is not their number that makes one slow."""
ACCEPTS = 32
"""How many accepts may be under way at once: a burst must not push its own last one too far."""
FEW = 32
"""With fewer calls at once it is not the calls that make the loop late."""


class Load:
    """Measures how late the event loop is and how many calls are worked on here."""

    def __init__(
        self,
        in_flight: Callable[[], int],
        most: int,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._late = False
        self._accepting: dict[object, float] = {}
        """What is being accepted and since when, the oldest first."""
        self._in_flight = in_flight
        self._most = most
        self._monotonic = monotonic
        self._late_turns = 0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def full(self) -> bool:
        """Whether no new call should be accepted now."""
        return self._late or len(self._accepting) >= ACCEPTS

    @contextmanager
    def accepting(self) -> Iterator[None]:
        """Around the acceptance of one call."""
        this = object()
        self._accepting[this] = self._monotonic()
        try:
            yield
        finally:
            del self._accepting[this]

    def open(self) -> None:
        """Begin to measure, in the running loop."""
        self._due = self._monotonic() + TICK_S
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._late = False

    def _tick(self) -> None:
        self.measure(self._monotonic() - self._due)
        self.open()

    def measure(self, late_s: float) -> None:
        """The loop came `late_s` seconds after the time it was asked for."""
        self._late_turns = self._late_turns + 1 if late_s > LATE_S else 0
        calls = self._in_flight()
        since = next(iter(self._accepting.values()), None)
        crowded = len(self._accepting) >= CROWD
        slow = crowded and since is not None and self._monotonic() - since > ACCEPT_S
        late = calls >= FEW and self._late_turns >= TURNS
        self._late = slow or late or calls >= self._most

"""Time that does not pass by itself: tests of deadlines are exact, and take no time."""

from __future__ import annotations

import asyncio
import selectors

from broker.stores.clock import StoreClock

BEGAN = 1_800_000_000.0
"""The epoch second at which every loop begins."""


class _Leap(selectors.SelectSelector):
    """Waits for nothing: it moves its loop's time on to what is due next."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everybody waits, and nothing will ever happen")
        self.now += max(0.0, timeout)
        return super().select(0)


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose seconds pass at once when nothing is left to do. No network, no threads.

    A test module gets it with the hook `pytest_asyncio_loop_factories`.
    """

    def __init__(self) -> None:
        self._leap = _Leap()
        super().__init__(self._leap)

    def time(self) -> float:
        return self._leap.now


class FakeClock(StoreClock):
    """The time of the running `FakeTimeLoop`, which the store's scripts take as theirs too.

    As in life, no two looks at it show the same: a microsecond passes between them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._shown = 0.0

    @property
    def fixed_ms(self) -> int:  # type: ignore[override] # it moves on by itself
        return round(self.time() * 1000)

    def follow(self, store_ms: int, asked_at: float) -> None:
        """The store's time is this clock's already."""

    def time(self) -> float:
        self._shown = max(BEGAN + self.monotonic(), self._shown + 1e-6)
        return self._shown

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class SetClock(StoreClock):
    """Time that stands still until somebody sleeps, which takes none. For stores outside too."""

    def __init__(self) -> None:
        super().__init__()
        self._passed = 0.0

    @property
    def fixed_ms(self) -> int:  # type: ignore[override] # `sleep` moves it on
        return round(self.time() * 1000)

    def follow(self, store_ms: int, asked_at: float) -> None:
        """The store's time is this clock's already."""

    def time(self) -> float:
        return BEGAN + self._passed

    def monotonic(self) -> float:
        return self._passed

    async def sleep(self, seconds: float) -> None:
        self._passed += seconds

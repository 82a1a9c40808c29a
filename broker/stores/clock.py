"""The store's time, so that all replicas agree on when something was received or is due."""

from __future__ import annotations

import asyncio
import time

from broker.ports import Clock


class StoreClock(Clock):
    """The local clock, shifted to the store's by every answer of a script."""

    fixed_ms: int | None = None
    """The time scripts should take as now; None = the store's own."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def follow(self, store_ms: int, asked_at: float) -> None:
        """Asked at `asked_at` (`monotonic`), the store says that it is `store_ms` since the epoch.

        Half of the time that passed since is taken for the way back.
        """
        self._offset = store_ms / 1000 - (asked_at + time.monotonic()) / 2

    def time(self) -> float:
        return time.monotonic() + self._offset

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

"""How often one dependency may be asked: by the store for all replicas, else by this process."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from broker.domain.errors import StoreUnavailableError
from broker.ports import RateLimiter

if TYPE_CHECKING:
    from collections.abc import Callable

STORE_AWAY_S = 1.0
"""For so long the store is not asked again: no request should wait for it one after the other."""


def burst(per_s: float) -> float:
    """Turns that may be taken at once: those of one second, and one at least."""
    return max(1.0, per_s)


class LocalRate(RateLimiter):
    """A token bucket of this process alone."""

    def __init__(self, per_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._each_s = 1 / per_s
        self._held = burst(per_s)
        self._monotonic = monotonic
        self._full_at = -math.inf

    async def take(self, within: float) -> float:
        now = self._monotonic()
        full_at = max(self._full_at, now)
        wait = max(0.0, full_at + (1 - self._held) * self._each_s - now)
        if wait <= within:
            self._full_at = full_at + self._each_s
        return wait

    async def pause(self, seconds: float) -> None:
        until = self._monotonic() + seconds + (self._held - 1) * self._each_s
        self._full_at = max(self._full_at, until)


class SharedRate(RateLimiter):
    """The turns of all replicas; while the store is away, those of this process."""

    def __init__(
        self,
        shared: RateLimiter,
        local: RateLimiter,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shared = shared
        self._local = local
        self._monotonic = monotonic
        self._away_until = -math.inf

    async def take(self, within: float) -> float:
        if self._monotonic() >= self._away_until:
            try:
                return await self._shared.take(within)
            except StoreUnavailableError:
                self._away_until = self._monotonic() + STORE_AWAY_S
        return await self._local.take(within)

    async def pause(self, seconds: float) -> None:
        """Whoever cannot be told keeps asking until he is told himself."""
        with suppress(StoreUnavailableError):
            await self._shared.pause(seconds)

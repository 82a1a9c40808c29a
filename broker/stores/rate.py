"""How often a dependency may be asked, counted in the store for all replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.http_client import burst
from broker.ports import RateLimiter

if TYPE_CHECKING:
    from broker.stores.clock import StoreClock
    from broker.stores.connection import Store

ANSWERS_WITHIN_S = 0.1
"""A store that hangs must not use up the time of the lookup."""
_US = 1_000_000


class RedisRate(RateLimiter):
    """See `RateLimiter`."""

    def __init__(self, store: Store, clock: StoreClock, name: str, per_s: float) -> None:
        """`name` is the dependency's: whoever uses the same one shares its turns."""
        self._store = store
        self._clock = clock
        self._key = store.key("rate", name)
        self._bucket = (_US / per_s, burst(per_s))

    async def take(self, within: float) -> float:
        return await self._run(within, 0.0)

    async def pause(self, seconds: float) -> None:
        await self._run(0.0, seconds)

    async def _run(self, within: float, pause: float) -> float:
        now = (self._clock.fixed_ms or 0) * 1000
        args = [now, *self._bucket, round(within * _US), round(pause * _US)]
        wait: int = await self._store.run("turn", [self._key], args, within=ANSWERS_WITHIN_S)
        return wait / _US

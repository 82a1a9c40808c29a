"""One system that we ask: whether it may be asked now, shared by all clients of its session."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

from broker.domain.errors import TemporaryError
from broker.http_client.breaker import (
    Admission,
    Breaker,
    BreakerLimits,
    BreakerState,
    RetryBudget,
)
from broker.ports import time_left

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.ports import RateLimiter, TokenStore
    from broker.presence import Presence

FAIR_S = 0.5
"""A request that we cut before this says nothing about the dependency: it had no fair chance."""
MAX_PAUSE_S = 60.0
"""Of what a Retry-After asks for: a slip of the other side must not silence it for a day."""
UNHURRIED_S = 5.0
"""How long a request waits for its turn that belongs to no lookup."""


class NotAskedError(TemporaryError):
    """Nothing was sent: the dependency is left alone for `retry_after` seconds."""


class Attempt:
    """One request on its way; ends with exactly one of `answered`, `failed` and `cut`."""

    __slots__ = ("_admission", "_began", "_dependency")

    def __init__(self, dependency: Dependency, admission: Admission, began: float) -> None:
        self._dependency = dependency
        self._admission = admission
        self._began = began

    def answered(self) -> None:
        """It is there, whatever it said."""
        self._dependency.breaker.succeeded()
        if self._dependency.presence is not None:
            self._dependency.presence.answered(self._dependency.name)

    def declined(self, retry_after: float | None) -> None:
        """It is there, and asks to be left alone for so many seconds."""
        self._dependency.leave_alone(retry_after or 0.0)
        self.answered()

    def failed(self, detail: str) -> None:
        """No connection, a broken one, a 5xx."""
        self._dependency.breaker.failed(self._admission, self._dependency.monotonic())
        if self._dependency.presence is not None:
            self._dependency.presence.failed(self._dependency.name, detail)

    def cut(self) -> None:
        """We gave it up. That counts as a failure if there was time for an answer."""
        if self._dependency.monotonic() - self._began < FAIR_S:
            self._dependency.breaker.dropped(self._admission)
        else:
            self.failed("no answer in time")


class Dependency:
    """Breaker, retry budget and pause of one dependency, in this process."""

    def __init__(
        self,
        name: str,
        limits: BreakerLimits = BreakerLimits(),  # noqa: B008 - frozen
        presence: Presence | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        tokens: TokenStore | None = None,
        rate: RateLimiter | None = None,
    ) -> None:
        """`presence` says when `name` goes away and when it is back; if it is given.

        `tokens` is where replicas share the tokens that let them in, `rate` where they share how
        often they may ask.
        """
        self.name = name
        self.tokens = tokens
        self._rate = rate
        self.breaker = Breaker(limits)
        self.presence = presence
        self.monotonic = monotonic
        self._budget = RetryBudget()
        self._asked_again_at = -math.inf

    @property
    def state(self) -> BreakerState:
        return self.breaker.state

    async def turn(self, client: str) -> None:
        """Wait until a request of `client` may be sent, if there is a rate to keep to.

        NotAskedError if the turn does not come in the time that is left, or if the dependency is
        left alone now: that takes no turn.
        """
        if self._rate is None:
            return
        now = self.monotonic()
        self._obey_pause(client, now)
        if self.breaker.refuses(now):
            raise self._refused(client, now)
        within = time_left(UNHURRIED_S)
        wait = await self._rate.take(within)
        if wait > within:
            raise NotAskedError(f"{client}: not asked, as no turn was left (rate_per_s)", wait)
        if wait > 0:
            await asyncio.sleep(wait)

    def attempt(self, client: str) -> Attempt:
        """Begin a request of `client`. NotAskedError if the dependency is left alone now."""
        now = self.monotonic()
        self._obey_pause(client, now)
        admission = self.breaker.admit(now)
        if admission is Admission.REFUSED:
            raise self._refused(client, now)
        self._budget.earn(now)
        return Attempt(self, admission, now)

    def _obey_pause(self, client: str, now: float) -> None:
        pause = self._asked_again_at - now
        if pause > 0:
            raise NotAskedError(f"{client}: not asked until its Retry-After is over", pause)

    def _refused(self, client: str, now: float) -> NotAskedError:
        text = f"{client}: not asked, as it failed several times in a row"
        return NotAskedError(text, self.breaker.wait(now))

    def leave_alone(self, seconds: float) -> None:
        """Ask nothing for `seconds`, at most MAX_PAUSE_S."""
        until = self.monotonic() + min(seconds, MAX_PAUSE_S)
        self._asked_again_at = max(self._asked_again_at, until)

    async def share_pause(self, seconds: float | None) -> None:
        """Tell the other replicas what a Retry-After asked for, if there is a rate to share."""
        if self._rate is not None and seconds:
            await self._rate.pause(min(seconds, MAX_PAUSE_S))

    def may_repeat(self) -> bool:
        """Whether the retry budget has room; if so, one retry is taken from it."""
        return self._budget.spend(self.monotonic())

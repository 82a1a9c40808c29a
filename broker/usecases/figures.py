"""What the platform tells of its agents and lines, young enough and never waited for long."""

from __future__ import annotations

import asyncio
from contextvars import Context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from broker.domain.errors import BrokerError
from broker.domain.figures import Figures
from broker.ports import not_the_store
from broker.presence import Presence

if TYPE_CHECKING:
    from broker.ports import CallPlatform, Clock

NAME = "platform.figures"
FETCH_WITHIN_S = 3.0
"""How long the platform may take; the answer is then there for the next call."""
NOTHING = Figures()
NOT_TOLD = Figures(missing=("the platform tells no figures",))
LATE = Figures(missing=("the platform did not tell its figures in time",))


@dataclass(slots=True)
class LiveFigures:
    """One question at a time for all calls of this replica. It never raises."""

    platform: CallPlatform
    clock: Clock
    fresh_s: float = 5.0
    """So long they are told again without asking; so is that the platform could not be asked."""
    wait_s: float = 0.3
    """The longest that a call waits for them."""
    presence: Presence = field(default_factory=Presence)
    _kept: Figures = NOTHING
    _asked_at: float | None = None
    _asking: asyncio.Task[None] | None = None

    async def now(self) -> Figures:
        """As they stand; `missing` says what is not known and why."""
        if not self.platform.tells_figures:
            return NOT_TOLD
        self.ask()
        if self._asking is None:
            return self._kept
        # Who waits may go away; the question goes on for the others.
        with not_the_store():
            done, _ = await asyncio.wait({self._asking}, timeout=self.wait_s)
        return self._kept if done else LATE

    def ask(self) -> None:
        """Somebody will want them soon."""
        if self.platform.tells_figures and self._asking is None and not self._is_fresh():
            self._asking = asyncio.create_task(
                # A request's patience with the store ends with the request.
                self._ask(),
                name="figures",
                context=Context(),
            )

    async def aclose(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    def _is_fresh(self) -> bool:
        asked_at = self._asked_at
        return asked_at is not None and self.clock.monotonic() - asked_at < self.fresh_s

    async def _ask(self) -> None:
        try:
            self._kept = await self.platform.figures(within=FETCH_WITHIN_S)
        except BrokerError as error:
            self._kept = Figures(missing=(str(error),))
        except Exception as error:  # noqa: BLE001 - a driver's bug is no reason to refuse a call
            self._kept = Figures(missing=(type(error).__name__,))
        finally:
            self._asked_at = self.clock.monotonic()
            self._asking = None
        if self._kept.missing:
            self.presence.failed(NAME, "; ".join(self._kept.missing))
        else:
            self.presence.answered(NAME)

"""How much of the day's money for messages is spent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.domain.caps import Caps
    from broker.ports import Counters


@dataclass(frozen=True, slots=True)
class Spend:
    """By all replicas together, as the store counts."""

    counters: Counters
    caps: Caps

    async def used(self) -> float:
        """The share; 0 without a cap. StoreUnavailableError: nobody knows."""
        limit = self.caps.spend_limit
        return self.caps.spent(await self.counters.counted(limit)) if limit is not None else 0.0

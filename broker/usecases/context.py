"""Tell the agent or bot on the other channel what its handle stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.domain.context import about_call, context_of

if TYPE_CHECKING:
    from broker.domain.context import Context, ContextRules
    from broker.metrics import Metrics
    from broker.usecases.handles import Handles, Held


@dataclass(frozen=True, slots=True)
class Told:
    """What a handle stands for, and what may be told of it."""

    held: Held
    context: Context
    call: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class TellContext:
    """Reads, and changes nothing: an agent may look as often as he likes."""

    handles: Handles
    rules: ContextRules
    metrics: Metrics

    async def of(self, handle: str) -> Told | None:
        """None alike for a handle that is malformed, unknown, expired or erased."""
        held = await self.handles.find(handle)
        self.metrics.contexts.labels("told" if held is not None else "unknown").inc()
        if held is None:
            return None
        record, message = held.record, held.message
        return Told(held, context_of(record, message, self.rules), about_call(record, message))

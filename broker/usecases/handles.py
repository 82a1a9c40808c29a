"""From a handle that came back to the message it belongs to, for as long as it lives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.domain.handles import is_handle
from broker.domain.messages import handle_alias
from broker.usecases.landing import Landed

if TYPE_CHECKING:
    from broker.domain.deflection import Deflection
    from broker.domain.messages import Message
    from broker.domain.record import Record
    from broker.ports import Clock, Ledger


@dataclass(frozen=True, slots=True)
class Held:
    """What a handle stands for."""

    record: Record
    message: Message
    expires_at: float


@dataclass(frozen=True, slots=True)
class Handles:
    """Finds by handle. Looking uses nothing up; errors of the store pass."""

    ledger: Ledger
    clock: Clock
    lives_s: float

    async def find(self, handle: str) -> Held | None:
        """None alike for what is malformed, unknown, expired or erased."""
        if not is_handle(handle):
            return None
        record = await self.ledger.find(handle_alias(handle))
        if record is None:
            return None
        message = next((m for m in record.messages if m.handle == handle), None)
        if message is None or message.queued_at + self.lives_s <= self.clock.time():
            return None
        return Held(record, message, message.queued_at + self.lives_s)


@dataclass(frozen=True, slots=True)
class Landings:
    """What the link in a message stands for: where its template leads."""

    handles: Handles
    rules: Deflection
    targets: tuple[str, ...]
    """Names of all link targets: where a template leads that names none."""

    async def find(self, token: str) -> Landed | None:
        """None if unknown or expired."""
        held = await self.handles.find(token)
        if held is None:
            return None
        template = self.rules.template_of(held.message)
        names = template.links if template is not None else ()
        return Landed(token, names or self.targets, held.expires_at, held.message.language)

"""Callers who gave up: whether they are written to, by a consent they gave earlier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.domain.deflection import Wish
from broker.domain.messages import ABANDONED, DEFLECTION

if TYPE_CHECKING:
    from broker.domain.record import Record


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The operator's `[deflection.abandoned]`. Without dispositions nobody is written to."""

    dispositions: frozenset[str] = frozenset()
    """Small letters: how a call ends on the phone if nobody took it."""
    max_age_s: float = 90 * 86_400.0
    """How old the consent may be."""
    template: str | None = None

    def concerns(self, record: Record, disposition: str | None) -> bool:
        """Whether this call ends now without anybody having done anything for its caller."""
        alone = record.message(DEFLECTION) is None and record.data.agent_id is None
        ends = record.over is None and not record.standalone
        return ends and alone and folded(disposition) in self.dispositions

    @property
    def wish(self) -> Wish:
        return Wish(by="abandoned", template=self.template, purpose=ABANDONED)


def folded(disposition: str | None) -> str:
    return (disposition or "").strip().casefold()

"""A number lookup in memory, for use-case tests: says what it was told, late or not at all."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from broker.ports import NumberLookup, Options

if TYPE_CHECKING:
    from broker.domain.call import Line, Phone


@dataclass(eq=False)
class FakeNumberLookup(NumberLookup):
    """Knows nothing of numbers that are not in `lines`."""

    lines: dict[str, Line] = field(default_factory=dict)
    """E.164 -> line."""
    delay_s: float = 0.0
    """How long every answer takes, whatever time it has."""
    fault: Exception | None = None
    """Raised in place of an answer, from now on."""
    asked: list[str] = field(default_factory=list)
    """Every number that it was asked for."""

    options_type = Options

    async def line_of(self, phone: Phone, *, within: float) -> Line | None:  # noqa: ARG002 - see delay_s
        self.asked.append(phone.e164)
        await asyncio.sleep(self.delay_s)
        if self.fault is not None:
            raise self.fault
        return self.lines.get(phone.e164)

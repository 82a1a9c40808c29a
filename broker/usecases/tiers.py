"""Count the tiers that CRMs name and nobody mapped: by a metric, and word by word for `check`."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from broker.domain.errors import StoreUnavailableError

if TYPE_CHECKING:
    from broker.metrics import Metrics
    from broker.ports import TierWords

WORD_LIMIT = 64
HIDDEN = "(not shown, as it may be personal)"
_PERSONAL = re.compile(r"@|(?:[0-9]\D*){5}", re.ASCII)
"""An address, or digits enough for a number: `field` may name the wrong one."""


class UnmappedTiers:
    """Notes words without making a call wait: what comes while one note is written shares the next.

    Words that cannot be written are forgotten.
    """

    def __init__(self, words: TierWords, metrics: Metrics) -> None:
        self._words = words
        self._metrics = metrics
        self._fresh: Counter[tuple[str, str]] = Counter()
        self._writing: asyncio.Task[None] | None = None

    def saw(self, crm: str, tier: str) -> None:
        self._metrics.unmapped_tiers.labels(crm).inc()
        word = HIDDEN if _PERSONAL.search(tier) else tier[:WORD_LIMIT]
        self._fresh[crm, word] += 1
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(), name="note unmapped tiers")

    async def aclose(self) -> None:
        """Wait until all is written."""
        if self._writing is not None:
            await self._writing

    async def _write(self) -> None:
        while self._fresh:
            fresh, self._fresh = self._fresh, Counter()
            for crm in {crm for crm, _ in fresh}:
                seen = {word: times for (named, word), times in fresh.items() if named == crm}
                with suppress(StoreUnavailableError):
                    await self._words.count(crm, seen)

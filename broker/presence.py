"""Who is away, said once when it begins and once when it is over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

CALM_S = 2.0
"""Without a failure for so long it is back: one that fails now and then is not told on and on."""

log = structlog.get_logger("broker.presence")


class Presence:
    """Turns failures and answers of named dependencies into two log lines per outage."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._failed_at: dict[str, float] = {}
        """Who is away, and when it failed last."""

    def failed(self, name: str, detail: str) -> None:
        """`detail` names the fault without personal data."""
        if name not in self._failed_at:
            log.warning("dependency_away", dependency=name, detail=detail)
        self._failed_at[name] = self._monotonic()

    def answered(self, name: str) -> None:
        failed_at = self._failed_at.get(name)
        if failed_at is not None and self._monotonic() - failed_at >= CALM_S:
            del self._failed_at[name]
            log.info("dependency_back", dependency=name)

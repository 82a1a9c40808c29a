"""The rules that are in force: those of the file, read again when it changes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from broker.domain.errors import ConfigError
from broker.settings.rules import read_rules

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from broker.domain.offers import Rules
    from broker.metrics import Metrics
    from broker.ports import Clock

LOOK_EVERY_S = 1.0

log = structlog.get_logger(__name__)


class RulesFile:
    """Holds the rules of `path`; ConfigError if they have faults now, at the start.

    Later a file with faults changes nothing: the rules before it stay in force, and the log and
    the metrics say so, once for each change.
    """

    def __init__(self, path: Path, channels: Collection[str], metrics: Metrics) -> None:
        self._path, self._channels, self._metrics = path, channels, metrics
        self._read = self._seen = self._signature()
        self._rules = read_rules(path, channels)

    def __call__(self) -> Rules:
        """Those in force now."""
        return self._rules

    async def watch(self, clock: Clock) -> None:
        """Look at the file once a second, for ever; outside of the event loop."""
        while True:
            await clock.sleep(LOOK_EVERY_S)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Take the file if it has changed, and has not been written to since the last look.

        Half a file, as it is seen while somebody writes it, may be valid too.
        """
        seen, before = self._signature(), self._seen
        self._seen = seen
        if seen == before and seen != self._read:
            self._read = seen
            self._take()

    def _take(self) -> None:
        try:
            rules = read_rules(self._path, self._channels)
        except Exception as error:  # noqa: BLE001 - whatever the file holds, the service goes on
            known = error.faults if isinstance(error, ConfigError) else (type(error).__name__,)
            told = {"faults": list(known), "in_force": "those before"}
            log.error("rules_refused", **told)  # noqa: TRY400 - the operator's fault, not ours
            self._count("refused")
        else:
            self._rules = rules
            log.info("rules_loaded", rules=len(rules.rules))
            self._count("loaded")

    def _count(self, outcome: str) -> None:
        self._metrics.rules_reloads.labels(outcome).inc()
        self._metrics.rules_refused.set(outcome == "refused")

    def _signature(self) -> tuple[int, int, int] | None:
        """Differs whenever the file was written or replaced; None if it cannot be seen."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

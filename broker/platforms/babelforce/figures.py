"""Live figures of an account: the expected wait, free agents, and which business hours are open."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

from broker.platforms.babelforce.options import NAME
from broker.platforms.babelforce.wire import item_of, wire_id
from broker.sdk import Figures, PermanentError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from broker.platforms.babelforce.options import BabelforceOptions
    from broker.sdk import JsonClient

WAIT = "/api/v2/metrics/queues.expected.wait-time.avg"
AGENTS = "/api/v2/metrics/agents.state.available.total"
HOURS = "/api/v2/business-hours"
PROFILES_READ = 100
_KEYS = ("name", "id")
_EVERY_NUMBER = ""
_PER_SECOND = {"s": 1.0, "ms": 1000.0}


class FiguresReader:
    """Reads them by three requests at the same time. Metrics are those of the whole account."""

    def __init__(self, client: JsonClient, options: BabelforceOptions) -> None:
        self._client = client
        self._per_second = _PER_SECOND[options.wait_unit]
        self._profile_of = options.business_hours

    async def read(self, within: float) -> Figures:
        """What could be read; TemporaryError or PermanentError if nothing could."""
        parts = (
            self._metric(WAIT, within),
            self._metric(AGENTS, within),
            self._open(within),
        )
        wait, agents, is_open = await asyncio.gather(*parts, return_exceptions=True)
        failed = {
            name: part
            for name, part in (("wait", wait), ("agents", agents), ("business hours", is_open))
            if isinstance(part, BaseException)
        }
        if unforeseen := _unforeseen(failed.values()):
            raise unforeseen
        if len(failed) == len(parts):
            raise failed["wait"]
        return Figures(
            ewt_seconds=wait / self._per_second if isinstance(wait, float) else None,
            agents_available=int(agents) if isinstance(agents, float) else None,
            open=is_open if isinstance(is_open, dict) else {},
            missing=tuple(f"{name}: {error}" for name, error in failed.items()),
        )

    async def _metric(self, path: str, within: float) -> float:
        reply = await self._client.request("GET", path, within=within)
        item_of(reply.body)
        metric = reply.body.get("metric")
        value = _number(metric.get("value")) if isinstance(metric, dict) else None
        if value is None:
            raise PermanentError(f"{NAME}: the metric has no number")
        return value

    async def _open(self, within: float) -> dict[str, bool]:
        """Which called numbers are open; without `business_hours` all, if there is one profile."""
        params = {"max": str(PROFILES_READ)}
        reply = await self._client.request("GET", HOURS, params=params, within=within)
        items = reply.body.get("items") if isinstance(reply.body, dict) else None
        if not isinstance(items, list):
            raise PermanentError(f"{NAME}: the answer lists no business hours")
        profiles = [item for item in items if isinstance(item, dict) and _is_used(item)]
        if not self._profile_of:
            return {_EVERY_NUMBER: profiles[0]["active"]} if len(profiles) == 1 else {}
        known = {wire_id(str(item.get(key))): item["active"] for key in _KEYS for item in profiles}
        wanted = {start: wire_id(profile) for start, profile in self._profile_of.items()}
        if not known.keys() >= set(wanted.values()):
            raise PermanentError(f"{NAME}: some of the business hours do not exist or are disabled")
        return {start: known[profile] for start, profile in wanted.items()}


def _unforeseen(errors: Iterable[BaseException]) -> BaseException | None:
    foreseen = (TemporaryError, PermanentError)
    return next((error for error in errors if not isinstance(error, foreseen)), None)


def _is_used(profile: Mapping[str, Any]) -> bool:
    return profile.get("enabled") is not False and isinstance(profile.get("active"), bool)


def _number(value: object) -> float | None:
    """A metric's value, whose type is not documented, if it is a count or a time."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None

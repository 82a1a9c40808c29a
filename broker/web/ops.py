"""What the operator's machines ask: alive, ready, metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from broker.domain.errors import StoreUnavailableError
from broker.web.answers import json_reply

if TYPE_CHECKING:
    from broker.metrics import Metrics
    from broker.ports import Ledger
    from broker.usecases.spend import Spend


@dataclass(slots=True)
class Health:
    """What readiness depends on besides the store."""

    profile: str
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Ops:
    """The operator's routes; they need no key and tell no versions and no names."""

    ledger: Ledger
    metrics: Metrics
    health: Health
    spend: Spend

    async def livez(self, request: web.Request) -> web.Response:  # noqa: ARG002 - a handler's signature
        """200 while the process runs; never depends on the store or a CRM."""
        return json_reply({"status": "alive"})

    async def readyz(self, request: web.Request) -> web.Response:  # noqa: ARG002 - a handler's signature
        """200 unless draining or the promise cannot be kept."""
        fault = await self._fault()
        ready = fault is None and not self.health.draining
        content = {
            "status": "ready" if ready else "draining" if self.health.draining else "not_ready",
            "store": "up" if fault is None else "down",
            "profile": self.health.profile,
            **({} if fault is None else {"detail": fault}),
        }
        return json_reply(content, 200 if ready else 503)

    async def _fault(self) -> str | None:
        """What keeps the store from keeping calls, in words that name nobody."""
        try:
            await self.ledger.ping()
        except StoreUnavailableError as error:
            return str(error)
        return None

    async def render_metrics(self, request: web.Request) -> web.Response:  # noqa: ARG002 - a handler's signature
        """The Prometheus text format, with what the store holds right now."""
        try:
            due, used = await self.ledger.due(), await self.spend.used()
        except StoreUnavailableError:
            self.metrics.store_up.set(0)
        else:
            self.metrics.spend_used.set(used)
            for name, work in due.items():
                self.metrics.due.labels(name).set(work.held)
                self.metrics.oldest_due.labels(name).set(work.overdue_s)
                self.metrics.dead_letters.labels(name).set(work.dead)
        return web.Response(body=self.metrics.render(), headers={"Content-Type": _TEXT})


_TEXT = "text/plain; version=0.0.4; charset=utf-8"

"""Tracking links in memory, for use-case tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from broker.ports import Links

if TYPE_CHECKING:
    from broker.ports import Clock, Link


@dataclass(eq=False)
class FakeLinks(Links):
    """Keeps every link; `kept` shows what a reader of the store would see."""

    clock: Clock
    kept: dict[str, Link] = field(default_factory=dict)
    """Token hash -> link, the expired ones included."""

    async def keep(self, token_hash: str, link: Link, call_id: str) -> None:  # noqa: ARG002 - a port
        self.kept[token_hash] = link

    async def find(self, token_hash: str) -> Link | None:
        link = self.kept.get(token_hash)
        return link if link is not None and link.expires_at > self.clock.time() else None

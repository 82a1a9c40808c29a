"""What a deflection link opens: where this person may go on, on the device in his hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.domain.devices import Device
    from broker.domain.link_targets import LinkTarget
    from broker.metrics import Metrics
    from broker.ports import Clock


@dataclass(frozen=True, slots=True)
class Landed:
    """What a message's link stands for; nothing personal."""

    handle: str
    targets: tuple[str, ...]
    """Names of `[links.<name>]`, in the order in which they are offered."""
    expires_at: float
    language: str | None = None


Find = Callable[[str], Awaitable[Landed | None]]
"""By the token in the address, whatever it is; None if unknown. Errors of the store pass."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One button, and where to get what is missing for it."""

    label: str
    link: str
    store: tuple[str, str] | None
    """The store's name and its link."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What the person gets to see: a redirect if that says it all, else the buttons."""

    choices: tuple[Choice, ...]
    """Empty: he can only answer the message itself."""
    redirect: str | None
    language: str | None


@dataclass(frozen=True, slots=True)
class Landing:
    """Opens deflection links. It consumes nothing: mail scanners and previews open them too."""

    find: Find
    targets: Mapping[str, LinkTarget]
    clock: Clock
    metrics: Metrics

    async def open(self, token: str, device: Device, language: str | None) -> Opened | None:
        """None if unknown or expired. `language` is the browser's, for who is known by none."""
        opened = await self._opened(token, device, language)
        result = "unknown" if opened is None else "redirect" if opened.redirect else "page"
        self.metrics.landings.labels(result).inc()
        return opened

    async def _opened(self, token: str, device: Device, language: str | None) -> Opened | None:
        landed = await self.find(token)
        now = self.clock.time()
        if landed is None or landed.expires_at <= now:
            return None
        on = datetime.fromtimestamp(now, UTC).date()
        known = [self.targets[name] for name in landed.targets if name in self.targets]
        offered = _for(device, [target for target in known if target.offered(on)])
        language = landed.language or language
        choices = tuple(_choice(target, landed.handle, device, language) for target in offered)
        alone = len(offered) == 1 and offered[0].suits(device) and not offered[0].only_tapped
        return Opened(choices, choices[0].link if alone else None, language)


def _for(device: Device, targets: list[LinkTarget]) -> list[LinkTarget]:
    """Those that work on the device, or all if none does; what belongs to it comes first."""
    suitable = [target for target in targets if target.suits(device)] or targets
    return sorted(suitable, key=lambda target: target.leads_on is not device)


def _choice(target: LinkTarget, handle: str, device: Device, language: str | None) -> Choice:
    link = target.link(handle, language)
    return Choice(target.label(language), link, target.store(handle, device))

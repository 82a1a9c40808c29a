"""The section `[compat]`: requests in the shape of other systems."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic evaluates it
from typing import TYPE_CHECKING, Annotated

from pydantic import StringConstraints

from broker.domain.adereso import Adereso, Sender
from broker.settings.faults import Fault
from broker.settings.values import Name, Section

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from broker.domain.call import Numbering

BusinessNumber = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{4,14}$")]
"""Digits with the country code, as Adereso writes them."""
MetadataKey = Annotated[str, StringConstraints(pattern=r"^(user|ticket)\.[A-Za-z0-9_.-]{1,57}$")]


class AderesoSender(Section):
    """`[compat.adereso.senders.<name>]`: a number that may send."""

    channel: Name | None = None
    template: Name | None = None


class AderesoSettings(Section):
    """`[compat.adereso]`."""

    senders: Mapping[BusinessNumber, AderesoSender] = {}
    template: Name | None = None
    metadata_keys: tuple[MetadataKey, ...] | None = None

    def rules(self, numbering: Numbering) -> Adereso:
        keys = self.metadata_keys
        return Adereso(
            {number: Sender(one.channel, one.template) for number, one in self.senders.items()},
            self.template,
            frozenset(keys) if keys is not None else None,
            numbering,
        )


class CompatSettings(Section):
    """`[compat]`."""

    adereso: AderesoSettings = AderesoSettings()

    def faults(self, channels: Collection[str], templates: Collection[str]) -> Iterator[Fault]:
        """What it names and nobody has set up."""
        path = ("compat", "adereso")
        yield from _unknown((*path, "template"), self.adereso.template, templates)
        for number, sender in self.adereso.senders.items():
            at = (*path, "senders", number)
            yield from _unknown((*at, "channel"), sender.channel, channels)
            yield from _unknown((*at, "template"), sender.template, templates)


def _unknown(path: tuple[str, ...], name: str | None, known: Collection[str]) -> Iterator[Fault]:
    if name is not None and name not in known:
        listed = ", ".join(sorted(known)) or "none"
        yield Fault(path, f"there is no such {path[-1]} (known: {listed})")

"""When people are not to be written to, by the clock where they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers

from broker.domain.call import Line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.domain.call import Phone

_ALWAYS_S = 2 * 86_400.0
"""Longer than any night: of so many zones it is always quiet in one."""


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `begins` to `ends`, which may be on the next day. Equal ones are no time at all."""

    begins: time
    ends: time
    zone: ZoneInfo
    """Whose clock counts where the number does not tell."""
    then: Literal["delay", "next_channel"] = "delay"
    channels: frozenset[str] = frozenset()
    """Empty = all that reach a telephone."""

    @property
    def lasts_s(self) -> float:
        """By one clock; a number of several zones may be quiet for longer."""
        begins, ends = (60.0 * (60 * one.hour + one.minute) for one in (self.begins, self.ends))
        return (ends - begins) % 86_400.0

    def concern(self, channel: str, to: str) -> bool:
        """Whether a message by this channel waits for the end of the night."""
        return channel in self.channels if self.channels else "@" not in to

    def until(self, now: float, phone: Phone | None) -> float | None:
        """When it stops being quiet for this number, in seconds since the epoch; None if it is not.

        A number of several zones may be in any of them: it is quiet while it is in one. If that is
        always so, as for a number of half the world, the clock of the operator counts.
        """
        zones = zones_of(phone) if phone is not None else ()
        return self._until(now, zones or (self.zone,))

    def _until(self, now: float, zones: Sequence[ZoneInfo]) -> float | None:
        quiet = now
        while (ends := max(self._ends(quiet, zone) for zone in zones)) > quiet:
            if ends - now > _ALWAYS_S:
                return self._until(now, (self.zone,))
            quiet = ends
        return quiet if quiet > now else None

    def _ends(self, now: float, zone: ZoneInfo) -> float:
        """When the quiet hours that `now` lies in end in this zone; `now` if it lies in none."""
        here = datetime.fromtimestamp(now, zone)
        clock = here.time()
        if not self._quiet(clock):
            return now
        day = here.date() + timedelta(days=clock >= self.ends)
        # In the night in which an hour comes twice, or never, the later of the two.
        ends = (datetime.combine(day, self.ends.replace(fold=fold), zone) for fold in (0, 1))
        return max(one.timestamp() for one in ends)

    def _quiet(self, clock: time) -> bool:
        if self.begins <= self.ends:
            return self.begins <= clock < self.ends
        return clock >= self.begins or clock < self.ends


def zones_of(phone: Phone) -> tuple[ZoneInfo, ...]:
    """Where this number may ring; empty if it does not tell.

    Imported here: only who configures quiet hours needs the data (0.5 MB, 30 ms; phonenumbers 9).
    """
    from phonenumbers import timezone  # noqa: PLC0415

    if phone.line in {Line.TOLL_FREE, Line.PREMIUM_RATE}:
        return ()
    names = timezone.time_zones_for_number(phonenumbers.parse(phone.e164))
    zones = (_zone(name) for name in names if name != timezone.UNKNOWN_TIMEZONE)
    return tuple(zone for zone in zones if zone is not None)


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except ZoneInfoNotFoundError:
        return None

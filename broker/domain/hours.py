"""When a line is open: OpenStreetMap's syntax, in a time zone, with a country's public holidays."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from opening_hours import (  # type: ignore[attr-defined] # its stubs leave out the errors
    OpeningHours,
    ParserError,
    State,
    UnknownCountryError,
)

if TYPE_CHECKING:
    from datetime import datetime

_COMMENT = re.compile(r'"[^"]*"')
_HOLIDAYS = re.compile(r"\bPH\b")
_NEVER_KNOWN = {
    re.compile(r"\bSH\b"): "SH: nobody here knows school holidays; write their dates instead",
    re.compile(r"\b(dawn|sunrise|sunset|dusk)\b"): "nobody here knows where the sun rises",
}
_POSITION = re.compile(r"--> 1:([0-9]+)")


@dataclass(frozen=True, slots=True)
class Hours:
    """Opening hours of one place, built by `parse`."""

    zone: ZoneInfo
    _table: OpeningHours

    @classmethod
    def parse(cls, text: str, zone: ZoneInfo, country: str | None = None) -> Hours:
        """ValueError, with the place in `text`, if it is not understood.

        `country` (ISO 3166, `DE`) is where the public holidays of `PH` come from. They are those
        of the whole country: holidays of its parts are to be written as dates.
        """
        bare = _COMMENT.sub("", text)
        for pattern, problem in _NEVER_KNOWN.items():
            if pattern.search(bare):
                raise ValueError(problem)
        if country is None and _HOLIDAYS.search(bare):
            raise ValueError("PH needs to know the country")
        try:
            table = OpeningHours(text, country=country)
        except ParserError as error:
            place = _POSITION.search(str(error))
            where = f" at character {place[1]}" if place else ""
            raise ValueError(f"is not understood{where}") from None
        except UnknownCountryError:
            raise ValueError("nobody here knows the holidays of this country") from None
        if table.warnings:
            raise ValueError(f"is doubtful: {table.warnings[0]}")
        return cls(zone, table)

    def open_at(self, now: datetime) -> bool | None:
        """Whether it is open at `now`, which is aware; None if the hours say `unknown`.

        In the hour that an autumn night has twice, both are alike; one that a spring night leaves
        out never comes.
        """
        # Asked with a zone, the library (2.1.4) closes even `24/7` for the minute before clocks go
        # back; asked by what the clock on the wall shows, it does not.
        on_the_wall = now.astimezone(self.zone).replace(tzinfo=None)
        state, _ = self._table.state(on_the_wall)
        return None if state is State.UNKNOWN else state is State.OPEN


def parse_zone(key: str) -> ZoneInfo:
    """The time zone of this name; ValueError if there is none."""
    try:
        return ZoneInfo(key)
    except (KeyError, ValueError, OSError):  # the latter for a name that is a folder of zones
        raise ValueError("there is no such time zone; an example: Europe/Berlin") from None

"""The tables of `[deflection]` that forbid: caps, quiet hours, and what people say to be left."""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003 - pydantic evaluates it
from datetime import time
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, StringConstraints, model_validator

from broker.domain.caps import Caps
from broker.domain.opt_outs import OptOutWords, spelled
from broker.domain.quiet_hours import QuietHours
from broker.settings.values import Count, Money, Name, Section

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


def _clock(value: str) -> str:
    if _CLOCK.fullmatch(value) is None:
        raise ValueError('must be a time of day like "21:00"')
    return value


def _zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError("must be a zone like Europe/Berlin (IANA)")
    return value


def _word(value: str) -> str:
    if not spelled(value):
        raise ValueError("must have a letter or a digit")
    return value


Clock = Annotated[str, AfterValidator(_clock)]
Zone = Annotated[str, AfterValidator(_zone)]
Word = Annotated[str, StringConstraints(max_length=40), AfterValidator(_word)]


class CapsSettings(Section):
    """`[deflection.caps]`: of all messages but emails, whatever they are for."""

    per_number_per_day: Count = 3
    per_prefix_per_10min: Count = 10
    per_hour: Count | None = None
    spend_per_day: Money | None = None
    prices: Mapping[Name, Money] = {}

    @model_validator(mode="after")
    def _priced(self) -> Self:
        if (self.spend_per_day is None) is not (not self.prices):
            raise ValueError("needs both spend_per_day and prices, or neither")
        return self

    def caps(self) -> Caps:
        return Caps(
            self.per_number_per_day,
            self.per_prefix_per_10min,
            self.per_hour,
            self.spend_per_day,
            dict(self.prices),
        )


class QuietHoursSettings(Section):
    """`[deflection.quiet_hours]`. Without `begins`, `ends` and `zone` there are none."""

    begins: Clock | None = None
    ends: Clock | None = None
    zone: Zone | None = None
    then: Literal["delay", "next_channel"] = "delay"
    channels: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len({self.begins is None, self.ends is None, self.zone is None}) > 1:
            raise ValueError("needs begins, ends and zone, or none of them")
        return self

    def hours(self) -> QuietHours | None:
        if self.begins is None or self.ends is None or self.zone is None:
            return None
        begins, ends = (time.fromisoformat(clock) for clock in (self.begins, self.ends))
        return QuietHours(begins, ends, ZoneInfo(self.zone), self.then, frozenset(self.channels))


class WordsSettings(Section):
    """`[deflection.words]`: what the operator adds to STOP, START and HELP."""

    stop: tuple[Word, ...] = ()
    start: tuple[Word, ...] = ()
    help: tuple[Word, ...] = ()

    def words(self) -> OptOutWords:
        return OptOutWords(
            *(frozenset(map(spelled, words)) for words in (self.stop, self.start, self.help))
        )

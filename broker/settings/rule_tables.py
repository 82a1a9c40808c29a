"""The tables of `rules.toml`: which keys they have, and what these hold."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic evaluates it
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool

from broker.domain.customer import TEXT_LIMIT, clean
from broker.domain.hours import Hours, parse_zone
from broker.domain.offers import BUILT_IN, MINUTES
from broker.settings.values import Count, DialPrefix, Name, Seconds, Section, Whole

_ANY_COUNTRY = "DE"


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _offer(value: object) -> object:
    if value == "forced" or isinstance(value, bool):
        return value
    raise ValueError('must be true, false or "forced"')


def _own_name(value: str) -> str:
    if value in BUILT_IN:
        raise ValueError("is a name that the broker itself answers with")
    return value


def _zone(value: str) -> str:
    parse_zone(value)
    return value


def _hours(value: str) -> str:
    """Whether it can be read at all; where its zone and its holidays come from, others know."""
    Hours.parse(value, ZoneInfo("UTC"), _ANY_COUNTRY)
    return value


def _text(value: str) -> str:
    bare = value.replace(MINUTES, "")
    if "{" in bare or "}" in bare:
        raise ValueError(f"knows no other placeholder than {MINUTES}")
    if clean(value) != value:
        problem = f"must be one line of at most {TEXT_LIMIT} characters, without blanks around it"
        raise ValueError(problem)
    return value


def _known_words(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value


Words = Annotated[
    tuple[Annotated[str, AfterValidator(_known_words)], ...],
    BeforeValidator(_listed),
    Field(min_length=1),
]
"""One text or several."""
CalledPrefix = Annotated[str, Field(pattern=r"^\+?[0-9]{1,15}$")]
"""A called number or its beginning: E.164 with `+`, or as the platform tells an inner one."""
CalledPrefixes = Annotated[tuple[CalledPrefix, ...], BeforeValidator(_listed), Field(min_length=1)]
CallerPrefixes = Annotated[tuple[DialPrefix, ...], BeforeValidator(_listed), Field(min_length=1)]
Channels = Annotated[tuple[Name, ...], BeforeValidator(_listed), Field(min_length=1)]
NotNegative = Annotated[Whole, Field(ge=0)]
Zone = Annotated[str, AfterValidator(_zone)]
HoursText = Annotated[str, AfterValidator(_hours)]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[a-z0-9]{2,8})*$")]
Text = Annotated[str, Field(min_length=1), AfterValidator(_text)]


class Times(Section):
    """When it is open, and whose clock and holidays that goes by."""

    hours: HoursText | None = None
    zone: Zone | None = None
    country: Country | None = None


class Line(Times):
    """`[called."<number>"]`; what it leaves out is as for all lines."""

    language: Language | None = None


class General(Line):
    """What stands before the rules and holds for all of them."""

    min_prompts_heard: NotNegative = 1
    never_reasons: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    channels: Channels | None = None
    called: Mapping[CalledPrefix, Line] = {}


class RuleTable(Times):
    """One `[[rule]]`."""

    name: Annotated[Name, AfterValidator(_own_name)]
    offer: Annotated[bool | Literal["forced"], BeforeValidator(_offer)]
    open: StrictBool | None = None
    called: CalledPrefixes | None = None
    caller: CallerPrefixes | None = None
    branch: Words | None = None
    reason: Words | None = None
    min_ewt_seconds: Seconds | None = None
    max_agents_available: NotNegative | None = None
    min_prompts_heard: NotNegative | None = None
    first_action: StrictBool = False
    premium: StrictBool | None = None
    tags: Words | None = None
    first_call: StrictBool | None = None
    deflected_before: StrictBool | None = None
    preferred_channel: Words | None = None
    min_calls_now: Count | None = None
    share: Annotated[float, Field(gt=0, le=1)] | None = None
    channels: Channels | None = None
    text: Mapping[Language, Text] = {}

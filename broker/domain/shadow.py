"""What a CRM in shadow mode would have answered, held against what the call's CRMs found."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from broker.domain.customer import LookupState, normal_email, value_of
from broker.domain.masking import mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from broker.domain.customer import Answer, Customer, LookupResult

COMPARED = ("email", "premium", "track_id", "name", "language")
"""Customer fields that calls and messages make use of; `extra.<key>` come with `[variables]`."""
LOOKUP = "lookup"
"""Stands among the differing fields where one found one person and the other several."""
_OPEN = frozenset({"premium", "language", LOOKUP})
"""Fields that tell nothing about who it is: shown as they are."""
_SILENT = frozenset({LookupState.TIMEOUT, LookupState.ERROR})


class Result(StrEnum):
    """What came of one comparison; the label of `broker_shadow_total`."""

    SAME = "same"
    DIFFERS = "differs"
    ONLY_SHADOW = "only_shadow"
    ONLY_CRMS = "only_crms"
    LATE = "late"
    ERROR = "error"
    NOT_COMPARED = "not_compared"
    """The shadow answered, but the call's own CRMs did not."""


Pair = tuple[str | None, str | None]
"""A field's value, masked: in the shadow, in the CRMs; None = has none."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One lookup, as the shadow and as the CRMs of the call answered it. Holds no plain value."""

    result: Result
    ms: int
    """How long the shadow took."""
    fields: Mapping[str, Pair] = field(default_factory=dict)
    """What differs, also where the answer was late."""

    @property
    def telling(self) -> bool:
        """Whether somebody should look at this one call."""
        found = {Result.DIFFERS, Result.ONLY_SHADOW, Result.ONLY_CRMS}
        return self.result in found or bool(self.fields)


@dataclass(frozen=True, slots=True)
class Difference:
    """A comparison that was kept, and where it happened."""

    at: float
    """Seconds since the epoch."""
    call_id: str
    step: str
    seen: Comparison


@dataclass(frozen=True, slots=True)
class Tally:
    """All comparisons of one shadow since somebody began to count."""

    since: float | None = None
    results: Mapping[str, int] = field(default_factory=dict)
    fields: Mapping[str, int] = field(default_factory=dict)
    """Field -> how often it differed."""
    ms: Sequence[int] = ()
    """How long the latest answers took."""

    @property
    def asked(self) -> int:
        return sum(self.results.values())

    def percentile(self, percent: float) -> int | None:
        """By nearest rank; None without an answer."""
        ranked = sorted(self.ms)
        return ranked[max(0, math.ceil(percent / 100 * len(ranked)) - 1)] if ranked else None


def compared_fields(sources: Iterable[str]) -> tuple[str, ...]:
    """What is compared, if `sources` are what the operator's session variables are made of."""
    extra = sorted(source for source in sources if source.startswith("extra."))
    return (*COMPARED, *extra)


def compare(
    answer: Answer, crms: LookupResult, *, fields: Sequence[str], deadline_ms: int
) -> Comparison:
    """The shadow's `answer` against what the CRMs found; late = after the call's deadline."""
    if answer.state is LookupState.ERROR:
        return Comparison(Result.ERROR, answer.ms)
    if answer.state is LookupState.TIMEOUT:
        return Comparison(Result.LATE, answer.ms)
    result, differing = _held_against(answer, crms, fields)
    late = answer.ms > deadline_ms
    return Comparison(Result.LATE if late else result, answer.ms, differing)


def _held_against(
    answer: Answer, crms: LookupResult, fields: Sequence[str]
) -> tuple[Result, Mapping[str, Pair]]:
    if crms.state in _SILENT:
        return Result.NOT_COMPARED, {}
    if answer.state is LookupState.FOUND and crms.customer is not None:
        differing = _differing(answer.customers[0], crms.customer, fields)
        return (Result.DIFFERS if differing else Result.SAME), differing
    if answer.state is crms.state:
        return Result.SAME, {}
    if answer.state is LookupState.NOT_FOUND:
        return Result.ONLY_CRMS, {}
    if crms.state is LookupState.NOT_FOUND:
        return Result.ONLY_SHADOW, {}
    return Result.DIFFERS, {LOOKUP: (str(answer.state), str(crms.state))}


def _differing(shadow: Customer, crms: Customer, fields: Sequence[str]) -> dict[str, Pair]:
    values = {name: (_value(shadow, name), _value(crms, name)) for name in fields}
    return {
        name: (_shown(name, one), _shown(name, other))
        for name, (one, other) in values.items()
        if one != other
    }


def _value(customer: Customer, name: str) -> str | None:
    value = value_of(customer, name)
    if isinstance(value, bool):
        return str(value).lower()
    return normal_email(value) if name == "email" else value


def _shown(name: str, value: str | None) -> str | None:
    return value if value is None or name in _OPEN else mask(value)

"""What a rule may ask of a situation, and what stands against it when it does not hold."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from broker.domain.by_number import ByNumber
    from broker.domain.hours import Hours
    from broker.domain.situation import Situation

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that has to hold."""

    key: str
    """As `rules.toml` calls it."""
    wanted: str
    holds: Callable[[Situation], bool]
    seen: Callable[[Situation], object]

    def against(self, situation: Situation) -> str:
        """Why it does not hold, in words without personal data: `premium = true, is unknown`."""
        return f"{self.key} = {self.wanted}, is {_word(self.seen(situation))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """The conditions of one rule; None = not asked for. Where several values stand, one has to fit.

    Prefixes of numbers are E.164 with `+`; words are compared without regard to case.
    """

    open: bool | None = None
    hours: ByNumber[Hours] | None = None
    """What `open` goes by; None, or nothing for the called number: the platform's word."""
    called: tuple[str, ...] | None = None
    caller: tuple[str, ...] | None = None
    branch: tuple[str, ...] | None = None
    reason: tuple[str, ...] | None = None
    min_ewt_seconds: float | None = None
    max_agents_available: int | None = None
    premium: bool | None = None
    tags: tuple[str, ...] | None = None
    first_call: bool | None = None
    deflected_before: bool | None = None
    preferred_channel: tuple[str, ...] | None = None
    min_calls_now: int | None = None
    share: float | None = None
    """The part of all calls, 0 to 1, that it is tried with."""

    def conditions(self) -> tuple[Condition, ...]:
        """In the order in which they are looked at: the cheap ones first."""
        asked = {key: getattr(self, key) for key in _KINDS}
        made = [_KINDS[key](key, value) for key, value in asked.items() if value is not None]
        return (*made, *(() if self.open is None else (_open(self.hours, wanted=self.open),)))


def at_least(key: str, limit: float) -> Condition:
    """`key` is `min_` and what it is about."""
    seen = attrgetter(key.removeprefix("min_"))

    def holds(situation: Situation) -> bool:
        value = seen(situation)
        return value is not None and bool(value >= limit)

    return Condition(key, f"{limit:g}", holds, seen)


def folded(word: str) -> str:
    """The form in which two words are compared."""
    return word.strip().casefold()


def _at_most(key: str, limit: float) -> Condition:
    seen = attrgetter(key.removeprefix("max_"))

    def holds(situation: Situation) -> bool:
        value = seen(situation)
        return value is not None and bool(value <= limit)

    return Condition(key, f"{limit:g}", holds, seen)


def _share(key: str, share: float) -> Condition:
    def seen(situation: Situation) -> object:
        return round(situation.share_point, 3)

    return Condition(key, f"{share:g}", lambda s: s.share_point < share, seen)


def _is(key: str, wanted: bool) -> Condition:  # noqa: FBT001 - this value is the condition
    seen = attrgetter(key)
    return Condition(key, _word(wanted), lambda situation: seen(situation) is wanted, seen)


def _among(key: str, words: tuple[str, ...]) -> Condition:
    seen = attrgetter(key)
    wanted = frozenset(map(folded, words))

    def holds(situation: Situation) -> bool:
        value = seen(situation)
        return value is not None and folded(value) in wanted

    return Condition(key, " or ".join(words), holds, seen)


def _begins(key: str, prefixes: tuple[str, ...]) -> Condition:
    seen = attrgetter(key)

    def holds(situation: Situation) -> bool:
        return (seen(situation) or "").startswith(prefixes)

    def told(situation: Situation) -> object:
        return None if seen(situation) is None else "another number"

    return Condition(key, " or ".join(prefixes), holds, told)


def _tagged(key: str, tags: tuple[str, ...]) -> Condition:
    wanted = frozenset(map(folded, tags))

    def holds(situation: Situation) -> bool:
        return not wanted.isdisjoint(map(folded, situation.tags))

    return Condition(key, " or ".join(tags), holds, lambda _: "none of them")


def _open(hours: ByNumber[Hours] | None, *, wanted: bool) -> Condition:
    def seen(situation: Situation) -> bool | None:
        known = hours.of(situation.called) if hours is not None else None
        return situation.open if known is None else known.open_at(situation.now)

    return Condition("open", _word(wanted), lambda situation: seen(situation) is wanted, seen)


def _word(value: object) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


_KINDS: Mapping[str, Callable[[str, Any], Condition]] = {
    "premium": _is,
    "first_call": _is,
    "deflected_before": _is,
    "branch": _among,
    "reason": _among,
    "preferred_channel": _among,
    "called": _begins,
    "caller": _begins,
    "tags": _tagged,
    "min_ewt_seconds": at_least,
    "max_agents_available": _at_most,
    "min_calls_now": at_least,
    "share": _share,
}
"""What each key of a rule asks, but for `open`, which goes by hours."""

"""Whether a caller is offered a channel now: the operator's rules, of which the first decides."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from broker.domain.by_number import ByNumber
from broker.domain.conditions import folded
from broker.domain.languages import spoken
from broker.domain.record import Offered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from broker.domain.conditions import Condition
    from broker.domain.situation import Situation

NEVER_REASON = "never_reason"
"""The reason for the call is one that is never deflected."""
FIRST_ACTION = "first_action"
"""A rule fits but for this: the caller has not heard enough yet."""
NO_CHANNEL = "no_channel"
"""The rule that fits has no channel which reaches this caller."""
NO_RULE = "no_rule"
"""No rule fits."""
CALL_OVER = "call_over"
"""Nobody is on the phone any more."""
ALREADY_DEFLECTED = "already_deflected"
"""The call has its message already."""
BUILT_IN = frozenset(
    {NEVER_REASON, FIRST_ACTION, NO_CHANNEL, NO_RULE, CALL_OVER, ALREADY_DEFLECTED}
)
"""What is said instead of the name of a rule."""
MINUTES = "{minutes}"
"""What a text may show: the expected wait."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: if all `conditions` hold, it decides."""

    name: str
    offers: bool
    conditions: tuple[Condition, ...] = ()
    heard_enough: Condition | None = None
    """Looked at last, and only by a rule that offers."""
    forced: bool = False
    channels: tuple[str, ...] = ()
    """In this order; empty = the order of all rules."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Language in lower case -> text. One with `{minutes}` has a condition on the wait."""

    def fits(self, situation: Situation) -> bool:
        return all(condition.holds(situation) for condition in self.conditions)

    def is_too_early(self, situation: Situation) -> bool:
        return self.heard_enough is not None and not self.heard_enough.holds(situation)

    def against(self, situation: Situation) -> tuple[str, ...]:
        """Everything that speaks against it; empty if it decides."""
        asked = (*self.conditions, *((self.heard_enough,) if self.heard_enough else ()))
        return tuple(c.against(situation) for c in asked if not c.holds(situation))


@dataclass(frozen=True)
class Rules:
    """The operator's `rules.toml`."""

    rules: tuple[Rule, ...] = ()
    never_reasons: frozenset[str] = frozenset()
    """Folded."""
    channels: tuple[str, ...] = ()
    """The order where a rule has none; empty = as they come."""
    languages: ByNumber[str] = field(default_factory=ByNumber)
    """By called number, for callers whose own language is not known or has no text."""

    @cached_property
    def asks_for(self) -> frozenset[str]:
        """The keys of all conditions."""
        return frozenset(condition.key for rule in self.rules for condition in rule.conditions)

    def decide(self, situation: Situation) -> Offered:
        """What the first rule says that fits; no offer if none does."""
        if self._is_never(situation):
            return Offered(offer=False, rule=NEVER_REASON)
        too_early = False
        for rule in self.rules:
            if rule.fits(situation):
                if not rule.is_too_early(situation):
                    return self._of(rule, situation)
                too_early = True
        return Offered(offer=False, rule=FIRST_ACTION if too_early else NO_RULE)

    def explain(self, situation: Situation) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Each rule that was looked at, with what spoke against it: nothing for the one that fits.

        Holds no personal data.
        """
        if self._is_never(situation):
            return
        for rule in self.rules:
            against = rule.against(situation)
            yield rule.name, against
            if not against:
                return

    def named_channels(self) -> tuple[str, ...]:
        """Every channel that is named in them, once."""
        orders = (self.channels, *(rule.channels for rule in self.rules))
        return tuple(dict.fromkeys(name for order in orders for name in order))

    def _is_never(self, situation: Situation) -> bool:
        reason = situation.reason
        return reason is not None and folded(reason) in self.never_reasons

    def _of(self, rule: Rule, situation: Situation) -> Offered:
        if not rule.offers:
            return Offered(offer=False, rule=rule.name)
        channels = self._channels(rule, situation)
        if not channels:
            return Offered(offer=False, rule=NO_CHANNEL)
        text = self._text(rule, situation)
        return Offered(offer=True, rule=rule.name, forced=rule.forced, channels=channels, text=text)

    def _channels(self, rule: Rule, situation: Situation) -> tuple[str, ...]:
        """Those that reach the caller, his own choice before the operator's order."""
        order = rule.channels or self.channels or situation.channels
        reaching = [name for name in order if name in situation.channels]
        preferred = folded(situation.preferred_channel or "")
        return tuple(sorted(reaching, key=lambda name: folded(name) != preferred))

    def _text(self, rule: Rule, situation: Situation) -> str | None:
        if not rule.texts:
            return None
        line = self.languages.of(situation.called)
        text = spoken(rule.texts, situation.language, line) or next(iter(rule.texts.values()))
        wait_s = situation.ewt_seconds or 0.0
        return text.replace(MINUTES, str(max(1, math.ceil(wait_s / 60))))

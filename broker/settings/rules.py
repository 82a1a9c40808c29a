"""Reads `rules.toml`: every fault at once, by the rule it stands in."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from broker.domain.by_number import ByNumber
from broker.domain.conditions import When, at_least, folded
from broker.domain.errors import ConfigError
from broker.domain.hours import Hours, parse_zone
from broker.domain.offers import MINUTES, Rule, Rules
from broker.settings import sources
from broker.settings.faults import Fault, told, unknown
from broker.settings.rule_tables import General, RuleTable, Times

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

RULE = "rule"
_GENERAL_KEYS = frozenset(General.model_fields) | {RULE}
_OF_OFFERS = frozenset({"text", "channels", "first_action", "min_prompts_heard"})
_COPIED = frozenset(field.name for field in fields(When)) - {"open", "hours"}


def read_rules(path: Path, known_channels: Collection[str] | None = None) -> Rules:
    """The rules of the file; ConfigError lists everything that is wrong, each with its place.

    `known_channels` are those that may be offered; None = nobody knows them here.
    """
    tables = sources.read(path, path.name)
    try:
        return rules_of(tables, known_channels)
    except ConfigError as error:
        raise ConfigError(*(f"{path.name}: {fault}" for fault in error.faults)) from None


def rules_of(tables: Mapping[str, Any], known_channels: Collection[str] | None = None) -> Rules:
    """The rules of the tables of such a file; ConfigError as `read_rules`, without its name."""
    reading = _Reading(tables, known_channels)
    if reading.faults:
        raise ConfigError(*dict.fromkeys(map(str, reading.faults)))
    return reading.rules


class _Reading:
    """One pass over the tables."""

    def __init__(self, tables: Mapping[str, Any], channels: Collection[str] | None) -> None:
        self.faults: list[Fault] = []
        self._known_channels = channels
        general = self._read_general(tables)
        self._general_is_known = general is not None
        self._general = general or General()
        self._line_hours = self._hours()
        self._check_channels(tables.get("channels"), ("channels",))
        self.rules = Rules(
            rules=tuple(self._read_rules(tables.get(RULE, []))),
            never_reasons=frozenset(map(folded, self._general.never_reasons)),
            channels=self._general.channels or (),
            languages=ByNumber(
                {p: line.language for p, line in self._general.called.items() if line.language},
                self._general.language,
            ),
        )

    def _read_general(self, tables: Mapping[str, Any]) -> General | None:
        general = {key: value for key, value in tables.items() if key in General.model_fields}
        for key in sorted(tables.keys() - _GENERAL_KEYS):
            self.faults.append(Fault((key,), unknown((key,), _GENERAL_KEYS)))
        valid: General | None = self._valid(General, general)
        return valid

    def _read_rules(self, raw: Any) -> Iterator[Rule]:
        if not isinstance(raw, list) or not all(isinstance(table, dict) for table in raw):
            self.faults.append(Fault((RULE,), "must be written as [[rule]]"))
            return
        names: set[str] = set()
        always: str | None = None
        for place, table in enumerate(raw, 1):
            at = (RULE, label(table, place))
            if at[1] in names:
                self.faults.append(Fault((*at, "name"), "is the name of another rule as well"))
            names.add(at[1])
            if always is not None:
                self.faults.append(Fault(at, f"is never reached: {RULE}.{always} always decides"))
            self._check_channels(table.get("channels"), (*at, "channels"))
            if (parsed := self._valid(RuleTable, table, *at)) is not None:
                rule = self._rule(parsed, at)
                yield rule
                if not rule.conditions and rule.heard_enough is None:
                    always = rule.name

    def _rule(self, table: RuleTable, at: tuple[str, ...]) -> Rule:
        self.faults += (fault.under(*at) for fault in _misfits(table))
        is_open, hours = table.open, self._line_hours
        if table.hours is not None:
            is_open, hours = table.open is not False, self._hours(table, at=(*at, "hours"))
        prompts = self._prompts(table)
        return Rule(
            name=table.name,
            offers=table.offer is not False,
            forced=table.offer == "forced",
            conditions=When(
                open=is_open, hours=hours, **{key: getattr(table, key) for key in _COPIED}
            ).conditions(),
            heard_enough=at_least("min_prompts_heard", prompts) if prompts else None,
            channels=table.channels or (),
            texts=table.text,
        )

    def _prompts(self, table: RuleTable) -> int:
        """How many prompts come first; none before a rule that offers nothing."""
        if table.offer is False or table.first_action:
            return 0
        own = table.min_prompts_heard
        return self._general.min_prompts_heard if own is None else own

    def _hours(self, *own: Times, at: tuple[str, ...] = ()) -> ByNumber[Hours]:
        """A rule's `own` hours at the called number; without them, those of the line itself."""
        general = self._general
        told = {
            prefix: self._parse((*own, line, general), at or ("called", prefix, "hours"))
            for prefix, line in general.called.items()
        }
        default = self._parse((*own, general), at or ("hours",))
        everywhere = (*own, general, *general.called.values())
        needed = self._general_is_known and any(times.hours for times in everywhere)
        if needed and not any(times.zone for times in everywhere):
            self.faults.append(Fault(at or ("hours",), "needs a zone"))
        return ByNumber({p: hours for p, hours in told.items() if hours is not None}, default)

    def _parse(self, chain: Sequence[Times], at: tuple[str, ...]) -> Hours | None:
        """What the first says of each key; None if nobody says hours or zone, or says it wrong."""
        text, zone, country = (
            next((value for times in chain if (value := getattr(times, key)) is not None), None)
            for key in Times.model_fields
        )
        if text is None or zone is None:
            return None
        try:
            return Hours.parse(text, parse_zone(zone), country)
        except ValueError as error:
            self.faults.append(Fault(at, str(error)))
            return None

    def _check_channels(self, raw: Any, at: tuple[str, ...]) -> None:
        known, named = self._known_channels, [raw] if isinstance(raw, str) else raw
        if known is None or not isinstance(named, list):
            return
        if any(isinstance(name, str) and name not in known for name in named):
            listed = ", ".join(sorted(known)) or "none"
            self.faults.append(Fault(at, f"names a channel that does not exist (known: {listed})"))

    def _valid(self, model: type[Any], raw: Any, *at: str) -> Any:
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            self.faults += told(error, model, raw, at)
            return None


def _misfits(rule: RuleTable) -> Iterator[Fault]:
    """Keys of one rule that do not go together."""
    if rule.first_action and rule.min_prompts_heard is not None:
        yield Fault(("first_action",), "contradicts min_prompts_heard")
    if rule.offer is False:
        for key in sorted(_OF_OFFERS & rule.model_fields_set):
            yield Fault((key,), "has no effect in a rule that offers nothing")
    if rule.hours is None:
        for key in sorted({"zone", "country"} & rule.model_fields_set):
            yield Fault((key,), "has no effect without hours in this rule")
    if rule.min_ewt_seconds is None and any(MINUTES in text for text in rule.text.values()):
        problem = f"has {MINUTES}, so the rule needs min_ewt_seconds: the wait may be unknown"
        yield Fault(("text",), problem)


def label(table: Mapping[str, Any], place: int) -> str:
    """What a table of a list is called: by its name, else by its place."""
    name = table.get("name")
    return name if isinstance(name, str) and name else str(place)

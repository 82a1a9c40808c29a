"""Reads the cases by which QA checks a rules file: situations, and what is expected of each."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AwareDatetime, Field, StrictBool, ValidationError

from broker.domain.errors import ConfigError
from broker.domain.situation import Situation
from broker.settings import sources
from broker.settings.faults import Fault, told, unknown
from broker.settings.rule_tables import (  # noqa: TC001 - pydantic evaluates them
    CalledPrefix,
    NotNegative,
)
from broker.settings.rules import label
from broker.settings.values import DialPrefix, Name, Seconds, Section

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from broker.domain.record import Offered

CASE = "case"


class Expect(Section):
    """What a case says of the offer; what it leaves out may be anything."""

    offer: StrictBool | None = None
    forced: StrictBool | None = None
    rule: str | None = None
    channels: tuple[str, ...] | None = None
    text: str | None = None


class CaseTable(Section):
    """One `[[case]]`: the keys of a situation."""

    name: Annotated[str, Field(min_length=1)]
    expect: Expect
    now: AwareDatetime
    channels: tuple[Name, ...] | None = None
    called: CalledPrefix | None = None
    caller: DialPrefix | None = None
    branch: str | None = None
    reason: str | None = None
    ewt_seconds: Seconds | None = None
    agents_available: NotNegative | None = None
    prompts_heard: NotNegative = 0
    open: StrictBool | None = None
    premium: StrictBool | None = None
    tags: tuple[str, ...] = ()
    language: str | None = None
    preferred_channel: str | None = None
    first_call: StrictBool | None = None
    deflected_before: StrictBool | None = None
    calls_now: NotNegative | None = None
    share_point: Annotated[float, Field(ge=0, lt=1)] = 0.0


@dataclass(frozen=True, slots=True)
class Case:
    """One situation and what is to come of it."""

    name: str
    situation: Situation
    expect: Mapping[str, object]
    """Some of the fields of `Offered`."""

    def differences(self, offer: Offered) -> dict[str, tuple[object, object]]:
        """What is not as expected: field -> expected, and what came."""
        return {
            key: (wanted, came)
            for key, wanted in self.expect.items()
            if (came := getattr(offer, key)) != wanted
        }


def read_cases(path: Path, channels: tuple[str, ...]) -> list[Case]:
    """The cases of the file; ConfigError lists everything that is wrong.

    `channels` reach the caller where a case does not say which do.
    """
    tables = sources.read(path, path.name)
    faults = [Fault((key,), unknown((key,), frozenset({CASE}))) for key in tables.keys() - {CASE}]
    raw = tables.get(CASE, [])
    cases: list[Case] = []
    if not isinstance(raw, list) or not raw or not all(isinstance(table, dict) for table in raw):
        faults.append(Fault((CASE,), "must be written as [[case]], at least once"))
        raw = []
    for place, table in enumerate(raw, 1):
        try:
            cases.append(_case(CaseTable.model_validate(table), channels))
        except ValidationError as error:
            faults += told(error, CaseTable, table, (CASE, label(table, place)))
    if faults:
        raise ConfigError(*(f"{path.name}: {fault}" for fault in faults))
    return cases


def _case(table: CaseTable, channels: tuple[str, ...]) -> Case:
    known: dict[str, Any] = {field.name: getattr(table, field.name) for field in fields(Situation)}
    known["channels"] = channels if table.channels is None else table.channels
    return Case(table.name, Situation(**known), table.expect.model_dump(exclude_unset=True))

"""What is written into the call session: the only place that knows the `ivr.*` names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from broker.domain.customer import TEXT_LIMIT, value_of
from broker.domain.messages import DEFLECTION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.domain.record import Record, Step

PROFILE = {"email": "ivr.email", "premium": "ivr.premium", "track_id": "ivr.track_id"}
"""Customer field -> session variable, written by default."""
STEP = {"lookup": "ivr.lookup", "route": "ivr.route"}
"""Result of the shown step -> session variable, written by default."""
DEFLECTION_VALUES = {
    "offer": "ivr.offer",
    "offer_forced": "ivr.offer_forced",
    "offer_text": "ivr.offer_text",
    "choice": "ivr.choice",
    "deflection": "ivr.deflection",
    "deflected_before": "ivr.deflected_before",
}
"""What became of moving the caller to a channel -> session variable, written by default."""
OPTIONAL_STEP = {"lookup_ms": "ivr.lookup_ms", "lookup_source": "ivr.lookup_source"}
"""The same, written only where `[variables]` names them."""
OPTIONAL_PROFILE = {
    "name": "ivr.name",
    "language": "ivr.language",
    "customer_id": "ivr.customer_id",
}
"""Customer fields that `[variables]` may add; so may any `extra.<key>`."""


DEFAULTS = {**PROFILE, **STEP, **DEFLECTION_VALUES}


@dataclass(frozen=True, slots=True)
class Variables:
    """Which values go into the session under which names: the operator's `[variables]`."""

    names: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULTS))

    @classmethod
    def configured(cls, wanted: Mapping[str, str | bool]) -> Variables:
        """Defaults overlaid by `[variables]`: a string renames, false drops, true adds."""
        names = dict(DEFAULTS)
        for source, name in wanted.items():
            if name is False:
                names.pop(source, None)
            else:
                names[source] = default_name(source) if name is True else str(name)
        return cls(names)

    def of(self, record: Record) -> dict[str, str | bool | int]:
        """The whole session content for `record`; a value that does not exist is left out."""
        written: dict[str, str | bool | int] = {}
        shown = record.shown
        for source, name in self.names.items():
            value = _value(record, shown, source)
            if value is not None:
                written[name] = value[:TEXT_LIMIT] if isinstance(value, str) else value
        return written

    def fallback(self, lookup: str, route: str) -> dict[str, str | bool | int]:
        """Only how the lookup ended, for the moment when nothing else may be said."""
        values = {"lookup": lookup, "route": route}
        return {self.names[key]: value for key, value in values.items() if key in self.names}


def default_name(source: str) -> str:
    """The session variable of a source that `[variables]` only switches on."""
    known = {**DEFAULTS, **OPTIONAL_STEP, **OPTIONAL_PROFILE}
    return known.get(source, "ivr." + source.removeprefix("extra."))


def _value(record: Record, shown: Step | None, source: str) -> str | bool | int | None:
    if source in STEP or source in OPTIONAL_STEP:
        return _step_value(shown, source)
    if source in DEFLECTION_VALUES:
        return _deflection_value(record, source)
    if record.customer is None:
        return None
    value = value_of(record.customer, "id" if source == "customer_id" else source)
    return value if isinstance(value, (str, bool)) else None


def _step_value(step: Step | None, source: str) -> str | int | None:
    if step is None:
        return None
    if source == "lookup_ms":
        return step.lookup_ms
    if source == "lookup_source":
        return step.source
    value = step.lookup if source == "lookup" else step.route
    return str(value) if value is not None else None


def _deflection_value(record: Record, source: str) -> str | bool | None:
    offered, message = record.offered, record.message(DEFLECTION)
    if source == "deflection":
        return str(message.state) if message is not None else None
    if source == "choice":
        return record.choice
    if source == "deflected_before":
        return record.deflected_before or None  # so that a trigger may ask "has been set"
    if offered is None:
        return None
    if source == "offer_text":
        return offered.text
    return offered.offer if source == "offer" else offered.forced

"""What the other side of a deflection may know of a person and his call: an allow-list, in size."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from broker.domain.customer import CUSTOMER_FIELDS, LookupState, value_of
from broker.domain.people import caller_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from broker.domain.messages import Message
    from broker.domain.record import Record, Step

Value = str | bool | tuple[str, ...]
MARK = "…"
"""Ends a text that had no room."""
_OWN = re.compile(r"(?:extra|data)\.[^\s]{1,64}")


@dataclass(frozen=True, slots=True)
class ContextRules:
    """`[deflection.context]`: what is told, under which names, how much of it, and how long."""

    fields: tuple[str, ...] = ("customer_id", "name", "language")
    """Sources that `GET /v1/context` tells of the person."""
    user: Mapping[str, str] = field(default_factory=dict)
    """Key of the other side's -> source; the same for `ticket`."""
    ticket: Mapping[str, str] = field(default_factory=dict)
    max_bytes: int = 4096
    """Of all keys and values together, in UTF-8."""
    lives_s: float = 86_400.0
    """Since the message was queued."""


@dataclass(frozen=True, slots=True)
class Context:
    """What is told, each value for its key."""

    customer: dict[str, Value]
    user: dict[str, str]
    ticket: dict[str, str]
    data: dict[str, str]
    cut: tuple[str, ...]
    """What had no room: texts that end with MARK, and values left out."""


def is_source(name: str) -> bool:
    """Whether a value can be told under this name."""
    return name in SOURCES or _OWN.fullmatch(name) is not None


def context_of(record: Record, message: Message, rules: ContextRules) -> Context:
    """What `message` carries to the other side, as the record knows it now.

    What the automation sent with the wish goes before what is mapped. Nothing is told of a
    customer once a reference named somebody else.
    """
    room = _Room(rules.max_bytes)
    everything = _all(record, message, rules)
    told = {(part, key): room.take(part, key, value) for part, key, value in everything}

    def texts(wanted: str) -> dict[str, str]:
        return {k: _text(v) for (part, k), v in told.items() if part == wanted and v is not None}

    customer = {k: v for (part, k), v in told.items() if part == "customer" and v is not None}
    return Context(customer, texts("user"), texts("ticket"), texts("data"), tuple(room.cut))


def metadata(record: Record, message: Message, rules: ContextRules) -> dict[str, str]:
    """The same without the customer's fields, for a channel that carries flat texts itself.

    `context_cut` names what had no room.
    """
    context = context_of(record, message, replace(rules, fields=()))
    flat = {f"user.{key}": told for key, told in context.user.items()}
    flat |= {f"ticket.{key}": told for key, told in context.ticket.items()}
    flat |= context.data
    return flat | ({"context_cut": ", ".join(context.cut)} if context.cut else {})


def known_by(record: Record) -> str | None:
    """What told us who it is: `number` or `reference`; None if nobody is known.

    Who typed a reference, now or on an earlier call, may be somebody else than its customer.
    """
    if record.trusted is None:
        return None
    step = next((s for s in record.steps if s.lookup is LookupState.FOUND), None)
    return None if step is None else "number" if step.owns_number else "reference"


def _all(record: Record, message: Message, rules: ContextRules) -> Iterator[tuple[str, str, Value]]:
    """Part, key and value of everything there is to tell, the most useful first."""
    for source in rules.fields:
        if (told := _value(record, message, source)) is not None:
            yield "customer", source, told
    for part, mapping in (("user", rules.user), ("ticket", rules.ticket)):
        mapped = {key: _value(record, message, source) for key, source in mapping.items()}
        known = {key: _text(told) for key, told in mapped.items() if told is not None}
        for key, text in {**known, **_given(message, f"{part}.")}.items():
            yield part, key, text
    for key, text in message.context.items():
        if not key.startswith(("user.", "ticket.")):
            yield "data", key, text


def _given(message: Message, prefix: str) -> dict[str, str]:
    """What the automation sent under keys that begin so."""
    context = message.context.items()
    return {key.removeprefix(prefix): text for key, text in context if key.startswith(prefix)}


class _Room:
    """What is left of `max_bytes`, and what found no room."""

    def __init__(self, left: int) -> None:
        self._left = left
        self.cut: list[str] = []

    def take(self, part: str, key: str, told: Value) -> Value | None:
        """As much of `told` as fits; None if nothing does."""
        needed = _size(key) + _size(_text(told))
        if needed <= self._left:
            self._left -= needed
            return told
        self.cut.append(f"{part}.{key}")
        room = self._left - _size(key) - _size(MARK)
        if not isinstance(told, str) or room <= 0:
            return None
        self._left = 0
        return told.encode()[:room].decode(errors="ignore") + MARK


def _size(text: str) -> int:
    return len(text.encode())


def _text(told: Value) -> str:
    if isinstance(told, tuple):
        return ", ".join(told)
    return str(told).lower() if isinstance(told, bool) else told


def _value(record: Record, message: Message, source: str) -> Value | None:
    """What is known under this name; None if nothing is."""
    if (read := _OF_CALL.get(source)) is not None:
        return read(record, message)
    if source.startswith("data."):
        return record.data.extra.get(source.removeprefix("data."))
    customer = record.trusted
    if customer is None:
        return None
    told = value_of(customer, "id" if source == "customer_id" else source)
    return told if isinstance(told, str | bool | tuple) and told != () else None


def _reason(record: Record, message: Message) -> str | None:
    return message.context.get("reason") or record.data.extra.get("reason")


def _shown(record: Record, read: Callable[[Step], str | None]) -> str | None:
    return read(record.shown) if record.shown is not None else None


_OF_CALL: Mapping[str, Callable[[Record, Message], Value | None]] = {
    "call_id": lambda record, _: None if record.standalone else record.id,
    "caller": lambda record, _: caller_of(record),
    "called": lambda record, _: record.data.to,
    "branch": lambda _, message: message.branch,
    "reason": _reason,
    "lookup": lambda record, _: _shown(record, lambda step: step.lookup),
    "route": lambda record, _: _shown(record, lambda step: step.route),
    "known_by": lambda record, _: known_by(record),
    "choice": lambda record, _: record.choice,
    "deflected_before": lambda record, _: record.deflected_before,
}
ABOUT_CALL = ("call_id", "called", "branch", "reason", "lookup", "route", "known_by")
"""What is always told of the call: nothing in it is personal."""
_NEVER = frozenset({"id", "extra", "push_tokens", "unmapped_tier"})
SOURCES = frozenset(_OF_CALL) | (CUSTOMER_FIELDS - _NEVER) | {"customer_id"}


def about_call(record: Record, message: Message) -> dict[str, str | None]:
    """The call as anybody on the other side may know it; a value that is not there is None."""
    told = {name: _OF_CALL[name](record, message) for name in ABOUT_CALL}
    return {name: str(value) if value is not None else None for name, value in told.items()}

"""Adereso's request to write to a caller, as a deflection: sender, template, metadata."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from broker.domain.call import Numbering, Phone
from broker.domain.customer import clean
from broker.domain.deflection import Wish
from broker.domain.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOST_KEYS = 50
"""What one message carries along at most."""
_KEY = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_NOT_DIGITS = re.compile(r"[^0-9]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Sender:
    """One business number: what it writes on, and what it says."""

    channel: str | None = None
    template: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What an IVR asks Adereso for."""

    business_phone: str
    recipient_phone: str
    metadata: Any = None
    team_id: str | None = None
    template_name: str | None = None


@dataclass(frozen=True, slots=True)
class Adereso:
    """The operator's `[compat.adereso]`. Without senders every request is refused."""

    senders: Mapping[str, Sender] = field(default_factory=dict)
    """Business numbers: digits with the country code and without `+`."""
    template: str | None = None
    keys: frozenset[str] | None = None
    """Metadata that is taken over: `user.<key>`, `ticket.<key>`; None = all."""
    numbering: Numbering = field(default_factory=Numbering)

    def wish(self, by: str, asked: Asked) -> tuple[Wish, list[str]]:
        """The deflection, and what of the request was not taken over, one sentence each.

        BadInputError `sender_not_allowed`.
        """
        sender = self.senders.get(digits_of(asked.business_phone))
        if sender is None:
            raise BadInputError("nothing is sent from this number", code="sender_not_allowed")
        context, warnings = self._context(asked.metadata)
        if asked.team_id is not None:
            context["team_id"] = asked.team_id
        template = asked.template_name or sender.template or self.template
        wish = Wish(
            by=by,
            channel=sender.channel,
            template=template,
            to=self._international(asked.recipient_phone),
            context=context,
        )
        return wish, warnings

    def _international(self, number: str) -> str:
        """Digits are a number with its country code, else a national one; no number stays so."""
        phone = replace(self.numbering, bare="international").parse(number)
        return phone.e164 if isinstance(phone, Phone) else number

    def _context(self, metadata: Any) -> tuple[dict[str, str], list[str]]:
        context: dict[str, str] = {}
        warnings: list[str] = []
        for key, value in _entries(metadata):
            problem = self._problem(key, value, len(context))
            if problem is None:
                context[key] = str(value)
            else:
                warnings.append(problem)
        return context, warnings

    def _problem(self, key: str, value: str | None, taken: int) -> str | None:
        """Why an entry is not taken over, or None."""
        if _KEY.fullmatch(key) is None:
            return "metadata: a key is none of A-Z a-z 0-9 _ . -, or too long"
        if not key.startswith(("user.", "ticket.")):
            return f"metadata.{key} is neither in user nor in ticket"
        if self.keys is not None and key not in self.keys:
            return f"metadata.{key} is not configured"
        if value is None:
            return f"metadata.{key} is no text"
        return f"metadata.{key} is more than {MOST_KEYS} keys" if taken >= MOST_KEYS else None


def digits_of(number: str) -> str:
    """The digits of a number, without what stands for an international call."""
    digits = _NOT_DIGITS.sub("", number)
    return digits.removeprefix("00") if not number.lstrip().startswith("+") else digits


def _entries(metadata: Any) -> Iterator[tuple[str, str | None]]:
    """`user.<key>` -> text, empty ones left out; None for what is no text."""
    for part, values in metadata.items() if isinstance(metadata, dict) else ():
        under = values.items() if isinstance(values, dict) else [(None, values)]
        for key, value in under:
            if value is not None and value != "":
                yield f"{part}.{key}" if key is not None else str(part), _text(value)


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return clean(str(value)) if isinstance(value, str | int | float) else None

"""Who may get a text message, going by the number: against wasted money and pumped traffic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.domain.call import Line, Phone
from broker.domain.people import caller_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.domain.record import Record

_REFUSED = {
    Line.TOLL_FREE: "toll_free",
    Line.PREMIUM_RATE: "premium_rate",
    Line.FIXED: "fixed_line",
    Line.VOIP: "voip",
    Line.OTHER: "no_mobile",
}
"""Numbers that no text reaches, or that earn money for whoever is called."""
_COSTLY = frozenset({Line.TOLL_FREE, Line.PREMIUM_RATE})
"""Nobody's own number, whatever the channel."""


@dataclass(frozen=True, slots=True)
class LineRules:
    """What the operator makes of what a number lookup said."""

    send_to_unknown: bool = True
    """Numbers of which nobody knows anything, or nobody could be asked."""
    send_to_voip: bool = True

    def refusal(self, line: Line | None) -> str | None:
        """Why such a line gets no text message, in one word; None if it may."""
        if line is None or line is Line.FIXED_OR_MOBILE:
            return None if self.send_to_unknown else "unknown_line"
        return None if line is Line.VOIP and self.send_to_voip else _REFUSED.get(line)


@dataclass(frozen=True, slots=True)
class Recipients:
    """The operator's choice of numbers that are written to."""

    countries: frozenset[str] = frozenset()
    """ISO 3166 regions; empty = nobody."""
    home_region: str | None = None
    """Where a CRM's national numbers are read, if the caller's country is not known."""
    any_line: bool = False
    """Whether fixed lines are written to as well, because people may be reached on any number."""
    prefixes: tuple[str, ...] = ()
    """E.164 beginnings of the numbers that are written to; empty = all of the countries."""

    def refusal(self, phone: Phone) -> str | None:
        """Why this number gets no message, in one word; None if it may.

        Where mobile and fixed numbers look alike (US, CA, MX, CL) it may: only a number lookup
        could tell.
        """
        if phone.region not in self.countries:
            return "country"
        if self.prefixes and not phone.e164.startswith(self.prefixes):
            return "prefix"
        line = phone.line
        return None if self.any_line and line not in _COSTLY else _REFUSED.get(line)

    def choose(self, record: Record) -> Phone | None:
        """Whom a message for the call's customer goes to; None if he has no number that may.

        The calling number if the customer was found by it, else the first on file. A customer who
        was found by a reference, typed now or on an earlier call, is written to at numbers on
        file only: whoever typed it may be somebody else.
        """
        numbers = self._numbers(record)
        return next((phone for phone in numbers if self.refusal(phone) is None), None)

    def _numbers(self, record: Record) -> Iterator[Phone]:
        if record.customer is None:
            return
        caller = Phone.read(caller_of(record) or "")
        by_number = any(step.owns_number for step in record.steps)
        if caller is not None and by_number:
            yield caller
        region = (caller.region if caller is not None else None) or self.home_region
        for stored in record.customer.phones:
            if (phone := Phone.read(stored, region)) is not None:
                yield phone

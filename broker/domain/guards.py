"""What must hold in the very step that saves a change, and what else is kept in that step."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.domain.consents import Consent
    from broker.domain.references import Limit

OPT_OUT_KEPT_S = 5 * 365 * 86_400.0
"""Five years, and five more with every further STOP."""


class Forbidden(StrEnum):
    """Why a message may not be sent: a rule, not a failure."""

    OPTED_OUT = "opted_out"
    CONVERSATION_OPEN = "conversation_open"
    CAP_NUMBER = "cap_number"
    CAP_PREFIX = "cap_prefix"
    CAP_FREQUENCY = "cap_frequency"
    CAP_SPEND = "cap_spend"


@dataclass(frozen=True, slots=True)
class Cap:
    """One send counts `by` against `limit`."""

    limit: Limit
    reason: Forbidden
    by: int = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """Something small that is kept under a key of its own: `<kind>:<hash>`."""

    key: str
    value: str
    ttl_s: float


@dataclass(frozen=True, slots=True)
class Guards:
    """Goes with one change of a call, into the same atomic step: all of it happens, or nothing.

    A change that changes nothing is not guarded: a repeat counts nothing twice.
    """

    people: tuple[str, ...] = ()
    """Hashes of whoever is written to: none of them may have opted out."""
    strangers: tuple[str, ...] = ()
    """Hashes of people with whom no conversation may be open."""
    caps: tuple[Cap, ...] = ()
    """All must have room."""
    marks: tuple[Mark, ...] = ()
    consents: tuple[Consent, ...] = ()


def opted_out(person: str) -> str:
    """The key that says that this person wants no messages."""
    return f"optout:{person}"


def in_conversation(person: str) -> str:
    """The key that says that a conversation with this person is open."""
    return f"conversation:{person}"


def opt_out_marks(people: tuple[str, ...], at: float) -> tuple[Mark, ...]:
    """What keeps everybody from writing to them again, on any channel."""
    when = str(round(at * 1000))
    return tuple(Mark(opted_out(person), when, OPT_OUT_KEPT_S) for person in people)


def conversation_marks(people: tuple[str, ...], message: str, ttl_s: float) -> tuple[Mark, ...]:
    """What keeps a new deflection from them while they talk to us about `message`."""
    return tuple(Mark(in_conversation(person), message, ttl_s) for person in people)


def deflected_mark(person: str, call_id: str, ttl_s: float) -> Mark:
    """What lets `History` say of the person's later calls that he was deflected before."""
    return Mark(f"deflected:{person}", call_id, ttl_s)

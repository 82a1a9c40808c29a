"""What was seen from outside while the calls went on; nothing in it is the broker's own code."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


Request = Literal["start", "reference", "choice", "deflect", "deflections", "receipt", "end"]
"""What is asked of a broker; `deflections` needs no call, and a provider sends a `receipt`."""
CHAIN = ("sms", "backup", "hook")
"""The channels of a deflection, in the order in which they are tried."""
WITH_KEYS = frozenset({"hook"})
"""Channels whose provider takes idempotency keys."""


@dataclass(frozen=True, slots=True)
class Person:
    """A customer of the CRM; every call has one of its own, so that mixed data shows."""

    customer_id: str
    email: str
    track_id: str
    premium: bool


@dataclass(frozen=True, slots=True)
class Call:
    """One call as the test rang it."""

    id: str
    session_id: str
    number: str
    person: Person
    reference: str | None = None
    """Set if the CRM knows the person by what is typed, not by the number."""
    standalone: bool = False
    """No call at all: a deflection that somebody asks for without one."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A broker's answer to a request about a call."""

    at: float
    call_id: str
    request: Request
    status: int
    code: str | None = None
    """Of a refusal: `overloaded`, `store_unavailable`, ..."""


@dataclass(frozen=True, slots=True)
class Wrote:
    """A session write that took effect on the platform."""

    at: float
    session_id: str
    variables: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that its provider took and delivers. With a key: the first of that key."""

    at: float
    to: str
    key: str | None = None
    purpose: str = "tracking"
    channel: str = "email"
    consented: bool | None = None
    """Whether the consent to a deflection was in the store by then; None = nobody could tell."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that its provider definitely did not take."""

    at: float
    to: str
    purpose: str
    channel: str


@dataclass(frozen=True, slots=True)
class Undelivered:
    """The provider took it, and knows now that it never arrives; from here on he tells so."""

    at: float
    to: str
    channel: str
    purpose: str = "deflection"


@dataclass(frozen=True, slots=True)
class Stopped:
    """From here on it is recorded that this person wants no messages."""

    at: float
    call_id: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a broker says of a call (GET, scope admin); None = unknown call."""

    at: float
    call_id: str
    view: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Broke:
    """A fault began: somebody was killed, stopped or cut off."""

    at: float
    what: str
    lasts: bool = False
    """Until the next `Healed`; otherwise it is over within a moment."""


@dataclass(frozen=True, slots=True)
class Healed:
    """All faults are over."""

    at: float


def addresses(call: Call) -> tuple[str, str]:
    """By what messages reach the person of this call, and nobody else."""
    return call.person.email, call.number


Event = Answered | Wrote | Sent | Refused | Undelivered | Stopped | Seen | Broke | Healed


@dataclass(frozen=True)
class History:
    """Calls, everything that happened in order, and what the brokers wrote into their logs."""

    calls: tuple[Call, ...]
    events: tuple[Event, ...]
    log: str = ""
    secrets: tuple[str, ...] = ()
    """What must not stand in the log, besides the personal data of `calls`."""

    @cached_property
    def _places(self) -> dict[str | None, list[int]]:
        """Call id -> where its events stand; None: those that concern all."""
        of_session = {call.session_id: call.id for call in self.calls}
        of_address = {place: call.id for call in self.calls for place in addresses(call)}
        places: dict[str | None, list[int]] = defaultdict(list)
        for place, event in enumerate(self.events):
            match event:
                case Answered(call_id=call_id) | Seen(call_id=call_id) | Stopped(call_id=call_id):
                    places[call_id].append(place)
                case Wrote(session_id=session_id) if session_id in of_session:
                    places[of_session[session_id]].append(place)
                case Sent(to=to) | Refused(to=to) | Undelivered(to=to) if to in of_address:
                    places[of_address[to]].append(place)
                case Broke() | Healed():
                    places[None].append(place)
        return places

    def of(self, call: Call) -> Iterator[Event]:
        """The events of one call, and those that concern all."""
        places = self._places
        for place in sorted([*places.get(call.id, ()), *places.get(None, ())]):
            yield self.events[place]

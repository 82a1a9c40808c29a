"""The judge: a history in, what it breaks of the promises out. Knows no broker and no clock."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from os.path import commonprefix
from typing import TYPE_CHECKING, Any

from tests.chaos.history import Answered, Broke, Call, Healed, Seen, Sent, Wrote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.chaos.history import Event, History

FINAL_WITHIN_S = 10.0
"""Every call has its outcome this long after the last fault, and after its own end."""
REPAIRED_IN_S = 1.0
MOMENT_S = 2.0
"""A fault that does not last is over by then, and what came so shortly before it may be unnoted."""
WRITES_END_S = 3.0
"""A write that was under way when the call ended may still arrive."""
_NO_MESSAGE = frozenset(
    {"call_gone", "expired", "failed", "suppressed", "premium", "informed", "no_match"}
)
_SHOWN_BEFORE = frozenset({"messaged", "message_unknown", "premium", "informed"})
_CUSTOMER = {"ivr.email": "email", "ivr.track_id": "track_id", "ivr.customer_id": "customer_id"}


@dataclass(frozen=True, slots=True)
class Violation:
    """One promise that was broken."""

    rule: str
    call_id: str | None
    detail: str
    story: tuple[Event, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.rule}: {self.detail} (call {self.call_id})"]
        for event in self.story:
            line = _line(event)
            if line.partition(" ")[2] != lines[-1].partition(" ")[2]:  # looked at, and unchanged
                lines.append(line)
        return "\n    ".join(lines)


def _line(event: Event) -> str:
    """`seconds what`, with only as much of a broker's view as tells how the call stands."""
    if not isinstance(event, Seen) or event.view is None:
        return f"{event.at:.2f} {event!r}".replace(f"at={event.at!r}, ", "")
    steps = [f"{step['name']} {step['lookup']} {step['written']}" for step in event.view["steps"]]
    sent = [f"{message['purpose']} {message['state']}" for message in event.view["messages"]]
    told = (event.view["phase"], event.view["outcome"], *steps, *sent)
    return f"{event.at:.2f} Seen {told}"


@dataclass(frozen=True)
class _Facts:
    """The events of one call by kind."""

    call: Call
    events: tuple[Event, ...]
    healed_at: float
    keyed: bool

    @cached_property
    def writes(self) -> list[Wrote]:
        return [event for event in self.events if isinstance(event, Wrote)]

    @cached_property
    def sent(self) -> list[Sent]:
        return [event for event in self.events if isinstance(event, Sent)]

    @cached_property
    def seen(self) -> list[Seen]:
        return [event for event in self.events if isinstance(event, Seen)]

    @cached_property
    def last(self) -> Mapping[str, Any] | None:
        """The latest thing a broker said of it."""
        return self.seen[-1].view if self.seen else None

    @cached_property
    def outcome(self) -> str | None:
        return self.last["outcome"] if self.last is not None else None

    def taken(self, *requests: str) -> list[float]:
        """When requests of these kinds were answered with a 2xx."""
        return [
            event.at
            for event in self.events
            if isinstance(event, Answered)
            and event.request in requests
            and event.status // 100 == 2
        ]

    @cached_property
    def accepted(self) -> bool:
        return bool(self.taken("start", "reference"))

    @cached_property
    def session(self) -> dict[str, Any]:
        """What stands in the session at the end."""
        content: dict[str, Any] = {}
        for write in self.writes:
            content |= write.variables
        return content


def violations(history: History) -> list[Violation]:
    """Every broken promise; empty if all was kept."""
    healed_at = max((e.at for e in history.events if isinstance(e, Healed)), default=0.0)
    found = list(_foreign(history)) + list(_told(history))
    for call in history.calls:
        facts = _Facts(call, tuple(history.of(call)), healed_at, history.keyed)
        for rule in _RULES:
            found += [
                Violation(rule.__name__.strip("_"), call.id, detail, facts.events)
                for detail in rule(facts)
            ]
    return found


def _foreign(history: History) -> Iterator[Violation]:
    """No write but into a call's own session, no data but of the call's own customer."""
    of_session = {call.session_id: call for call in history.calls}
    known_to = {call.person.email for call in history.calls}
    for event in history.events:
        if isinstance(event, Sent) and event.to not in known_to:
            yield Violation("foreign", None, "a message went to nobody's address", (event,))
        if not isinstance(event, Wrote):
            continue
        call = of_session.get(event.session_id)
        if call is None:
            yield Violation("foreign", None, "a write went to no call's session", (event,))
        elif not _shows_only(call, event.variables):
            yield Violation("mixed", call.id, "a write shows somebody else", (event,))


def _shows_only(call: Call, variables: Mapping[str, Any]) -> bool:
    person = call.person
    personal = all(
        variables.get(name) in {None, getattr(person, field)} for name, field in _CUSTOMER.items()
    )
    return personal and variables.get("ivr.premium", person.premium) is person.premium


def _told(history: History) -> Iterator[Violation]:
    """Nothing personal and no secret stands in a log."""
    people = [call.person for call in history.calls]
    numbers = [call.number.lstrip("+") for call in history.calls]
    emails, track_ids = [one.email for one in people], [one.track_id for one in people]
    for secrets in (numbers, emails, track_ids, *([secret] for secret in history.secrets)):
        # Thousands of searches in megabytes: none is needed if what all of them share is absent.
        if _shared(secrets) in history.log:
            for secret in secrets:
                if secret in history.log:
                    yield Violation("told", None, f"a log shows {secret}")


def _shared(texts: Sequence[str]) -> str:
    """What all of them begin with, or end with; the longer of the two."""
    beginning = commonprefix(texts)  # noqa: RUF071 - by character
    ending = commonprefix([text[::-1] for text in texts])[::-1]  # noqa: RUF071
    return max(beginning, ending, key=len)


def _final(facts: _Facts) -> Iterator[str]:
    """An accepted call has exactly one outcome, in time."""
    outcomes = {e.view["outcome"] for e in facts.seen if e.view is not None and e.view["outcome"]}
    if len(outcomes) > 1:
        yield f"has several outcomes: {sorted(outcomes)}"
    if not facts.accepted:
        return
    if facts.last is None:
        yield "was accepted and is not known"
        return
    since = max([facts.healed_at, *facts.taken("end")])
    in_time = [
        e.at
        for e in facts.seen
        if e.view is not None and e.view["outcome"] and e.at <= since + FINAL_WITHIN_S
    ]
    if not in_time:
        phase = facts.last["phase"]
        yield f"has no outcome {FINAL_WITHIN_S:.0f} s after all was well (phase {phase})"


def _whole(facts: _Facts) -> Iterator[str]:
    """What was not accepted had its whole effect or none."""
    if facts.last is None and not facts.accepted and (facts.writes or facts.sent):
        yield "has effects without a record"


def _once(facts: _Facts) -> Iterator[str]:
    """At most one message."""
    if len(facts.sent) > 1:
        yield f"got {len(facts.sent)} messages"
    if facts.last is not None:
        purposes = Counter(message["purpose"] for message in facts.last["messages"])
        if any(count > 1 for count in purposes.values()):
            yield "has two messages of one purpose"


def _sure(facts: _Facts) -> Iterator[str]:
    """Where the provider takes keys, every doubt is cleared up."""
    if facts.keyed and facts.outcome == "message_unknown":
        yield "is message_unknown, and its provider could have been asked"


def _agrees(facts: _Facts) -> Iterator[str]:
    """The outcome says what the provider and the platform saw."""
    outcome = facts.outcome
    if outcome == "messaged" and not facts.sent:
        yield "is messaged, and no provider took a message"
    if outcome in _NO_MESSAGE and facts.sent:
        yield f"is {outcome}, and a message went out"
    shown = [write.at for write in facts.writes if write.variables.get("ivr.lookup") == "found"]
    if outcome in _SHOWN_BEFORE and not shown:
        yield f"is {outcome}, and the session never showed the customer"
    if facts.sent and shown and facts.sent[0].at < shown[0]:
        yield "got its message before the session showed the customer"
    if facts.sent and not shown:
        yield "got a message, and the session never showed the customer"
    if outcome == "call_gone" and any(_noted(event) for event in facts.seen):
        yield "is call_gone, and a broker has said that its session was written"
    if outcome == "call_gone" and not all(_in_trouble(w.at, facts.events) for w in facts.writes):
        yield "is call_gone, and its session was written while nothing was broken"


def _noted(seen: Seen) -> bool:
    """Whether the record knows of a write that took effect."""
    return seen.view is not None and any(step["written"] == "ok" for step in seen.view["steps"])


def _in_trouble(at: float, events: Sequence[Event]) -> bool:
    """Whether a fault may have come between a write at that time and its note."""
    for number, event in enumerate(events):
        if isinstance(event, Broke) and event.at - MOMENT_S <= at:
            later = (healed.at for healed in events[number:] if isinstance(healed, Healed))
            ends = next(later, math.inf) if event.lasts else event.at + MOMENT_S
            if at <= ends:
                return True
    return False


def _newest(facts: _Facts) -> Iterator[str]:
    """The session shows the final result, not an earlier one."""
    if facts.last is None or not facts.writes:
        return
    decided = [step for step in facts.last["steps"] if step["lookup"] not in {None, "pending"}]
    if not decided or any(step["written"] != "ok" for step in decided):
        return  # the last word could not be written, and the record says so
    if facts.session != facts.last["variables"] and not _beyond_repair(facts):
        yield f"shows {facts.session} instead of {facts.last['variables']}"


def _beyond_repair(facts: _Facts) -> bool:
    """Whether a replica that stood still wrote so late that the end of the call forbade the repair.

    The one exception that docs/reliability.md names and that shows here.
    """
    ended, last = facts.taken("end"), facts.writes[-1].at
    stops = [e.at for e in facts.events if isinstance(e, Broke) and e.what.endswith("stopped")]
    late = any(0 <= last - stopped_at <= MOMENT_S for stopped_at in stops)
    due = last + REPAIRED_IN_S
    for stopped_at in stops:
        if last <= stopped_at < due:  # the replica that has to ask for the repair, perhaps
            due = max(due, stopped_at + MOMENT_S)
    return late and bool(ended) and ended[0] < due


def _ends(facts: _Facts) -> Iterator[str]:
    """Nothing is written once the call is over."""
    ended = facts.taken("end")
    if ended and any(write.at > ended[0] + WRITES_END_S for write in facts.writes):
        yield "was written to after its end"


_RULES = (_final, _whole, _once, _sure, _agrees, _newest, _ends)

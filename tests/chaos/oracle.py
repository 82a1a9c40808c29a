"""The judge: a history in, what it breaks of the promises out. Knows no broker and no clock."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from os.path import commonprefix
from typing import TYPE_CHECKING, Any

from tests.chaos.facts import Facts
from tests.chaos.history import WITH_KEYS, Broke, Healed, Seen, Sent, Wrote, addresses
from tests.chaos.oracle_deflections import DEFLECTION_RULES, HEARD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.chaos.history import Call, Event, History

FINAL_WITHIN_S = 10.0
"""Every call has its outcome this long after the last fault, and after its own end."""
REPAIRED_IN_S = 1.0
MOMENT_S = 2.0
"""A fault that does not last is over by then, and what came so shortly before it may be unnoted."""
WRITES_END_S = 3.0
"""A write that was under way when the call ended may still arrive."""
FEW_ATTEMPTS = 2
"""A caller waits for a deflection: its doubt is given up with the third answer that is lost."""
_NO_MESSAGE = frozenset(
    {"call_gone", "expired", "failed", "suppressed", "premium", "informed", "no_match"}
)
_SHOWN_BEFORE = frozenset({"premium", "informed"})
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


def violations(history: History) -> list[Violation]:
    """Every broken promise; empty if all was kept."""
    healed_at = max((e.at for e in history.events if isinstance(e, Healed)), default=0.0)
    found = list(_foreign(history)) + list(_told(history))
    for call in history.calls:
        facts = Facts(call, tuple(history.of(call)), healed_at)
        for rule in _RULES:
            found += [
                Violation(rule.__name__.strip("_"), call.id, detail, facts.events)
                for detail in rule(facts)
            ]
    return found


def _foreign(history: History) -> Iterator[Violation]:
    """No write but into a call's own session, no data but of the call's own customer."""
    of_session = {call.session_id: call for call in history.calls}
    known_to = {place for call in history.calls for place in addresses(call)}
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


def _final(facts: Facts) -> Iterator[str]:
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


def _whole(facts: Facts) -> Iterator[str]:
    """What was not accepted had its whole effect or none."""
    if facts.last is None and not facts.accepted and (facts.writes or facts.sent):
        yield "has effects without a record"


def _once(facts: Facts) -> Iterator[str]:
    """At most one message of each purpose, over all channels, but for what definitely failed."""
    for purpose in sorted({sent.purpose for sent in facts.sent}):
        if (count := facts.most_out(purpose)) > 1:
            channels = [sent.channel for sent in facts.sent if sent.purpose == purpose]
            yield f"got {count} messages for {purpose}, by {', '.join(channels)}"
    if facts.last is not None:
        purposes = Counter(message["purpose"] for message in facts.last["messages"])
        if any(count > 1 for count in purposes.values()):
            yield "has two messages of one purpose"


def _sure(facts: Facts) -> Iterator[str]:
    """Where the provider takes keys, every doubt is cleared up."""
    for purpose, message in facts.messages.items():
        asked_again = purpose == "tracking" or message["attempts"] <= FEW_ATTEMPTS
        if message["state"] == "unknown" and message["channel"] in WITH_KEYS and asked_again:
            yield f"its {purpose} is unknown, and its provider could have been asked"


def _agrees(facts: Facts) -> Iterator[str]:
    """The outcome says what the provider and the platform saw."""
    outcome = facts.outcome
    if outcome == "messaged" and not facts.sent:
        yield "is messaged, and no provider took a message"
    if outcome in _NO_MESSAGE and any(facts.out(sent.purpose) for sent in facts.sent):
        yield f"is {outcome}, and a message went out"
    shown, tracking = facts.found_at, [one for one in facts.sent if one.purpose == "tracking"]
    if (outcome in _SHOWN_BEFORE or "tracking" in facts.messages) and not shown:
        yield f"is {outcome}, and the session never showed the customer"
    if tracking and shown and tracking[0].at < shown[0]:
        yield "got its message before the session showed the customer"
    if tracking and not shown:
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


def _newest(facts: Facts) -> Iterator[str]:
    """The session shows the final result, not an earlier one."""
    if facts.last is None or not facts.writes:
        return
    decided = [step for step in facts.last["steps"] if step["lookup"] not in {None, "pending"}]
    if not decided or any(step["written"] != "ok" for step in decided):
        return  # the last word could not be written, and the record says so
    shows, result = _result(facts.session), _result(facts.last["variables"])
    if shows != result and not _beyond_repair(facts):
        yield f"shows {shows} instead of {result}"


def _result(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Of the lookups; of the deflection `oracle_deflections` knows more."""
    return {name: value for name, value in variables.items() if name not in HEARD}


def _beyond_repair(facts: Facts) -> bool:
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


def _ends(facts: Facts) -> Iterator[str]:
    """Nothing is written once the call is over."""
    ended = facts.taken("end")
    if ended and any(write.at > ended[0] + WRITES_END_S for write in facts.writes):
        yield "was written to after its end"


_RULES = (_final, _whole, _once, _sure, _agrees, _newest, _ends, *DEFLECTION_RULES)

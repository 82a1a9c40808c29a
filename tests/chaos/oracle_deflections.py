"""The rules for deflections: none lost, none invented, none twice, and the flow hears it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.chaos.history import CHAIN, Broke, Healed, Stopped, Undelivered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.chaos.facts import Facts

HEARD = ("ivr.choice", "ivr.deflection")
"""What the call flow is told of a deflection."""
HEARD_WITHIN_S = 5.0
"""Of what became of it; several replicas may die meanwhile."""
DEFLECTION = "deflection"
_PENDING = {"queued", "sending"}
_ARRIVED = {"sent", "delivered", "read", "replied"}


def _deflected(facts: Facts) -> Iterator[str]:
    """What was accepted is a message, and ends."""
    if facts.last is None or not facts.taken("choice", "deflect", "deflections"):
        return
    message = facts.messages.get(DEFLECTION)
    if message is None:
        yield "had its deflection accepted, and has no message"
    elif message["state"] in _PENDING:
        yield f"has a deflection that is still {message['state']}"


def _consented(facts: Facts) -> Iterator[str]:
    """Nobody is written to before his consent is in the store."""
    for sent in facts.sent:
        if sent.purpose == DEFLECTION and sent.consented is False:
            yield f"got a message by {sent.channel} before his consent was kept"


def _true(facts: Facts) -> Iterator[str]:
    """The message's state says what the providers saw."""
    message = facts.messages.get(DEFLECTION)
    if message is None:
        return
    state, taken = message["state"], [one for one in facts.sent if one.purpose == DEFLECTION]
    if state in _ARRIVED and message["channel"] not in {one.channel for one in taken}:
        yield f"has a deflection that is {state} by {message['channel']}, which took none"
    if state in {"failed", "suppressed"} and facts.out(DEFLECTION):
        yield f"has a deflection that is {state}, and {taken[-1].channel} took it"
    if state == "failed" and (left := _not_asked(facts)):
        yield f"has a deflection that failed, and {', '.join(left)} did not refuse it"


def _not_asked(facts: Facts) -> list[str]:
    """The channels that reach this person and did not refuse."""
    refused = {one.channel for one in facts.refused if one.purpose == DEFLECTION}
    asked = min(facts.taken("choice", "deflect", "deflections"), default=0.0)
    known = bool(facts.found_at) and facts.found_at[0] < asked
    reaching = CHAIN if known else CHAIN[:-1]  # the last one needs his address
    return [channel for channel in reaching if channel not in refused]


def _never_back(facts: Facts) -> Iterator[str]:
    """What refused is not asked again."""
    refused = {one.channel: one.at for one in facts.refused}
    for sent in facts.sent:
        if sent.purpose == DEFLECTION and refused.get(sent.channel, sent.at) < sent.at:
            yield f"was refused by {sent.channel}, and asked it again"


def _stopped(facts: Facts) -> Iterator[str]:
    """No send is begun once it is recorded that this person wants none."""
    stopped = [event.at for event in facts.events if isinstance(event, Stopped)]
    views = [e.view for e in facts.seen if stopped and e.at > stopped[0] and e.view is not None]
    begun = [
        message["attempts"]
        for view in views
        for message in view["messages"]
        if message["purpose"] == DEFLECTION
    ]
    if begun and begun[-1] > begun[0]:
        yield "was begun to be written to after the STOP"


def _moved(facts: Facts) -> Iterator[str]:
    """What a provider has told, and a broker has taken, the record knows."""
    message = facts.messages.get(DEFLECTION)
    failed = {event.channel for event in facts.events if isinstance(event, Undelivered)}
    if message is None or message["channel"] not in failed or not facts.taken("receipt"):
        return
    if message["state"] != "failed":
        yield f"is {message['state']} by {message['channel']}, which has told that it failed"


def _heard(facts: Facts) -> Iterator[str]:
    """The session shows what became of it, while the call lives."""
    ended = facts.taken("end")
    views = [(e.at, e.view) for e in facts.seen if e.view is not None]
    if not ended or not facts.writes or not views:
        return
    told = [(at, _told(view)) for at, view in views if at < ended[0]]
    same = [at for at, said in told if said == told[-1][1]]
    if not same or same[-1] - same[0] < HEARD_WITHIN_S or _broken(facts, same[0], same[-1]):
        return
    session = facts.session_at(same[-1])
    shown = {name: session[name] for name in HEARD if name in session}
    if shown != told[-1][1]:
        yield f"shows {shown}, and the record has said {told[-1][1]} for long"


def _told(view: Mapping[str, Any]) -> dict[str, Any]:
    return {name: view["variables"][name] for name in HEARD if name in view["variables"]}


def _broken(facts: Facts, since: float, until: float) -> bool:
    """Whether something was broken for a while between the two."""
    for number, event in enumerate(facts.events):
        if isinstance(event, Broke) and event.lasts and event.at <= until:
            healed = [e.at for e in facts.events[number:] if isinstance(e, Healed)]
            if not healed or healed[0] >= since:
                return True
    return False


DEFLECTION_RULES = (_deflected, _consented, _true, _never_back, _stopped, _moved, _heard)

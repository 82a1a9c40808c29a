"""The judge on histories written by hand: it is silent about good ones and names each fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos.history import (
    Answered,
    Broke,
    Call,
    Event,
    Healed,
    History,
    Person,
    Seen,
    Sent,
    Wrote,
)
from tests.chaos.oracle import FINAL_WITHIN_S, violations

if TYPE_CHECKING:
    from collections.abc import Sequence

ADA = Person("cust-1", "ada@mail.example", "TRK1", premium=False)
BEN = Person("cust-2", "ben@mail.example", "TRK2", premium=True)
CALL = Call("call-1", "session-1", "+4915110000001", ADA)
OTHER = Call("call-2", "session-2", "+4915110000002", BEN)
FOUND = {
    "ivr.email": ADA.email,
    "ivr.premium": False,
    "ivr.track_id": ADA.track_id,
    "ivr.lookup": "found",
    "ivr.route": "self_service",
}
TIMEOUT = {"ivr.lookup": "timeout", "ivr.route": "reference"}


def _message(purpose: str, state: str, channel: str, attempts: int = 1) -> dict[str, Any]:
    return {"purpose": purpose, "state": state, "channel": channel, "attempts": attempts}


def _view(outcome: str | None, **changed: Any) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "phase": "over",
        "steps": [{"name": "number", "lookup": "found", "written": "ok"}],
        "messages": [_message("tracking", "sent", "email")],
        "variables": FOUND,
        **changed,
    }


START, END = Answered(1.0, CALL.id, "start", 202), Answered(3.0, CALL.id, "end", 200)
GOOD: Sequence[Event] = (
    START,
    Wrote(1.5, CALL.session_id, FOUND),
    Sent(2.0, ADA.email),
    END,
    Seen(3.5, CALL.id, _view("messaged")),
)


def _judged(events: Sequence[Event], log: str = "") -> set[str]:
    history = History((CALL, OTHER), tuple(events), log, ("token-1",))
    return {violation.rule for violation in violations(history)}


def _with(event: Event, at: int) -> list[Event]:
    return [*GOOD[:at], event, *GOOD[at:]]


def test_a_call_that_went_well_breaks_nothing() -> None:
    assert _judged(GOOD) == set()


def test_a_call_that_was_never_accepted_may_be_unknown() -> None:
    assert _judged([Answered(1.0, CALL.id, "start", 503), Seen(2.0, CALL.id, None)]) == set()


def test_an_honest_unknown_may_have_arrived_or_not() -> None:
    unknown = Seen(3.5, CALL.id, _view("message_unknown"))
    assert _judged([*GOOD[:-1], unknown]) == set()
    assert _judged([START, GOOD[1], END, unknown]) == set()


def test_where_the_provider_takes_keys_nothing_stays_unknown() -> None:
    message = _message("tracking", "unknown", "hook")
    unknown = Seen(3.5, CALL.id, _view("message_unknown", messages=[message]))
    assert _judged([*GOOD[:-1], unknown]) == {"sure"}


def test_time_counts_from_the_healing() -> None:
    late = Seen(3.0 + FINAL_WITHIN_S + 5, CALL.id, _view("messaged"))
    assert _judged([*GOOD[:-1], late]) == {"final"}
    assert _judged([*GOOD[:-1], Broke(3.1, "cut"), Healed(8.1), late]) == set()


@pytest.mark.parametrize(
    ("rule", "events"),
    [
        ("final", [START, END]),
        ("final", [START, END, Seen(9.0, CALL.id, _view(None, phase="decided"))]),
        ("final", [START, END, Seen(9.0, CALL.id, None)]),
        ("final", [*GOOD, Seen(4.0, CALL.id, _view("premium"))]),
        ("whole", [GOOD[1], Seen(2.0, CALL.id, None)]),
        ("foreign", _with(Wrote(1.4, "session-9", TIMEOUT), 1)),
        ("foreign", _with(Sent(2.1, "nobody@mail.example"), 3)),
        ("mixed", _with(Wrote(1.4, OTHER.session_id, FOUND), 1)),
        ("mixed", _with(Wrote(1.4, CALL.session_id, {"ivr.email": BEN.email}), 1)),
        ("mixed", _with(Wrote(1.4, CALL.session_id, {"ivr.premium": True}), 1)),
        ("once", _with(Sent(2.1, ADA.email), 3)),
        ("once", _with(Sent(2.1, ADA.email, "another-key"), 3)),
        ("agrees", [*GOOD[:2], *GOOD[3:]]),
        ("agrees", [*GOOD[:-1], Seen(3.5, CALL.id, _view("no_match"))]),
        ("agrees", [START, Sent(1.2, ADA.email), GOOD[1], *GOOD[3:]]),
        ("agrees", [START, *GOOD[2:]]),
        ("agrees", [START, GOOD[1], END, Seen(3.5, CALL.id, _view("call_gone"))]),
        ("newest", _with(Wrote(2.5, CALL.session_id, TIMEOUT), 3)),
        ("ends", [*GOOD, Wrote(9.0, CALL.session_id, FOUND)]),
    ],
)
def test_broken_promise_is_named(rule: str, events: Sequence[Event]) -> None:
    assert rule in _judged(events)


@pytest.mark.parametrize("told", [CALL.number, CALL.number[1:], ADA.email, "TRK2", "token-1"])
def test_whatever_is_personal_or_secret_is_found_in_a_log(told: str) -> None:
    assert _judged(GOOD, log=f'{{"event": "x", "detail": "about {told}."}}') == {"told"}


def test_a_stale_write_just_before_the_end_is_excused_only_if_somebody_stood_still() -> None:
    stale = Wrote(2.5, CALL.session_id, TIMEOUT)
    assert _judged([Broke(0.6, "replica-1 stopped"), *_with(stale, 3)]) == set()
    assert _judged([Broke(0.6, "replica-1 killed"), *_with(stale, 3)]) == {"newest"}
    assert _judged([Broke(0.4, "replica-1 stopped"), *_with(stale, 3)]) == {"newest"}
    assert _judged([*_with(stale, 3), Broke(2.6, "replica-1 stopped")]) == {"newest"}


def test_a_repair_may_wait_for_a_replica_that_stands_still_once_more() -> None:
    stops = [Broke(0.3, "replica-1 stopped"), Broke(1.8, "replica-1 stopped")]
    stale = Wrote(1.7, CALL.session_id, TIMEOUT)
    assert _judged([stops[0], *GOOD[:2], stale, stops[1], *GOOD[2:]]) == set()
    assert _judged([stops[0], *GOOD[:2], stale, *GOOD[2:]]) == {"newest"}


CUT = [{"name": "number", "lookup": "found", "written": None}]
GONE = Seen(9.5, CALL.id, _view("call_gone", steps=CUT, messages=[]))


@pytest.mark.parametrize(
    "fault", [Broke(1.6, "killed"), Broke(1.4, "stopped"), Broke(-9.0, "store away", lasts=True)]
)
def test_a_write_whose_note_may_be_lost_does_not_contradict_call_gone(fault: Broke) -> None:
    assert _judged([fault, START, GOOD[1], END, GONE]) == set()


@pytest.mark.parametrize(
    "faults",
    [
        [],
        [Broke(-0.6, "killed")],
        [Broke(3.6, "killed")],
        [Broke(-9.0, "store away", lasts=True), Healed(-8.0)],
    ],
)
def test_a_write_far_from_every_fault_contradicts_call_gone(faults: list[Event]) -> None:
    assert _judged([*faults, START, GOOD[1], END, GONE]) == {"agrees"}


def test_a_write_that_was_noted_contradicts_call_gone_whatever_broke() -> None:
    noted = Seen(1.55, CALL.id, _view(None, messages=[]))
    assert _judged([START, GOOD[1], noted, Broke(1.6, "killed"), END, GONE]) == {"agrees"}

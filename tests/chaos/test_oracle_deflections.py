"""The judge's rules for deflections, on histories written by hand."""

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
    Refused,
    Seen,
    Sent,
    Stopped,
    Undelivered,
    Wrote,
)
from tests.chaos.oracle import violations

if TYPE_CHECKING:
    from collections.abc import Sequence

ADA = Person("cust-1", "ada@mail.example", "TRK1", premium=True)
CALL = Call("call-1", "session-1", "+4915110000001", ADA)
FORM = Call(
    "form-1", "", "+4915110000002", Person("cust-2", "ben@mail.example", "TRK2", premium=False)
)
FOUND = {"ivr.lookup": "found", "ivr.route": "premium", "ivr.premium": True}
CHOSEN = {**FOUND, "ivr.choice": "deflect", "ivr.deflection": "sent"}


def _view(outcome: str | None, state: str, channel: str = "sms", **more: Any) -> dict[str, Any]:
    message = {"purpose": "deflection", "state": state, "channel": channel, "attempts": 1}
    return {
        "outcome": outcome,
        "phase": "over",
        "steps": [{"name": "number", "lookup": "found", "written": "ok"}],
        "messages": [message],
        "variables": {**CHOSEN, "ivr.deflection": state},
        **more,
    }


def _sent(at: float, channel: str = "sms", to: str = CALL.number) -> Sent:
    return Sent(at, to, None, "deflection", channel)


def _refused(at: float, channel: str, to: str = CALL.number) -> Refused:
    return Refused(at, to, "deflection", channel)


START = Answered(1.0, CALL.id, "start", 202)
SHOWN = Wrote(1.5, CALL.session_id, FOUND)
CHOICE = Answered(2.0, CALL.id, "choice", 200)
TOLD = Wrote(2.4, CALL.session_id, CHOSEN)
END = Answered(9.0, CALL.id, "end", 200)
BEGUN = (START, SHOWN, CHOICE)
GOOD: Sequence[Event] = (
    *BEGUN,
    _sent(2.2),
    TOLD,
    Seen(2.5, CALL.id, _view(None, "sent")),
    Seen(8.9, CALL.id, _view(None, "sent")),
    END,
    Seen(9.5, CALL.id, _view("messaged", "sent")),
)
ALL_REFUSED = (_refused(2.1, "sms"), _refused(2.2, "backup"), _refused(2.3, "hook", ADA.email))


def _judged(events: Sequence[Event]) -> set[str]:
    return {violation.rule for violation in violations(History((CALL, FORM), tuple(events)))}


def _ended(outcome: str, state: str, channel: str = "sms") -> tuple[Event, Event]:
    return END, Seen(9.5, CALL.id, _view(outcome, state, channel))


def test_a_deflection_that_went_well_breaks_nothing() -> None:
    assert _judged(GOOD) == set()


def test_a_call_may_get_its_tracking_message_and_a_deflection() -> None:
    assert _judged([*GOOD[:4], Sent(2.3, ADA.email), *GOOD[4:]]) == set()


def test_a_refused_channel_is_followed_by_the_next() -> None:
    events = (*BEGUN, _refused(2.1, "sms"), _sent(2.2, "backup"))
    assert _judged([*events, *_ended("messaged", "sent", "backup")]) == set()


def test_failed_is_what_every_channel_refused() -> None:
    assert _judged([*BEGUN, *ALL_REFUSED, *_ended("failed", "failed", "hook")]) == set()


def test_whose_address_nobody_knew_in_time_is_failed_without_the_last_channel() -> None:
    early = (START, Answered(1.2, CALL.id, "choice", 200), SHOWN, *ALL_REFUSED[:2])
    assert _judged([*early, *_ended("failed", "failed", "backup")]) == set()


@pytest.mark.parametrize("lacking", range(3))
def test_failed_is_not_what_some_channel_was_never_asked_for(lacking: int) -> None:
    refused = [one for number, one in enumerate(ALL_REFUSED) if number != lacking]
    assert _judged([*BEGUN, *refused, *_ended("failed", "failed", "hook")]) == {"true"}


def test_an_honest_unknown_may_have_arrived_or_not() -> None:
    unknown = _ended("message_unknown", "unknown")
    assert _judged([*BEGUN, _sent(2.2), *unknown]) == set()
    assert _judged([*BEGUN, *unknown]) == set()


@pytest.mark.parametrize(("attempts", "broken"), [(1, {"sure"}), (2, {"sure"}), (3, set())])
def test_the_doubt_of_who_waits_is_cleared_up_twice(attempts: int, broken: set[str]) -> None:
    refused, view = ALL_REFUSED[:2], _view("message_unknown", "unknown", "hook")
    view["messages"][0]["attempts"] = attempts
    assert _judged([*BEGUN, *refused, END, Seen(9.5, CALL.id, view)]) == broken


@pytest.mark.parametrize(
    ("rule", "events"),
    [
        ("once", [*GOOD[:4], _sent(2.3, "backup"), *GOOD[4:]]),
        ("once", [*GOOD[:4], _sent(2.3, "hook", ADA.email), *GOOD[4:]]),
        ("once", [*BEGUN, _sent(2.1), _sent(2.2, "backup"), *_ended("messaged", "sent", "backup")]),
        ("deflected", [*BEGUN, END, Seen(9.5, CALL.id, _view("premium", "", messages=[]))]),
        ("deflected", [*BEGUN, END, Seen(9.5, CALL.id, _view(None, "queued"))]),
        ("true", [*BEGUN, *_ended("messaged", "sent")]),
        ("true", [*BEGUN, _sent(2.2, "backup"), *_ended("messaged", "delivered")]),
        ("true", [*BEGUN, _sent(2.2), *ALL_REFUSED[1:], *_ended("failed", "failed", "hook")]),
        ("true", [*BEGUN, _sent(2.2), *_ended("suppressed", "suppressed")]),
        ("agrees", [*BEGUN, _sent(2.2), END, Seen(9.5, CALL.id, _view("call_gone", "sent"))]),
        (
            "consented",
            [*GOOD[:3], Sent(2.2, CALL.number, None, "deflection", "sms", False), *GOOD[4:]],
        ),
        ("never_back", [*BEGUN, _refused(2.1, "sms"), _sent(2.2), *_ended("messaged", "sent")]),
        ("foreign", [*GOOD, _sent(9.9, "sms", "+4915110000009")]),
    ],
)
def test_broken_promise_is_named(rule: str, events: Sequence[Event]) -> None:
    assert rule in _judged(events)


def test_the_flow_hears_what_became_of_it() -> None:
    unheard = [event for event in GOOD if event is not TOLD]
    assert _judged(unheard) == {"heard"}


def test_what_became_of_it_just_before_the_end_need_not_be_heard() -> None:
    *early, _, end, last = [event for event in GOOD if event is not TOLD]
    assert _judged([*early, end, last]) == set()


def test_nothing_is_heard_while_something_is_broken() -> None:
    unheard = [event for event in GOOD if event is not TOLD]
    assert _judged([Broke(0.5, "ivr", lasts=True), Healed(0.9), *unheard]) == {"heard"}
    assert (
        _judged([Broke(0.5, "ivr", lasts=True), *unheard[:-1], Healed(9.2), unheard[-1]]) == set()
    )
    assert _judged([*unheard[:-1], Broke(9.2, "ivr", lasts=True), unheard[-1]]) == {"heard"}


ASKED = Answered(1.0, FORM.id, "deflections", 202)


def test_what_is_asked_for_without_a_call_is_sent_or_told_of() -> None:
    done = Seen(2.0, FORM.id, _view("done", "sent", steps=[], variables={}))
    assert _judged([ASKED, _sent(1.5, "sms", FORM.number), done]) == set()
    assert _judged([ASKED, done]) == {"true"}
    waiting = Seen(2.0, FORM.id, _view(None, "queued", steps=[], variables={}))
    assert _judged([ASKED, waiting]) == {"final", "deflected"}
    assert _judged([ASKED, Seen(2.0, FORM.id, None)]) == {"final"}


FAILED = Undelivered(2.3, CALL.number, "sms")
RECEIPT = Answered(2.4, CALL.id, "receipt", 200)
AFTER_ALL = (*BEGUN, _sent(2.2), FAILED, RECEIPT)


def test_what_definitely_failed_later_is_followed_by_the_next_channel() -> None:
    ended = _ended("messaged", "sent", "backup")
    assert _judged([*AFTER_ALL, _sent(2.5, "backup"), *ended]) == set()
    assert _judged([*AFTER_ALL, _sent(2.5, "backup"), _sent(2.6, "hook", ADA.email), *ended]) == {
        "once"
    }
    assert _judged([*BEGUN, _sent(2.2), _sent(2.25, "backup"), FAILED, RECEIPT, *ended]) == {"once"}


def test_a_receipt_that_was_taken_is_not_forgotten() -> None:
    assert _judged([*AFTER_ALL, *_ended("messaged", "sent")]) == {"moved"}
    assert _judged([*BEGUN, _sent(2.2), FAILED, *_ended("messaged", "sent")]) == set()
    refused = [*ALL_REFUSED[1:], *_ended("failed", "failed", "hook")]
    assert _judged([*AFTER_ALL, *refused]) == set()


@pytest.mark.parametrize(("attempts", "broken"), [(1, set()), (2, {"stopped"})])
def test_no_send_is_begun_after_a_stop(attempts: int, broken: set[str]) -> None:
    views = [_view(None, "queued"), _view("suppressed", "suppressed")]
    views[1]["messages"][0]["attempts"] = attempts
    first, last = Seen(3.1, CALL.id, views[0]), Seen(9.5, CALL.id, views[1])
    assert _judged([*BEGUN, Stopped(3.0, CALL.id), first, END, last]) == broken
    assert _judged([*BEGUN, first, Stopped(3.2, CALL.id), END, last]) == set()

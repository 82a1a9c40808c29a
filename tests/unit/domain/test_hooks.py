"""What an agent is shown of a call, and what the platform's record of it gets."""

from __future__ import annotations

from dataclasses import replace

from broker.domain.customer import Customer, LookupState
from broker.domain.hooks import MESSAGE_LIMIT, call_report, screen_pop
from broker.domain.messages import TRACKING, Message, MessageState
from broker.domain.record import NUMBER, Outcome, Over, Record, Step
from broker.domain.routing import Route

ADA = Customer(
    "C-1", email="ada@example.com", premium=True, name="Ada King", record_url="https://crm/1"
)
FOUND = Step(NUMBER, 0.0, "+493023125001", lookup=LookupState.FOUND, route=Route.PREMIUM)
CALL = Record("c1", 0.0, 9.0, steps=(FOUND,), customer=ADA)


def test_the_agent_is_shown_who_it_is_and_where_the_record_is() -> None:
    pop = screen_pop(CALL, "a7")
    assert pop is not None
    assert (pop.agent_id, pop.call_id, pop.message) == ("a7", "c1", "Ada King · premium · C-1")
    assert pop.data == {
        "call_id": "c1",
        "customer_id": "C-1",
        "name": "Ada King",
        "premium": True,
        "record_url": "https://crm/1",
        "lookup": "found",
        "route": "premium",
    }


def test_what_is_not_known_is_left_out() -> None:
    bare = replace(CALL, customer=Customer("C-2"))
    pop = screen_pop(bare, "a7")
    assert pop is not None
    assert pop.message == "C-2"
    assert pop.data.keys() == {"call_id", "customer_id", "lookup", "route"}


def test_a_long_name_still_fits() -> None:
    long = replace(CALL, customer=replace(ADA, name="x" * 256))
    pop = screen_pop(long, "a7")
    assert pop is not None
    assert len(pop.message) == MESSAGE_LIMIT


def test_nobody_is_shown_if_it_is_not_known_who_it_is() -> None:
    other = Step("reference-1", 1.0, lookup=LookupState.AMBIGUOUS, contradicts=True)
    assert screen_pop(replace(CALL, customer=None), "a7") is None
    assert screen_pop(replace(CALL, steps=(FOUND, other)), "a7") is None
    assert screen_pop(replace(CALL, over=Over.ENDED), "a7") is None


def test_the_report_tells_the_outcome_and_nothing_of_the_customer() -> None:
    over = replace(
        CALL,
        steps=(FOUND, Step("reference-1", 1.0, "2001001", lookup=LookupState.NOT_FOUND)),
        over=Over.ENDED,
        outcome=Outcome.MESSAGED,
        disposition="answered",
        messages=(Message(TRACKING, "email", 0.0, 0.0, MessageState.SENT),),
    )
    report = call_report(over)
    assert report.call_id == "c1"
    assert report.data == {
        "outcome": "messaged",
        "lookup": "found",
        "route": "premium",
        "references": 1,
        "disposition": "answered",
        "message.tracking": "sent",
    }


def test_a_call_of_which_nothing_is_known_has_a_report_too() -> None:
    gone = Record("c2", 0.0, 9.0, over=Over.GONE, outcome=Outcome.CALL_GONE, reason="write_failed")
    assert call_report(gone).data == {
        "outcome": "call_gone",
        "reason": "write_failed",
        "references": 0,
    }

"""What each event means for a call: one customer, one message, nothing after the end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from broker.domain import progress
from broker.domain.customer import Customer, Folding, LookupResult, LookupState
from broker.domain.messages import MessageState, Sender, Tracking, When
from broker.domain.progress import Finding, bury
from broker.domain.record import NUMBER, Over, Phase, Session, Written, add_alias
from broker.domain.routing import Route, Routing
from broker.domain.sending import lost, not_sent, sending, sent

if TYPE_CHECKING:
    from tests.unit.domain.conftest import Story

URL = "https://shop.example.com/track/{track_id}"


# One call, one customer


def test_whom_the_number_found_is_the_calls_customer(story: Story) -> None:
    story.number()
    step = story.found(NUMBER, story.ada)
    assert story.record.customer == story.ada
    assert story.record.customer_crm == "shop"
    assert (step.lookup, step.route, step.source) == ("found", "premium", "shop")
    assert story.record.session == Session("session", "given")


def test_a_reference_of_the_same_customer_is_found(story: Story) -> None:
    story.number()
    story.found(NUMBER, story.ada)
    again = replace(story.ada, email="new@example.com", premium=False)
    step = story.found(story.reference(), again)
    assert (step.lookup, step.route) == ("found", "premium")
    assert story.record.customer == story.ada


def test_one_person_in_two_crms_is_the_same_customer_by_email(story: Story) -> None:
    story.number()
    story.found(NUMBER, story.ada)
    other_record = Customer("x9", email=" ADA@example.com")
    step = story.found(story.reference(), other_record, crm="billing")
    assert (step.lookup, step.route) == ("found", "premium")
    assert story.record.customer == story.ada


def test_one_person_in_two_crms_is_the_same_customer_by_the_configured_key(story: Story) -> None:
    story.policy = replace(story.policy, folding=Folding(same_person_key="extra.erp"))
    story.number()
    story.found(NUMBER, Customer("1", extra={"erp": "7"}))
    assert story.found(story.reference(), Customer("b", extra={"erp": "7"})).lookup == "found"


@pytest.mark.parametrize("conflict", ["ambiguous", "priority"])
def test_a_reference_of_somebody_else_is_ambiguous(story: Story, conflict: str) -> None:
    story.policy = replace(story.policy, folding=Folding(conflict=conflict))
    story.number()
    story.found(NUMBER, story.ada)
    step = story.found(story.reference(), story.bob)
    assert (step.lookup, step.route) == ("ambiguous", "standard")
    assert step.reason == "other_customer"
    assert story.record.customer == story.ada


def test_the_same_id_in_another_crm_is_not_the_same_customer(story: Story) -> None:
    story.number()
    story.found(NUMBER, Customer("1"))
    assert story.found(story.reference(), Customer("1"), crm="billing").lookup == "ambiguous"


def test_the_first_customer_found_stays_when_number_and_reference_race(story: Story) -> None:
    story.number()
    first, second = story.reference("1000001"), story.reference("1000002")
    story.found(second, story.bob)
    story.found(first, story.ada)
    assert story.record.customer == story.bob
    assert story.record.step(first).lookup == "ambiguous"
    assert story.record.contradicted


def test_a_reference_that_found_somebody_ends_the_number_lookup(story: Story) -> None:
    story.number()
    story.found(story.reference(), story.bob)
    assert story.record.step(NUMBER).done
    story.found(NUMBER, story.ada)
    assert story.record.customer == story.bob
    assert not story.record.contradicted


def test_a_failed_reference_leaves_the_number_lookup_alone(story: Story) -> None:
    story.number()
    story.failed(story.reference())
    assert not story.record.step(NUMBER).done
    story.found(NUMBER, story.ada)
    assert story.record.customer == story.ada


@pytest.mark.parametrize(
    "state", [LookupState.NOT_FOUND, LookupState.AMBIGUOUS, LookupState.TIMEOUT, LookupState.ERROR]
)
def test_a_failed_reference_does_not_take_the_customer_off_the_call(
    story: Story, state: LookupState
) -> None:
    story.number()
    story.found(NUMBER, story.ada)
    story.failed(story.reference(), state)
    assert story.record.customer == story.ada
    assert story.record.shown == story.record.step(NUMBER)
    assert not story.record.contradicted


def test_a_contradiction_is_not_forgotten_when_its_write_fails(story: Story) -> None:
    story.number()
    story.found(NUMBER, story.ada)
    story.wrote(NUMBER)
    typed = story.reference()
    story.found(typed, story.bob)
    story.wrote(typed, Written.FAILED, reason="write_failed")
    assert story.record.contradicted
    assert story.request_tracking() == "nothing_to_send"


# Tries


@pytest.mark.parametrize(("tries", "route"), [(1, Route.REFERENCE), (3, Route.STANDARD)])
def test_the_last_try_goes_to_an_agent(story: Story, tries: int, route: Route) -> None:
    story.number()
    for i in range(tries):
        step = story.failed(story.reference(f"000000{i}"))
    assert step.route is route


@pytest.mark.parametrize("reason", ["reference_limit", "reference_off"])
def test_a_refused_reference_goes_to_an_agent_whatever_tries_are_left(
    story: Story, reason: str
) -> None:
    story.number()
    typed = story.reference(preset=LookupState.NOT_FOUND, reason=reason)
    step = story.failed(typed)
    assert (step.lookup, step.route, step.reason) == ("not_found", "standard", reason)


def test_without_reference_question_an_unknown_number_goes_to_an_agent(story: Story) -> None:
    story.policy = replace(story.policy, routing=Routing(reference_enabled=False))
    story.number()
    assert story.failed(NUMBER).route is Route.STANDARD


# Late hits


def test_a_late_hit_counts_like_a_timely_one(story: Story) -> None:
    story.number()
    story.failed(NUMBER, LookupState.TIMEOUT)
    story.wrote(NUMBER, final=False)
    step = story.found(NUMBER, story.ada, late=True)
    assert (step.lookup, step.route, step.written) == ("found", "premium", None)
    assert story.record.customer == story.ada


def test_a_late_hit_does_not_replace_a_customer(story: Story) -> None:
    story.number()
    story.failed(NUMBER, LookupState.TIMEOUT)
    story.wrote(NUMBER, final=False)
    story.found(story.reference(), story.bob)
    before = story.record
    story.found(NUMBER, story.ada, late=True)
    assert story.record == before
    assert before.step(NUMBER).done


def test_a_late_hit_after_the_end_changes_nothing(story: Story) -> None:
    story.number()
    story.failed(NUMBER, LookupState.TIMEOUT)
    story.wrote(NUMBER, final=False)
    story.end()
    before = story.record
    story.found(NUMBER, story.ada, late=True)
    assert story.record == before


@pytest.mark.parametrize("state", [s for s in LookupState if s is not LookupState.FOUND])
def test_a_late_answer_without_customer_changes_nothing(story: Story, state: LookupState) -> None:
    story.number()
    story.failed(NUMBER, LookupState.TIMEOUT)
    story.wrote(NUMBER, final=False)
    before = story.record
    story.failed(NUMBER, state, late=True)
    assert story.record == before


def test_a_step_is_decided_once(story: Story) -> None:
    story.number()
    story.failed(NUMBER)
    before = story.record
    story.found(NUMBER, story.ada)
    assert story.record == before


def test_a_result_after_the_end_of_the_call_is_dropped(story: Story) -> None:
    story.number()
    name = story.reference()
    story.end()
    story.found(name, story.ada)
    assert story.record.customer is None
    assert story.record.step(name).lookup is None


def test_a_result_that_races_with_the_end_is_dropped_with_its_step(story: Story) -> None:
    story.number()
    ended = replace(story.record, over=Over.ENDED, over_at=story.now)
    finding = Finding(LookupResult(LookupState.FOUND, story.ada, "shop"), ms=1)
    record = progress.decide(ended, NUMBER, finding, story.policy, story.now)
    assert record.customer is None
    assert (record.step(NUMBER).done, record.outcome) == (True, "call_gone")


# The tracking message


def test_a_standard_customer_in_the_session_gets_his_message(story: Story) -> None:
    story.number()
    story.found(NUMBER, story.bob)
    assert story.tracking is None
    story.wrote(NUMBER)
    assert story.tracking is not None
    assert (story.tracking.state, story.tracking.channel) == ("queued", "email")


def test_a_standard_customer_of_a_late_hit_gets_his_message(story: Story) -> None:
    story.number()
    story.failed(NUMBER, LookupState.TIMEOUT)
    story.wrote(NUMBER, final=False)
    story.found(NUMBER, story.bob, late=True)
    assert story.tracking is None
    story.wrote(NUMBER)
    assert story.tracking is not None


def test_without_a_successful_write_there_is_no_message(story: Story) -> None:
    story.number()
    story.found(NUMBER, story.bob)
    story.wrote(NUMBER, Written.FAILED)
    assert story.tracking is None
    assert story.request_tracking() == "nothing_to_send"


def test_a_write_that_makes_up_for_a_failed_one_brings_the_message(story: Story) -> None:
    story.number()
    story.found(NUMBER, story.bob)
    story.wrote(NUMBER, Written.FAILED, reason="write_failed")
    typed = story.reference()
    story.failed(typed)
    story.wrote(typed)
    assert story.tracking is not None
    assert story.record.step(NUMBER).reason is None


def test_after_hang_up_no_message_is_queued(story: Story) -> None:
    story.number()
    story.found(NUMBER, story.bob)
    story.end()
    story.wrote(NUMBER)
    assert story.tracking is None
    assert story.request_tracking() == "nothing_to_send"


def test_hang_up_does_not_stop_a_queued_message(story: Story) -> None:
    story.number()
    story.found(NUMBER, story.bob)
    story.wrote(NUMBER)
    story.end()
    assert story.tracking is not None
    assert story.tracking.state is MessageState.QUEUED


def test_a_message_is_queued_once(story: Story) -> None:
    story.number()
    story.found(NUMBER, story.bob)
    story.wrote(NUMBER)
    story.message(sending)
    story.message(sent, 1, "id")
    typed = story.reference()
    story.found(typed, story.bob)
    story.wrote(typed)
    assert story.request_tracking() is None
    assert [message.state for message in story.record.messages] == ["sent"]


def test_a_contradicted_customer_gets_no_further_message(story: Story) -> None:
    story.number()
    story.found(NUMBER, story.bob)
    typed = story.reference()
    story.found(typed, story.ada)
    story.wrote(NUMBER)
    story.wrote(typed)
    assert story.tracking is None
    assert story.request_tracking() == "nothing_to_send"


def test_a_premium_customer_gets_no_message_unless_asked_for(story: Story) -> None:
    story.number()
    story.found(NUMBER, story.ada)
    story.wrote(NUMBER)
    assert story.tracking is None
    assert story.request_tracking() is None
    assert story.tracking is not None


def test_on_request_the_message_waits_for_the_request(story: Story) -> None:
    story.policy = replace(story.policy, tracking=Tracking(URL, when=When.ON_REQUEST))
    story.number()
    story.found(NUMBER, story.bob)
    story.wrote(NUMBER)
    assert story.tracking is None
    assert story.request_tracking() is None
    assert story.tracking is not None


def test_a_request_during_the_lookup_is_kept_until_the_customer_is_written(story: Story) -> None:
    story.policy = replace(story.policy, tracking=Tracking(URL, when=When.ON_REQUEST))
    story.number()
    assert story.request_tracking() is None
    story.found(NUMBER, story.bob)
    assert story.tracking is None
    story.wrote(NUMBER)
    assert story.tracking is not None


def test_a_request_while_a_late_hit_may_come_is_kept_too(story: Story) -> None:
    story.number()
    story.failed(NUMBER, LookupState.TIMEOUT)
    story.wrote(NUMBER, final=False)
    assert story.request_tracking() is None
    story.found(NUMBER, story.ada, late=True)
    story.wrote(NUMBER)
    assert story.tracking is not None


def test_a_request_without_a_customer_to_come_is_refused(story: Story) -> None:
    story.number()
    story.failed(NUMBER)
    story.wrote(NUMBER)
    assert story.request_tracking() == "nothing_to_send"
    assert not story.record.tracking_requested


@pytest.mark.parametrize(
    "customer",
    [
        Customer("1", email="ada@example.com", premium=True),
        Customer("1", track_id="T1", premium=True),
    ],
)
def test_a_request_for_a_customer_without_address_or_order_is_refused(
    story: Story, customer: Customer
) -> None:
    story.number()
    story.found(NUMBER, customer)
    story.wrote(NUMBER)
    assert story.request_tracking() == "nothing_to_send"


@pytest.mark.parametrize(
    ("tracking", "refusal"),
    [
        (Tracking(None), "switched_off"),
        (Tracking(URL, when=When.NEVER), "switched_off"),
        (Tracking(URL, sent_by=Sender.PLATFORM), "sent_by_platform"),
    ],
)
def test_messages_that_are_not_ours_to_send_are_never_queued(
    story: Story, tracking: Tracking, refusal: str
) -> None:
    story.policy = replace(story.policy, tracking=tracking)
    story.number()
    assert story.request_tracking() == refusal
    story.found(NUMBER, story.bob)
    story.wrote(NUMBER)
    assert story.request_tracking() == refusal
    assert story.tracking is None


# How a message moves


def queued(story: Story) -> Story:
    story.number()
    story.found(NUMBER, story.bob)
    story.wrote(NUMBER)
    return story


def test_an_attempt_that_may_be_repeated_goes_back_to_the_queue(story: Story) -> None:
    queued(story).message(sending)
    message = story.message(not_sent, "not_taken", 2000.0)
    assert (message.state, message.due_at, message.attempts) == ("queued", 2000.0, 1)
    assert story.message(sending).attempts == 2


def test_an_attempt_cannot_begin_twice(story: Story) -> None:
    queued(story).message(sending)
    before = story.record
    story.message(sending)
    assert story.record == before


def test_a_lost_answer_is_unknown_until_the_sender_says_that_it_was_taken(story: Story) -> None:
    queued(story).message(sending)
    assert story.message(lost).state is MessageState.UNKNOWN
    assert story.message(sent, 1, "id").state is MessageState.SENT


def test_nobody_begins_or_repeats_what_may_have_gone_out(story: Story) -> None:
    queued(story).message(sending)
    story.message(lost)
    before = story.record
    for change, facts in ((sending, ()), (not_sent, ("not_taken", 2000.0)), (lost, ())):
        story.message(change, *facts)
    assert story.record == before


def test_the_answer_of_an_older_attempt_says_nothing_about_a_newer_one(story: Story) -> None:
    queued(story).message(sending)
    story.message(not_sent, "not_taken", 2000.0)
    story.message(sending)
    assert story.message(sent, 1, "id").state is MessageState.SENDING


def test_a_message_that_waits_has_no_answer_to_lose(story: Story) -> None:
    assert queued(story).message(lost).state is MessageState.QUEUED


@pytest.mark.parametrize("change", [sending, lost])
def test_a_sent_message_does_not_move_back(story: Story, change: object) -> None:
    queued(story).message(sending)
    story.message(sent, 1, "id")
    before = story.record
    story.message(change)  # type: ignore[arg-type]
    story.message(not_sent, "not_taken", 2000.0)
    assert story.record == before


def test_a_message_that_does_not_exist_cannot_be_sent(story: Story) -> None:
    with pytest.raises(LookupError):
        sending(story.number().record, "tracking")


def test_buried_message_has_failed_unless_it_was_begun(story: Story) -> None:
    waiting = queued(story).record
    story.message(sending)
    failed, begun = (
        bury(record, "message:tracking").messages[0] for record in (waiting, story.record)
    )
    assert (failed.state, failed.reason) == (MessageState.FAILED, "poison")
    assert begun.state is MessageState.UNKNOWN


# Phases


def test_the_phases_of_a_call_that_is_found_by_its_reference(story: Story) -> None:
    seen = [story.record.state]
    story.number(LookupState.WITHHELD)
    seen.append(story.record.state)
    story.failed(NUMBER, LookupState.WITHHELD)
    story.wrote(NUMBER)
    seen.append(story.record.state)
    typed = story.reference()
    seen.append(story.record.state)
    story.found(typed, story.bob)
    seen.append(story.record.state)
    story.wrote(typed)
    seen.append(story.record.state)
    story.message(sending)
    seen.append(story.record.state)
    story.message(sent, 1, None)
    seen.append(story.record.state)
    story.end()
    seen.append(story.record.phase)
    seen.append(story.record.state)
    assert seen == [
        "accepted",
        "accepted",
        "waiting_reference",
        "looking_up",
        "decided",
        "messaging",
        "messaging",
        "decided",
        "over",
        "messaged",
    ]


def test_a_number_that_is_looked_up_shows_as_looking_up(story: Story) -> None:
    assert story.number().record.phase is Phase.LOOKING_UP
    story.failed(NUMBER, LookupState.ERROR)
    assert story.record.phase is Phase.DECIDED


def test_a_number_lookup_nobody_waits_for_any_more_does_not_show(story: Story) -> None:
    story.number()
    story.found(story.reference(), story.ada)
    assert story.record.phase is Phase.DECIDED


# Time and names


def test_a_typed_reference_keeps_the_call_alive(story: Story) -> None:
    story.number()
    before = story.record.idle_at
    story.reference()
    assert story.record.idle_at > before


def test_a_request_keeps_the_call_alive(story: Story) -> None:
    story.number()
    before = story.record.idle_at
    story.request_tracking()
    assert story.record.idle_at > before


def test_an_alias_is_kept_once_and_never_the_calls_own_id(story: Story) -> None:
    story.record = add_alias(story.record, "leg")
    for alias in ("leg", "call"):
        assert add_alias(story.record, alias) == story.record
    assert story.record.aliases == ("leg",)


def test_a_step_that_is_done_is_left_as_it_is(story: Story) -> None:
    story.number()
    story.failed(NUMBER)
    story.wrote(NUMBER)
    before = story.record
    story.wrote(NUMBER, Written.FAILED)
    story.finish(NUMBER, "expired")
    assert story.record == before

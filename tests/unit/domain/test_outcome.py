"""How a call ended with us: every outcome, and which of several that fit counts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from broker.domain.customer import LookupState
from broker.domain.messages import Message, MessageState, Tracking
from broker.domain.record import NUMBER, Outcome, Over, Written, settled
from broker.domain.sending import lost, not_sent, queue, sending, sent

if TYPE_CHECKING:
    from tests.unit.domain.conftest import Story


def test_premium_is_a_call_whose_session_got_a_premium_customer(story: Story) -> None:
    story.number()
    story.found(NUMBER, story.ada)
    story.wrote(NUMBER)
    assert story.end() is Outcome.PREMIUM


def test_a_premium_call_that_a_reference_contradicted_is_informed_only(story: Story) -> None:
    story.number()
    story.found(NUMBER, story.ada)
    story.wrote(NUMBER)
    typed = story.reference()
    story.found(typed, story.bob)
    story.wrote(typed)
    assert story.end() is Outcome.INFORMED


def test_informed_is_a_call_that_needed_no_message(story: Story) -> None:
    story.policy = replace(story.policy, tracking=Tracking())
    story.number()
    story.found(NUMBER, story.bob)
    story.wrote(NUMBER)
    assert story.end() is Outcome.INFORMED


def test_messaged_is_a_call_whose_message_the_channel_took(story: Story) -> None:
    standard_call(story)
    story.message(sending)
    story.message(sent, 1, "id")
    assert story.end() is Outcome.MESSAGED


@pytest.mark.parametrize("state", [s for s in MessageState if s.arrived])
def test_a_message_that_came_further_than_sent_still_counts(
    story: Story, state: MessageState
) -> None:
    standard_call(story)
    story.record = story.record.with_message(Message("tracking", "email", 0, 0, state))
    assert story.end() is Outcome.MESSAGED


def test_message_unknown_is_a_call_whose_message_may_have_gone_out(story: Story) -> None:
    standard_call(story)
    story.message(sending)
    story.message(lost)
    assert story.end() is Outcome.MESSAGE_UNKNOWN


def test_failed_is_a_call_whose_message_was_refused_for_good(story: Story) -> None:
    standard_call(story)
    story.message(sending)
    story.message(not_sent, "refused")
    assert story.end() is Outcome.FAILED
    assert story.record.reason == "refused"


@pytest.mark.parametrize("reason", ["write_failed", "session_not_found"])
def test_failed_is_a_call_whose_session_could_not_be_written(story: Story, reason: str) -> None:
    story.number()
    story.found(NUMBER, story.ada)
    story.wrote(NUMBER, Written.FAILED, reason=reason)
    assert story.end() is Outcome.FAILED
    assert story.record.reason == reason


def test_a_miss_that_could_not_be_written_is_a_failure_too(story: Story) -> None:
    story.number()
    story.failed(NUMBER)
    story.wrote(NUMBER, Written.FAILED)
    assert story.end() is Outcome.FAILED


@pytest.mark.parametrize("state", [MessageState.SUPPRESSED, MessageState.EXPIRED])
def test_suppressed_is_a_call_whose_message_was_forbidden(
    story: Story, state: MessageState
) -> None:
    standard_call(story)
    story.record = story.record.with_message(
        Message("tracking", "email", 0, 0, state, reason="limit")
    )
    assert story.end() is Outcome.SUPPRESSED
    assert story.record.reason == "limit"


@pytest.mark.parametrize(
    "state", [s for s in LookupState if s not in {LookupState.FOUND, LookupState.WITHHELD}]
)
def test_no_match_says_how_the_last_lookup_ended(story: Story, state: LookupState) -> None:
    story.number(LookupState.WITHHELD)
    story.failed(NUMBER, LookupState.WITHHELD)
    story.wrote(NUMBER)
    typed = story.reference()
    story.failed(typed, state)
    story.wrote(typed)
    assert story.end() is Outcome.NO_MATCH
    assert story.record.reason == state


def test_call_gone_is_a_call_that_was_over_before_its_lookup_ended(story: Story) -> None:
    story.number()
    assert story.end() is Outcome.CALL_GONE


def test_call_gone_is_a_call_whose_session_was_gone_at_the_first_write(story: Story) -> None:
    story.number()
    story.found(NUMBER, story.ada)
    assert story.end(Over.GONE) is Outcome.CALL_GONE


def test_call_gone_is_a_call_whose_write_was_left_undone_after_its_end(story: Story) -> None:
    story.number()
    story.found(NUMBER, story.ada)
    assert story.end() is None
    story.finish(NUMBER, "unwritten")
    assert story.record.outcome is Outcome.CALL_GONE


@pytest.mark.parametrize("over", Over)
def test_who_consented_at_once_and_hung_up_is_messaged_and_not_gone(
    story: Story, over: Over
) -> None:
    story.number()
    story.record = queue(story.record, Message("deflection", "sms", 0, 0, to="+4915112345678"))
    assert story.end(over) is None
    story.record = sent(sending(story.record, "deflection", 1.0), "deflection", 1, "sid")
    assert story.record.outcome is Outcome.MESSAGED


def test_a_session_gone_after_failed_writes_only_is_call_gone(story: Story) -> None:
    story.number()
    story.failed(NUMBER)
    story.wrote(NUMBER, Written.FAILED)
    story.found(story.reference(), story.ada)
    assert story.end(Over.GONE) is Outcome.CALL_GONE


def test_a_session_gone_after_something_was_written_is_not_call_gone(story: Story) -> None:
    story.number()
    story.failed(NUMBER, LookupState.TIMEOUT)
    story.wrote(NUMBER, final=False)
    story.found(NUMBER, story.ada, late=True)
    assert story.end(Over.GONE) is Outcome.NO_MATCH


def test_a_reference_cut_off_after_a_written_number_is_not_call_gone(story: Story) -> None:
    story.number(LookupState.WITHHELD)
    story.failed(NUMBER, LookupState.WITHHELD)
    story.wrote(NUMBER)
    story.reference()
    assert story.end() is Outcome.NO_MATCH
    assert story.record.reason == "withheld"


def test_expired_is_a_call_nobody_looked_up_in_time(story: Story) -> None:
    story.number()
    story.finish(NUMBER, "expired")
    assert story.end() is Outcome.EXPIRED


def test_expired_is_a_customer_found_but_never_written_in_time(story: Story) -> None:
    story.number()
    story.found(NUMBER, story.ada)
    story.finish(NUMBER, "expired")
    assert story.end() is Outcome.EXPIRED


def test_a_call_with_a_later_written_step_is_not_expired(story: Story) -> None:
    story.number()
    story.finish(NUMBER, "expired")
    typed = story.reference()
    story.failed(typed)
    story.wrote(typed)
    assert story.end() is Outcome.NO_MATCH


def test_a_message_that_went_out_counts_before_a_later_failed_write(story: Story) -> None:
    standard_call(story)
    story.message(sending)
    story.message(sent, 1, None)
    typed = story.reference()
    story.found(typed, story.bob)
    story.wrote(typed, Written.FAILED)
    assert story.end() is Outcome.MESSAGED


def test_a_failed_message_counts_before_premium(story: Story) -> None:
    story.number()
    story.found(NUMBER, story.ada)
    story.wrote(NUMBER)
    assert story.request_tracking() is None
    story.message(not_sent, "refused")
    assert story.end() is Outcome.FAILED


def test_a_failed_write_made_up_for_by_a_later_one_is_no_failure(story: Story) -> None:
    """Every write carries all that the session should show."""
    story.number()
    story.found(NUMBER, story.ada)
    story.wrote(NUMBER, Written.FAILED)
    typed = story.reference()
    story.failed(typed)
    story.wrote(typed)
    assert story.end() is Outcome.PREMIUM


@pytest.mark.parametrize("pending", [MessageState.QUEUED, MessageState.SENDING])
def test_no_outcome_before_the_message_is_resolved(story: Story, pending: MessageState) -> None:
    standard_call(story)
    if pending is MessageState.SENDING:
        story.message(sending)
    assert story.end() is None
    assert story.record.state == "over"
    if pending is MessageState.QUEUED:
        story.message(sending)
    story.message(sent, 1, None)
    assert story.record.state == "messaged"


def test_no_outcome_while_the_call_lives(story: Story) -> None:
    story.number()
    story.found(NUMBER, story.ada)
    story.wrote(NUMBER)
    assert settled(story.record) == story.record
    assert story.record.state == "decided"


def test_no_outcome_while_a_write_is_under_way_and_then_what_it_brought(story: Story) -> None:
    story.number()
    story.found(NUMBER, story.ada)
    assert story.end() is None
    story.wrote(NUMBER)
    assert story.record.outcome is Outcome.PREMIUM


def test_an_answer_that_was_found_again_changes_the_message_but_not_the_outcome(
    story: Story,
) -> None:
    standard_call(story)
    story.message(sending)
    story.message(lost)
    story.end()
    assert story.message(sent, 1, "id").state is MessageState.SENT
    assert story.record.outcome is Outcome.MESSAGE_UNKNOWN


def test_a_call_that_ends_twice_ended_the_first_time(story: Story) -> None:
    story.number()
    first = story.end()
    over = story.record
    assert story.end(Over.IDLE) is first
    assert story.record == over


def test_a_session_found_gone_after_the_end_does_not_keep_the_call_waiting(story: Story) -> None:
    story.number()
    story.found(NUMBER, story.ada)
    story.end()
    assert story.end(Over.GONE) is Outcome.CALL_GONE
    assert story.record.over is Over.ENDED


def test_a_call_that_went_idle_is_over_like_any_other(story: Story) -> None:
    story.number()
    story.failed(NUMBER)
    story.wrote(NUMBER)
    assert story.end(Over.IDLE) is Outcome.NO_MATCH


def test_a_call_that_ended_before_anything_was_asked_is_call_gone(story: Story) -> None:
    assert story.end() is Outcome.CALL_GONE


def standard_call(story: Story) -> None:
    """A standard customer is found and written, his message queued."""
    story.number()
    story.found(NUMBER, story.bob)
    story.wrote(NUMBER)
    assert story.tracking is not None

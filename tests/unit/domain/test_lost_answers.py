"""A message whose answer was lost: unknown, or sent again, and never called failed."""

from __future__ import annotations

import pytest

from broker.domain.messages import TRACKING, Message, MessageState
from broker.domain.record import Record
from broker.domain.sending import lost, not_sent, sending, sent


@pytest.fixture
def under_way() -> Record:
    """The first attempt has begun."""
    message = Message(TRACKING, "hook", queued_at=0, due_at=0)
    record = Record("call", 0, 1800).with_message(message)
    return sending(record, TRACKING)


def _message(record: Record) -> Message:
    message = record.message(TRACKING)
    assert message is not None
    return message


def test_a_lost_answer_alone_is_unknown(under_way: Record) -> None:
    message = _message(lost(under_way, TRACKING))
    assert (message.state, message.reason) == (MessageState.UNKNOWN, "answer_lost")


def test_a_lost_answer_with_a_next_try_waits_for_it(under_way: Record) -> None:
    message = _message(lost(under_way, TRACKING, retry_at=7.0))
    assert (message.state, message.due_at, message.doubtful) == (MessageState.QUEUED, 7.0, True)


def test_a_refusal_after_a_lost_answer_is_unknown(under_way: Record) -> None:
    again = sending(lost(under_way, TRACKING, retry_at=7.0), TRACKING)
    message = _message(not_sent(again, TRACKING, "refused"))
    assert (message.state, message.reason) == (MessageState.UNKNOWN, "refused")


def test_a_refusal_without_a_lost_answer_has_failed(under_way: Record) -> None:
    assert _message(not_sent(under_way, TRACKING, "refused")).state is MessageState.FAILED


def test_an_answer_that_clears_the_doubt_up_makes_it_sent(under_way: Record) -> None:
    again = sending(lost(under_way, TRACKING, retry_at=7.0), TRACKING)
    message = _message(sent(again, TRACKING, attempt=2, provider_id="m-1"))
    assert (message.state, message.doubtful, message.reason) == (MessageState.SENT, False, None)


def test_a_success_that_was_given_up_too_early_still_counts(under_way: Record) -> None:
    """The replica was only slow; the next try is not needed any more."""
    waiting = lost(under_way, TRACKING, retry_at=7.0)
    assert _message(sent(waiting, TRACKING, attempt=1, provider_id=None)).state is MessageState.SENT


def test_what_has_arrived_is_not_sent_a_second_time_by_an_older_success(
    under_way: Record,
) -> None:
    done = sent(under_way, TRACKING, attempt=1, provider_id="m-1")
    assert sent(done, TRACKING, attempt=1, provider_id="m-2") is done

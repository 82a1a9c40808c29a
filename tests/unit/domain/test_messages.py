"""What a message's states mean, and when it is tried again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.domain.messages import Backoff, Message, MessageState, Sender, Tracking, When

URL = "https://shop.example.com/track/{track_id}"
MESSAGE = Message("tracking", "email", queued_at=1000.0, due_at=1000.0, attempts=1)


@pytest.mark.parametrize("state", MessageState)
def test_only_what_waits_or_is_on_its_way_is_pending(state: MessageState) -> None:
    assert state.pending is (state in {"queued", "sending"})


@pytest.mark.parametrize("state", MessageState)
def test_what_was_sent_or_came_further_has_arrived(state: MessageState) -> None:
    assert state.arrived is (state in {"sent", "delivered", "read", "replied"})


@pytest.mark.parametrize(
    ("tracking", "refusal"),
    [
        (Tracking(URL), None),
        (Tracking(URL, when=When.ON_REQUEST), None),
        (Tracking(None), "switched_off"),
        (Tracking(URL, when=When.NEVER), "switched_off"),
        (Tracking(URL, sent_by=Sender.PLATFORM), "sent_by_platform"),
        (Tracking(None, sent_by=Sender.PLATFORM), "switched_off"),
    ],
)
def test_an_operator_can_leave_tracking_messages_to_others_or_off(
    tracking: Tracking, refusal: str | None
) -> None:
    assert tracking.refusal == refusal


def test_tries_are_further_and_further_apart_but_not_without_end() -> None:
    backoff = Backoff(first_s=2, longest_s=10, give_up_s=1800)
    waits = [
        (backoff.next_due(replace(MESSAGE, attempts=attempts), 1000.0, None) or 0) - 1000.0
        for attempts in range(1, 6)
    ]
    assert waits == [2, 4, 8, 10, 10]


def test_a_message_that_failed_a_thousand_times_still_has_a_next_try() -> None:
    assert Backoff().next_due(replace(MESSAGE, attempts=5000), 1000.0, None) == 1300.0


def test_the_channels_own_wish_is_followed() -> None:
    assert Backoff().next_due(MESSAGE, 1000.0, 60.0) == 1060.0


def test_a_channel_that_always_wishes_to_be_asked_soon_is_asked_less_and_less() -> None:
    assert Backoff().next_due(replace(MESSAGE, attempts=6), 1000.0, 2.0) == 1064.0


@pytest.mark.parametrize("wish", [0.0, -5.0])
def test_a_channel_cannot_wish_to_be_asked_without_pause(wish: float) -> None:
    assert Backoff(first_s=2).next_due(MESSAGE, 1000.0, wish) == 1002.0


@pytest.mark.parametrize(("now", "wish"), [(2799.0, None), (1000.0, 1801.0), (9999.0, None)])
def test_a_message_nobody_waits_for_any_more_is_given_up(now: float, wish: float | None) -> None:
    assert Backoff(first_s=2, give_up_s=1800).next_due(MESSAGE, now, wish) is None

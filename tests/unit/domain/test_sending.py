"""How a message moves on, whatever its provider says and in whatever order it says it."""

from __future__ import annotations

from functools import partial
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.evolve import evolve
from broker.domain.messages import (
    DEFLECTION,
    Backoff,
    Message,
    MessageState,
    Place,
    ReceiptState,
    hand_over_key,
    message_id,
    provider_alias,
    reply_alias,
)
from broker.domain.record import NUMBER, Over, Record, Step
from broker.domain.sending import (
    again,
    delayed,
    lost,
    not_sent,
    opted_out,
    queue,
    receipt,
    replied,
    sending,
    sent,
    silent,
    suppressed,
)
from broker.stores.codec import VERSION, decode, encode

SMS, MAIL = Place("sms", "+4915112345678"), Place("email", "ada@example.com")


def queued(*then: Place, over: Over | None = None) -> Record:
    step = Step(NUMBER, 0.0, done=True)
    record = Record("call", 0.0, 100.0, steps=(step,), over=over)
    message = Message(DEFLECTION, "whatsapp", 1.0, 1.0, to="+4915112345678", then=then)
    return queue(record, message)


def handed_over(*then: Place) -> Record:
    return sent(sending(queued(*then), DEFLECTION, 2.0), DEFLECTION, 1, "wamid-1")


def message(record: Record) -> Message:
    found = record.message(DEFLECTION)
    assert found is not None
    return found


def test_a_message_is_known_by_its_id_and_by_what_the_provider_calls_it() -> None:
    aliases = handed_over().aliases
    assert aliases == (
        message_id("call", DEFLECTION),
        provider_alias("whatsapp", "wamid-1"),
        reply_alias("whatsapp", "+4915112345678"),
    )
    assert message_id("other", DEFLECTION) not in aliases


def test_an_opt_out_ends_a_message_that_waits_for_its_next_attempt() -> None:
    waiting = lost(sending(queued(SMS), DEFLECTION, 2.0), DEFLECTION, retry_at=9.0)
    ended = message(opted_out(waiting, DEFLECTION, 1))
    assert (ended.state, ended.reason) == (MessageState.SUPPRESSED, "opted_out")
    assert not ended.doubtful


def test_an_opt_out_of_another_attempt_or_of_what_has_ended_changes_nothing() -> None:
    record = handed_over(SMS)
    assert opted_out(record, DEFLECTION, 0) == opted_out(record, DEFLECTION, 2) == record
    on_sms = receipt(record, DEFLECTION, ReceiptState.FAILED, attempt=1, now=3.0)
    assert opted_out(on_sms, DEFLECTION, 1) == on_sms
    for state in (ReceiptState.DELIVERED, ReceiptState.FAILED):
        ended = receipt(handed_over(), DEFLECTION, state, attempt=1, now=3.0)
        assert opted_out(ended, DEFLECTION, 1) == ended


def test_the_second_wish_for_a_purpose_changes_nothing() -> None:
    record = queued()
    assert queue(record, Message(DEFLECTION, "sms", 5.0, 5.0)) == record


def test_a_definite_refusal_goes_on_to_the_next_channel_and_never_back() -> None:
    record = sending(queued(SMS, MAIL), DEFLECTION, 2.0)
    record = not_sent(record, DEFLECTION, "refused", now=3.0)
    moved = message(record)
    assert (moved.state, moved.channel, moved.to) == (MessageState.QUEUED, *("sms", SMS.to))
    assert (moved.then, moved.due_at, moved.earlier, moved.begins) == ((MAIL,), 3.0, 1, True)
    record = not_sent(sending(record, DEFLECTION, 3.0), DEFLECTION, "refused", now=4.0)
    record = not_sent(sending(record, DEFLECTION, 4.0), DEFLECTION, "refused", now=5.0)
    assert (message(record).state, message(record).channel) == (MessageState.FAILED, "email")


def test_a_refusal_that_is_said_twice_leaves_out_no_channel() -> None:
    """The store's reply was lost, so the same change is asked for once more."""
    begun = sending(queued(SMS, MAIL), DEFLECTION, 2.0)
    refused = partial(not_sent, purpose=DEFLECTION, reason="refused", now=3.0, of=message(begun))
    moved = refused(begun)
    assert refused(moved) == moved
    assert refused(sending(moved, DEFLECTION, 4.0)) == sending(moved, DEFLECTION, 4.0)
    assert message(moved).channel == "sms"


def test_every_place_has_a_key_of_its_own_and_keeps_it() -> None:
    another_device = evolve(SMS, to="+4915119999999")
    record, keys = queued(SMS, another_device), []
    for now in (2.0, 12.0, 22.0):
        begun = sending(record, DEFLECTION, now)
        again = sending(lost(begun, DEFLECTION, now + 1), DEFLECTION, now + 1)
        keys += [{hand_over_key("call", message(one)) for one in (record, begun, again)}]
        cleared = again.with_message(evolve(message(again), doubtful=False))
        record = not_sent(cleared, DEFLECTION, "refused", now=now + 2)
    assert keys == [{"call|deflection"}, {"call|deflection|2"}, {"call|deflection|3"}]


def test_a_message_that_moved_on_under_the_format_before_keeps_the_key_it_had() -> None:
    moved = not_sent(sending(queued(SMS), DEFLECTION, 2.0), DEFLECTION, "refused", now=3.0)
    document = encode(sending(moved, DEFLECTION, 4.0)).replace(b'"moves":1,', b"")
    older = decode(document.replace(b'{"v":%d,' % VERSION, b'{"v":3,'))
    assert message(older).channel == "sms"
    assert hand_over_key("call", message(older)) == "call|deflection"


def test_a_lost_answer_holds_the_message_and_nothing_falls_back() -> None:
    record = lost(sending(queued(SMS), DEFLECTION, 2.0), DEFLECTION)
    assert (message(record).state, message(record).channel) == (MessageState.UNKNOWN, "whatsapp")
    resent = lost(sending(queued(SMS), DEFLECTION, 2.0), DEFLECTION, retry_at=4.0)
    resent = not_sent(sending(resent, DEFLECTION, 4.0), DEFLECTION, "refused", now=5.0)
    assert (message(resent).state, message(resent).channel) == (MessageState.UNKNOWN, "whatsapp")


@pytest.mark.parametrize("order", list(permutations(("sent", "delivered", "read"))))
def test_receipts_in_any_order_leave_the_furthest_state(order: tuple[str, ...]) -> None:
    record = handed_over()
    for state in (*order, *order):
        record = receipt(record, DEFLECTION, ReceiptState(state), attempt=1, now=9.0)
    assert message(record).state is MessageState.READ


def test_a_receipt_before_the_answer_is_not_undone_by_it() -> None:
    record = sending(queued(), DEFLECTION, 2.0)
    record = receipt(record, DEFLECTION, ReceiptState.DELIVERED, attempt=1, now=3.0)
    record = sent(record, DEFLECTION, 1, "wamid-1")
    assert (message(record).state, message(record).provider_id) == (
        MessageState.DELIVERED,
        "wamid-1",
    )


def test_a_failure_receipt_sends_it_to_the_next_channel_once() -> None:
    record = handed_over(SMS, MAIL)
    for _ in range(3):
        record = receipt(
            record, DEFLECTION, ReceiptState.FAILED, attempt=1, reason="131026", now=9.0
        )
    assert (message(record).channel, message(record).reason) == ("sms", "131026")
    late = receipt(record, DEFLECTION, ReceiptState.DELIVERED, attempt=1, now=10.0)
    assert late == record, "the first channel is of no interest any more"


def test_what_was_delivered_does_not_fail_afterwards() -> None:
    record = receipt(handed_over(SMS), DEFLECTION, ReceiptState.DELIVERED, attempt=1, now=9.0)
    assert receipt(record, DEFLECTION, ReceiptState.FAILED, attempt=1, now=10.0) == record


def test_a_failure_before_the_answer_is_believed() -> None:
    record = sending(queued(), DEFLECTION, 2.0)
    record = receipt(record, DEFLECTION, ReceiptState.FAILED, attempt=1, reason="x", now=3.0)
    assert message(sent(record, DEFLECTION, 1, "id")).state is MessageState.FAILED


def test_a_receipt_settles_what_nobody_knew() -> None:
    unknown = lost(sending(queued(SMS), DEFLECTION, 2.0), DEFLECTION)
    told = receipt(unknown, DEFLECTION, ReceiptState.DELIVERED, attempt=1, now=9.0)
    assert message(told).state is MessageState.DELIVERED
    failed = receipt(unknown, DEFLECTION, ReceiptState.FAILED, attempt=1, now=9.0)
    assert (message(failed).channel, message(failed).doubtful) == ("sms", False)


def test_a_reply_proves_that_it_arrived() -> None:
    assert message(replied(handed_over(), DEFLECTION)).state is MessageState.REPLIED
    still = suppressed(queued(), DEFLECTION, "opted_out")
    assert replied(still, DEFLECTION) == still


def test_a_live_session_is_told_of_every_state_and_a_dead_one_of_none() -> None:
    record = queued()
    before = record.step(NUMBER).repair
    assert sending(record, DEFLECTION, 2.0).step(NUMBER).repair == before, "nobody waits for that"
    assert handed_over().step(NUMBER).repair == before + 1
    assert queued(over=Over.ENDED).step(NUMBER).repair == 0


def patient(*then: Place) -> Record:
    """Sent at 2, and nothing has been heard of it since."""
    record = queued(*then)
    record = record.with_message(evolve(message(record), silent_after_s=60.0))
    return sent(sending(record, DEFLECTION, 2.0), DEFLECTION, 1, "wamid-1")


def test_silence_sends_it_to_the_next_channel_when_its_time_is_over() -> None:
    record = patient(SMS)
    assert message(record).silence_ends == 62.0
    assert silent(record, DEFLECTION, 61.9) == record
    moved = message(silent(record, DEFLECTION, 62.0))
    assert (moved.state, moved.channel, moved.reason) == (MessageState.QUEUED, "sms", "silent")
    assert (moved.due_at, moved.silence_ends) == (62.0, None)


def test_the_last_channel_and_one_without_a_limit_may_be_silent_for_ever() -> None:
    for record in (patient(), handed_over(SMS)):
        assert message(record).silence_ends is None
        assert silent(record, DEFLECTION, 1e9) == record


@pytest.mark.parametrize("state", [ReceiptState.DELIVERED, ReceiptState.READ])
def test_a_receipt_ends_the_silence_and_a_late_one_is_of_no_interest(state: ReceiptState) -> None:
    told = receipt(patient(SMS), DEFLECTION, state, attempt=1, now=9.0)
    assert message(told).silence_ends is None
    assert silent(told, DEFLECTION, 99.0) == told
    moved = silent(patient(SMS), DEFLECTION, 62.0)
    assert receipt(moved, DEFLECTION, state, attempt=1, now=63.0) == moved
    answer = sent(moved, DEFLECTION, 1, "wamid-1")
    assert answer == moved, "nor is the answer to the first hand-over"


def test_that_it_was_sent_is_no_word_of_what_became_of_it() -> None:
    record = receipt(patient(SMS), DEFLECTION, ReceiptState.SENT, attempt=1, now=9.0)
    assert message(record).silence_ends == 62.0


def test_quiet_hours_put_it_off_and_an_operator_sends_it_again() -> None:
    assert message(delayed(queued(), DEFLECTION, 50.0, "quiet")).due_at == 50.0
    failed = not_sent(sending(queued(), DEFLECTION, 2.0), DEFLECTION, "refused")
    assert message(again(failed, DEFLECTION, 60.0)).state is MessageState.QUEUED


def test_the_providers_id_is_the_one_of_the_last_hand_over() -> None:
    """Or a receipt of the first one would be believed of the second."""
    failed = receipt(handed_over(), DEFLECTION, ReceiptState.FAILED, attempt=1, now=9.0)
    resent = sending(again(failed, DEFLECTION, 60.0), DEFLECTION, 61.0)
    assert message(resent).provider_id is None


def test_where_there_is_another_channel_nobody_waits_for_long() -> None:
    tried = message(sending(queued(SMS), DEFLECTION, 2.0))
    assert Backoff().next_due(tried, 3.0, None) == 5.0
    assert Backoff().next_due(tried, 9.5, None) is None
    alone = message(sending(queued(), DEFLECTION, 2.0))
    assert Backoff().next_due(alone, 9.5, None) == 11.5


@given(
    st.lists(
        st.tuples(st.sampled_from([*ReceiptState, None]), st.integers(0, 3)),
        max_size=12,
    )
)
def test_no_receipts_and_no_silence_make_two_hand_overs_of_one_channel(
    events: list[tuple[ReceiptState | None, int]],
) -> None:
    record, seen = patient(SMS, MAIL), [("whatsapp", 1)]
    for state, attempt in events:
        if state is None:
            record = silent(record, DEFLECTION, 1e9)
        else:
            record = receipt(record, DEFLECTION, state, attempt=attempt, now=9.0)
        if message(record).state is MessageState.QUEUED:
            record = sending(record, DEFLECTION, 9.0)
            seen.append((message(record).channel, message(record).attempts))
    assert [name for name, _ in seen] == ["whatsapp", "sms", "email"][: len(seen)]
    assert message(record).attempts == len(seen)

"""How a message moves on: every change of it, as a pure function from record to record."""

from __future__ import annotations

from broker.domain.crm_entries import ticket_wanted
from broker.domain.evolve import evolve
from broker.domain.guards import Forbidden
from broker.domain.identities import Identity, joined
from broker.domain.messages import (
    DEFLECTION,
    Message,
    MessageState,
    ReceiptState,
    message_id,
    provider_alias,
    reply_alias,
)
from broker.domain.record import Record, add_alias, settled, show_again

_FURTHER = (
    MessageState.SENT,
    MessageState.DELIVERED,
    MessageState.READ,
    MessageState.REPLIED,
)
"""How far a message got, in this order."""
SILENT = "silent"
"""Why a message went on to its next channel of which nothing was heard on the one before."""
_OPEN = {MessageState.SENDING, MessageState.UNKNOWN}


def queue(record: Record, message: Message) -> Record:
    """`message` is to be sent, once: one more for the same purpose changes nothing."""
    if record.message(message.purpose) is not None:
        return record
    known = add_alias(record, message_id(record.id, message.purpose))
    return _changed(known, message)


def sending(record: Record, purpose: str, now: float | None = None) -> Record:
    """The hand-over is about to begin: after this nobody may begin it again unasked."""
    message = _message(record, purpose)
    if message.state is not MessageState.QUEUED:
        return record
    begun = evolve(
        message,
        state=MessageState.SENDING,
        attempts=message.attempts + 1,
        first_at=now if message.begins else message.first_at,
        provider_id=None,
        silent_at=_silent_at(message, now),
    )
    return record.with_message(begun)


def _silent_at(message: Message, now: float | None) -> float | None:
    if now is None or message.silent_after_s is None or not message.then:
        return None
    return now + message.silent_after_s


def sent(record: Record, purpose: str, attempt: int, provider_id: str | None) -> Record:
    """The channel took attempt number `attempt`; also true if nobody believed it any more."""
    message = _message(record, purpose)
    if message.attempts != attempt or attempt <= message.earlier:
        return record
    if provider_id is not None and message.to is not None:
        record = add_alias(record, provider_alias(message.channel, provider_id))
    record = _answerable(record, message)
    if message.state.arrived and message.provider_id is None:
        # A receipt was faster than the answer.
        return record.with_message(evolve(message, provider_id=provider_id))
    known = message.state in _OPEN or message.doubtful
    if not known or message.state.arrived:
        return record
    taken = evolve(
        message, state=MessageState.SENT, provider_id=provider_id, reason=None, doubtful=False
    )
    return _changed(record, taken)


def not_sent(
    record: Record,
    purpose: str,
    reason: str,
    retry_at: float | None = None,
    now: float | None = None,
    of: Message | None = None,
) -> Record:
    """The channel did not take this attempt: again at `retry_at`, or never if that is None.

    Then it goes to its next channel, at `now`. Given up after an earlier attempt's answer was
    lost, it is unknown: that one may have arrived. `of` is the message as it was tried: said once
    more of one that has gone on meanwhile, this changes nothing.
    """
    message = _message(record, purpose)
    if not message.state.pending or (of is not None and _went_on(message, of)):
        return record
    if retry_at is not None:
        waiting = evolve(message, state=MessageState.QUEUED, due_at=retry_at, reason=reason)
        return _changed(record, waiting)
    return _changed(record, _failed(message, reason, now))


def _went_on(message: Message, before: Message) -> bool:
    """Whether it has another attempt, or another channel, than it had."""
    return (message.attempts, len(message.then)) != (before.attempts, len(before.then))


def _failed(message: Message, reason: str, now: float | None) -> Message:
    """It definitely did not arrive on this channel."""
    if message.doubtful:
        return evolve(message, state=MessageState.UNKNOWN, reason=reason)
    if not message.then or now is None:
        return evolve(message, state=MessageState.FAILED, reason=reason)
    place, *later = message.then
    return evolve(
        message,
        channel=place.channel,
        to=place.to,
        then=tuple(later),
        state=MessageState.QUEUED,
        queued_at=now,
        due_at=now,
        first_at=None,
        earlier=message.attempts,
        moves=message.moves + 1,
        provider_id=None,
        silent_at=None,
        reason=reason,
    )


def silent(record: Record, purpose: str, now: float) -> Record:
    """Nothing was heard of it for as long as it may be: its next channel gets its turn."""
    message = _message(record, purpose)
    if message.silence_ends is None or message.silence_ends > now:
        return record
    return _changed(record, _failed(message, SILENT, now))


def delayed(record: Record, purpose: str, until: float, reason: str) -> Record:
    """It is not the time to write to this person; nothing was tried."""
    message = _message(record, purpose)
    if message.state is not MessageState.QUEUED:
        return record
    return _changed(record, evolve(message, due_at=until, reason=reason))


def suppressed(record: Record, purpose: str, reason: str) -> Record:
    """A rule forbids the message; nothing was sent, and nothing will be."""
    message = _message(record, purpose)
    if not message.state.pending or message.doubtful:
        return not_sent(record, purpose, reason)
    return _changed(record, evolve(message, state=MessageState.SUPPRESSED, reason=reason))


def lost(record: Record, purpose: str, retry_at: float | None = None) -> Record:
    """Whether the channel took it is not known: nobody guesses.

    `retry_at`: when to send it again, for a channel where that is safe or wanted.
    """
    message = _message(record, purpose)
    if message.state is not MessageState.SENDING:
        return record
    changed = evolve(message, reason="answer_lost", doubtful=True)
    if retry_at is None:
        changed = evolve(changed, state=MessageState.UNKNOWN)
    else:
        changed = evolve(changed, state=MessageState.QUEUED, due_at=retry_at)
    return _changed(record, changed)


def again(record: Record, purpose: str, now: float) -> Record:
    """An operator wants a failed or unknown message sent once more; the outcome stays as it is.

    It is due for anybody, not leased to who saves this.
    """
    message = _message(record, purpose)
    if message.state not in {MessageState.FAILED, MessageState.UNKNOWN}:
        return record
    changed = evolve(
        message, state=MessageState.QUEUED, queued_at=now, due_at=now + 0.001, first_at=None
    )
    return record.with_message(changed)


def receipt(  # noqa: PLR0913 - the facts of one receipt, each named at the call
    record: Record,
    purpose: str,
    state: ReceiptState,
    *,
    attempt: int,
    provider_id: str | None = None,
    reason: str | None = None,
    now: float,
) -> Record:
    """What a provider says of hand-over number `attempt`. Repeats and disorder change nothing.

    A definite failure sends the message to its next channel; what was said of a channel before
    this one is of no interest any more.
    """
    message = _message(record, purpose)
    if not message.earlier < attempt <= message.attempts:
        return record
    if state is not ReceiptState.FAILED:
        return _got_to(record, message, MessageState(state), provider_id)
    open_or_sent = message.state in _OPEN or message.state is MessageState.SENT
    if attempt != message.attempts or not open_or_sent:
        return record
    return _changed(record, _failed(evolve(message, doubtful=False), reason or "failed", now))


def opted_out(record: Record, purpose: str, attempt: int) -> Record:
    """Hand-over number `attempt` failed because the person wants no messages: it ends here.

    What has arrived, has ended or has gone on since stays as it is.
    """
    message = _message(record, purpose)
    waits = {*_OPEN, MessageState.SENT, MessageState.QUEUED}
    if not message.earlier < attempt == message.attempts or message.state not in waits:
        return record
    reason, state = Forbidden.OPTED_OUT, MessageState.SUPPRESSED
    return _changed(record, evolve(message, state=state, reason=reason.value, doubtful=False))


def replied(record: Record, purpose: str) -> Record:
    """The person answered the message, so it has arrived, whatever is known of it."""
    return _got_to(record, _message(record, purpose), MessageState.REPLIED, None)


def answered(record: Record, purpose: str, channel: str, sender: str, now: float) -> Record:
    """`sender` wrote back on `channel`: by that name he and his next answers are known, too."""
    record = replied(record, purpose)
    message = _message(record, purpose)
    record = add_alias(record, reply_alias(channel, sender))
    record = record.with_message(evolve(message, talked_at=now))
    identity = Identity.read("phone", sender) or Identity.read("user_id", sender)
    return joined(record, identity) if identity is not None and sender != message.to else record


def _answerable(record: Record, message: Message) -> Record:
    """An answer on this channel is found by the number that was written to."""
    if message.to is None or not message.to.startswith("+"):
        return record
    return add_alias(record, reply_alias(message.channel, message.to))


def _got_to(
    record: Record, message: Message, state: MessageState, provider_id: str | None
) -> Record:
    """`message` at `state`, unless it is known to have got further or to have ended otherwise."""
    further = message.state in _FURTHER and _FURTHER.index(state) > _FURTHER.index(message.state)
    if not (further or message.state in _OPEN or message.doubtful):
        return record
    arrived = evolve(
        message,
        state=state,
        reason=None,
        doubtful=False,
        provider_id=message.provider_id or provider_id,
    )
    return _changed(_answerable(record, arrived), arrived)


def _changed(record: Record, message: Message) -> Record:
    """`record` with `message`; a live session shows how far its deflection got."""
    before = record.message(message.purpose)
    record = record.with_message(ticket_wanted(message))
    told = before is None or before.state is not message.state
    if message.purpose == DEFLECTION and told:
        record = show_again(record)
    return settled(record)


def _message(record: Record, purpose: str) -> Message:
    message = record.message(purpose)
    if message is None:
        raise LookupError(f"this call has no message for {purpose}")
    return message

"""What is written into a CRM: a ticket for a message, a note of a call; when, and what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.domain.evolve import evolve
from broker.domain.messages import CrmEntry, EntryState, Message

if TYPE_CHECKING:
    from broker.domain.record import Record

TICKET, NOTE = "ticket", "note"
NOTE_WORK = "note:outcome"
FIRST_RETRY_S = 5.0
LONGEST_RETRY_S = 900.0
GIVE_UP_S = 86_400.0
"""A CRM that is away for a day does not get it by itself any more."""


def ticket_wanted(message: Message) -> Message:
    """A message that has arrived wants its ticket, if it is to have one."""
    ticket = message.ticket
    if ticket is None or ticket.state is not None or not message.state.arrived:
        return message
    began = message.first_at or message.queued_at
    return evolve(
        message, ticket=evolve(ticket, state=EntryState.WANTED, since=began, due_at=began)
    )


def entry_of(record: Record, work: str) -> CrmEntry | None:
    """What `ticket:<purpose>` or `note:outcome` is about; None if there is none."""
    if work == NOTE_WORK:
        return record.note
    message = record.message(work.partition(":")[2])
    return message.ticket if message is not None else None


def entries_of(record: Record) -> dict[str, CrmEntry]:
    """All of a call, by their work."""
    found = {f"{TICKET}:{m.purpose}": m.ticket for m in record.messages if m.ticket is not None}
    return {**found, NOTE_WORK: record.note} if record.note is not None else found


def kept(record: Record, work: str, entry_id: str | None = None, url: str | None = None) -> Record:
    """The CRM has it."""
    return _with(record, work, state=EntryState.KEPT, id=entry_id, url=url)


def put_off(record: Record, work: str, now: float, retry_after: float | None) -> Record:
    """The CRM could not be asked: again later, twice as long each time, for a day."""
    entry = _known(record, work)
    waited = max(FIRST_RETRY_S, now - entry.since)
    due = now + max(min(waited, LONGEST_RETRY_S), retry_after or 0.0)
    if due - entry.since > GIVE_UP_S:
        return failed(record, work)
    return _with(record, work, due_at=due)


def failed(record: Record, work: str) -> Record:
    """The CRM will not have it; an operator may try again."""
    return _with(record, work, state=EntryState.FAILED)


def again(record: Record, work: str, now: float) -> Record:
    """An operator wants it tried once more; it is due for anybody."""
    if _known(record, work).state is not EntryState.FAILED:
        return record
    return _with(record, work, state=EntryState.WANTED, since=now, due_at=now + 0.001)


def ticket_words(record: Record, message: Message) -> tuple[str, str]:
    """Subject and text for the people who answer: where it came from, and the context."""
    subject = message.context.get("ticket.subject") or f"Call deflected to {message.channel}"
    known = {
        "call": None if record.standalone else record.id,
        "called": record.data.to,
        "channel": message.channel,
        "branch": message.branch,
        **{name: text for name, text in message.context.items() if name != "ticket.subject"},
    }
    return subject, _lines(known)


def note_words(record: Record) -> str:
    """How the call ended, for whoever looks at the customer's record."""
    shown = record.shown
    known = {
        "outcome": record.outcome and str(record.outcome),
        "called": record.data.to,
        "route": shown.route and str(shown.route) if shown is not None else None,
        "choice": record.choice,
        "disposition": record.disposition,
        **{m.purpose: f"{m.state} by {m.channel}" for m in record.messages},
    }
    return _lines(known)


def _lines(known: dict[str, str | None]) -> str:
    return "\n".join(f"{name}: {text}" for name, text in known.items() if text)


def _known(record: Record, work: str) -> CrmEntry:
    entry = entry_of(record, work)
    if entry is None:
        raise LookupError(f"this call has no {work}")
    return entry


def _with(record: Record, work: str, **changes: Any) -> Record:
    entry: CrmEntry = evolve(_known(record, work), **changes)
    if work == NOTE_WORK:
        return evolve(record, note=entry)
    message = record.message(work.partition(":")[2])
    return record.with_message(evolve(message, ticket=entry)) if message is not None else record

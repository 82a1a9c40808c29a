"""Which work a call needs, as it follows from its record, and what a change of that moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.domain.crm_entries import entries_of
from broker.domain.messages import EntryState
from broker.domain.record import POISON

if TYPE_CHECKING:
    from broker.domain.record import Record

CALLS, MESSAGES = "calls", "messages"
"""The two sets that work stands in."""


def works_of(record: Record) -> dict[str, float | None]:
    """The work a call needs now -> when it is due (None = at once, by whoever saves this)."""
    works: dict[str, float | None] = {}
    for step in record.steps:
        if not step.done:
            works[f"step:{step.name}"] = None
        if step.repair and record.over is None:
            works[f"repair:{step.name}"] = None
    for message in record.messages:
        if message.state.pending or message.silence_ends is not None:
            works[f"message:{message.purpose}"] = message.next_at
    if record.messages or record.note is not None:
        works |= _entries(record)
    if record.over is None:
        works["idle"] = record.idle_at
    return works


def _entries(record: Record) -> dict[str, float | None]:
    """The same of what is wanted in a CRM."""
    return {
        work: entry.due_at if entry.due_at > entry.since else None
        for work, entry in entries_of(record).items()
        if entry.state is EntryState.WANTED
    }


def dead_of(record: Record) -> list[str]:
    """The work that ended as a dead letter: an operator should look at it."""
    dead = [f"message:{message.purpose}" for message in record.messages if message.state.dead]
    dead += [w for w, entry in entries_of(record).items() if entry.state is EntryState.FAILED]
    for step in record.steps:
        if step.reason == POISON:
            dead.append(f"step:{step.name}")
    return dead


def longer_known(before: Record, after: Record) -> bool:
    """Whether the record holds data of more people, or will be kept for longer than it was."""
    more = after.customer is not before.customer or len(after.steps) > len(before.steps)
    more = more or len(after.messages) > len(before.messages)
    more = more or len(after.identities) > len(before.identities)
    return more or after.idle_at > before.idle_at or after.over is not None


def moved_by(before: Record, after: Record, held: str | None = None) -> dict[str, Any]:
    """What the commit script has to move: work that begins here, is due later, or is done.

    Work that was put off and is not waited for any more begins here too, if it is not what is held.
    """
    had, has = works_of(before), works_of(after)
    put_off = {work for work, due in had.items() if due is not None and work != held}
    were, are = dead_of(before), dead_of(after)
    return {
        "begin": [
            (set_of(w), w)
            for w, due in has.items()
            if due is None and (w not in had or w in put_off)
        ],
        "due": [
            (set_of(work), work, in_ms(due))
            for work, due in has.items()
            if due is not None and had.get(work) != due
        ],
        "drop": [(set_of(work), work) for work in had if work not in has],
        "alias": [alias for alias in after.aliases if alias not in before.aliases],
        # A message may take days: what leads to it must not end before it.
        "known": before.aliases if after.messages != before.messages else [],
        "over": after.over is not None and before.over is None,
        "dead": [(set_of(work), work) for work in are if work not in were],
        "revived": [(set_of(work), work) for work in were if work not in are],
    }


def set_of(work: str) -> str:
    return MESSAGES if work.startswith(("message:", "ticket:", "note:")) else CALLS


def in_ms(seconds: float) -> int:
    return round(seconds * 1000)

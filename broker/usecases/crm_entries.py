"""Write into a CRM what follows from a call: the ticket of a deflection, a note of the outcome."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from broker.domain.crm_entries import (
    TICKET,
    entry_of,
    failed,
    kept,
    note_words,
    put_off,
    ticket_words,
)
from broker.domain.errors import AnswerLostError, BrokerError, PermanentError, TemporaryError
from broker.domain.messages import EntryState, message_id
from broker.ports import CallNote, Ticket, TicketRef

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.domain.record import Record
    from broker.ports import Clock, CrmAdapter, Lease
    from broker.usecases.book import Book

WRITE_WITHIN_S = 20.0
log = structlog.get_logger("broker.crm_entry")


@dataclass(frozen=True, slots=True)
class CrmEntries:
    """Does the work of one leased entry. The adapter finds again what a lost answer left behind."""

    book: Book
    clock: Clock
    crms: Mapping[str, CrmAdapter]

    async def run(self, lease: Lease) -> None:
        """Write it, put it off or give it up. FencedError if another replica took over."""
        entry = entry_of(lease.record, lease.work)
        if entry is None or entry.state is not EntryState.WANTED:
            return
        change, ended = await self._tried(lease.record, lease.work, entry.crm)
        note = {"at": self.clock.time(), "event": f"crm_entry_{ended}", "work": lease.work}
        await self.book.save(lease.call_id, change, lease, [note])
        log.info("crm_entry", call=lease.call_id, work=lease.work, ended=ended)

    async def _tried(self, record: Record, work: str, crm: str) -> tuple[partial[Record], str]:
        try:
            async with asyncio.timeout(WRITE_WITHIN_S):
                made = await self._write(record, work, crm)
        except (TemporaryError, AnswerLostError, TimeoutError) as error:
            later = getattr(error, "retry_after", None)
            now = self.clock.time()
            return partial(put_off, work=work, now=now, retry_after=later), "put_off"
        except BrokerError:
            return partial(failed, work=work), "refused"
        except Exception as error:  # noqa: BLE001 - foreign code: an operator has to look at it
            log.warning("crm_entry_failed", call=record.id, error=type(error).__name__)
            return partial(failed, work=work), "failed"
        return partial(kept, work=work, entry_id=made.id, url=made.url), "kept"

    async def _write(self, record: Record, work: str, crm: str) -> TicketRef:
        adapter = self.crms.get(crm)
        if adapter is None:
            raise TemporaryError("the CRM of this entry is not configured any more")
        known = record.trusted if record.customer_crm == crm else None
        kind, _, purpose = work.partition(":")
        if kind == TICKET and (message := record.message(purpose)) is not None:
            subject, text = ticket_words(record, message)
            reference = message_id(record.id, purpose)
            ticket = Ticket(reference, subject, text, known.id if known is not None else None)
            return await adapter.create_ticket(ticket)
        if known is None:
            raise PermanentError("the call has no customer of this CRM")
        outcome = str(record.outcome)
        note = CallNote(record.id, known.id, outcome, record.received_at, note_words(record))
        await adapter.record_outcome(note)
        return TicketRef("")

"""A CRM in memory, for use-case tests: knows whom it was told, is slow and fails on demand."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from broker.ports import CrmAdapter, Options, TicketRef

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.domain.call import Phone, Reference
    from broker.domain.customer import Customer
    from broker.domain.errors import BrokerError
    from broker.ports import CallNote, Clock, Ticket


@dataclass(eq=False, repr=False)
class FakeCrm(CrmAdapter):
    """Knows nobody until `add`; answers at once unless `delay_s` or `hold` says otherwise."""

    clock: Clock
    delay_s: float = 0.0
    """How long every answer takes, on `clock`."""
    folds_reference: bool = True
    asked: list[str] = field(default_factory=list)
    """Every number (E.164) and reference, in the order they were asked for."""
    answered: int = 0
    """Lookups that ended by themselves, with or without an error."""
    cancelled: int = 0
    """Lookups that were cancelled before."""
    closed: int = 0
    notes: dict[str, CallNote] = field(default_factory=dict)
    """By their call."""
    tickets: dict[str, Ticket] = field(default_factory=dict)
    """By their reference."""
    most_at_once: int = 0
    """Lookups that were under way at the same time."""
    _by_phone: defaultdict[str, list[Customer]] = field(default_factory=lambda: defaultdict(list))
    _by_reference: defaultdict[str, list[Customer]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _faults: deque[BrokerError | None] = field(default_factory=deque)
    _gate: asyncio.Event | None = None

    options_type = Options

    def add(self, customer: Customer, *phones: str, references: Sequence[str] = ()) -> None:
        """Whoever asks for one of these (E.164) `phones` or `references` gets `customer`."""
        for e164 in phones:
            self._by_phone[e164].append(customer)
        for reference in references:
            self._by_reference[reference].append(customer)

    def forget(self) -> None:
        """It knows nobody any more."""
        self._by_phone.clear()
        self._by_reference.clear()

    def fail(self, *faults: BrokerError | None) -> None:
        """The next lookups fail with these, one each; None = that one succeeds."""
        self._faults.extend(faults)

    def hold(self) -> None:
        """Lookups wait until `release`."""
        self._gate = asyncio.Event()

    def release(self) -> None:
        if self._gate is not None:
            self._gate.set()

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        await self._answering(phone.e164)
        return tuple(self._by_phone.get(phone.e164, ()))

    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:
        await self._answering(reference.value)
        return tuple(
            customer
            for stored, customers in self._by_reference.items()
            for customer in customers
            if reference.is_spelled(stored)
        )

    async def record_outcome(self, note: CallNote) -> None:
        await self._answering(note.call_id)
        self.notes[note.call_id] = note

    async def create_ticket(self, ticket: Ticket) -> TicketRef:
        await self._answering(ticket.reference)
        known = self.tickets.setdefault(ticket.reference, ticket)
        return TicketRef(f"T{list(self.tickets.values()).index(known) + 1}")

    async def ping(self) -> str:
        if self._faults and (fault := self._faults[0]) is not None:
            raise fault
        return f"a fake with {len(self._by_phone)} numbers"

    async def aclose(self) -> None:
        self.closed += 1

    async def _answering(self, asked: str) -> None:
        self.asked.append(asked)
        under_way = len(self.asked) - self.answered - self.cancelled
        self.most_at_once = max(self.most_at_once, under_way)
        fault = self._faults.popleft() if self._faults else None
        try:
            if self._gate is not None:
                await self._gate.wait()
            if self.delay_s:
                await self.clock.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.answered += 1
        if fault is not None:
            raise fault

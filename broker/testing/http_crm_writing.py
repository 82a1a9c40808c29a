"""What an adapter promises that opens tickets or writes notes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from broker.domain.errors import BrokerError
from broker.ports import CallNote, Ticket
from broker.testing.people import ADA
from broker.testing.scripted_server import raw, reply

if TYPE_CHECKING:
    from broker.ports import CrmAdapter
    from broker.testing.scripted_server import Answer
    from broker.testing.vendor import FakeVendor

TICKET = Ticket("call-1", "Call back, please", 'Line 1\nLöwe & "Söhne"', ADA.id)
NOTE = CallNote("call-1", ADA.id, "premium", 1_790_000_000.0, "Called; went to an agent.")
NOT_WRITTEN = {
    "html": raw(b"<html>Maintenance</html>", headers={"Content-Type": "text/html"}),
    "truncated": raw(b'{"id": ', headers={"Content-Type": "application/json"}),
    "unwell": reply({}, status=503),
    "refused": reply({}, status=403),
}
NO_TICKET = {**NOT_WRITTEN, "nothing": reply({}), "null": reply(None), "list": reply([])}


class TicketKit:
    """For adapters with `create_ticket`; inherit it before `HttpCrmAdapterKit`."""

    async def test_a_ticket_is_opened_once_for_each_reference(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        first = await adapter.create_ticket(TICKET)
        assert await adapter.create_ticket(TICKET) == first
        other = await adapter.create_ticket(replace(TICKET, reference="call-2", customer_id=None))
        assert other.id != first.id
        assert len(vendor.tickets) == 2

    @pytest.mark.parametrize("answer", NO_TICKET.values(), ids=NO_TICKET)
    async def test_a_ticket_that_was_not_opened_is_an_error(
        self, vendor: FakeVendor, adapter: CrmAdapter, answer: Answer
    ) -> None:
        await adapter.create_ticket(TICKET)
        vendor.fault, vendor.spared = answer, len(vendor.asked) - 1
        with pytest.raises(BrokerError):
            await adapter.create_ticket(replace(TICKET, reference="call-2"))
        vendor.recover()
        await adapter.create_ticket(replace(TICKET, reference="call-2"))
        assert len(vendor.tickets) == 2


class NoteKit:
    """For adapters with `record_outcome`; inherit it before `HttpCrmAdapterKit`."""

    async def test_a_note_is_written_once_for_each_call(
        self, vendor: FakeVendor, adapter: CrmAdapter
    ) -> None:
        await adapter.record_outcome(NOTE)
        await adapter.record_outcome(NOTE)
        await adapter.record_outcome(replace(NOTE, call_id="call-2"))
        assert len(vendor.notes) == 2

    @pytest.mark.parametrize("answer", NOT_WRITTEN.values(), ids=NOT_WRITTEN)
    async def test_a_note_that_was_not_written_is_an_error(
        self, vendor: FakeVendor, adapter: CrmAdapter, answer: Answer
    ) -> None:
        await adapter.record_outcome(NOTE)
        vendor.fault, vendor.spared = answer, len(vendor.asked) - 1
        with pytest.raises(BrokerError):
            await adapter.record_outcome(replace(NOTE, call_id="call-2"))
        vendor.recover()
        await adapter.record_outcome(replace(NOTE, call_id="call-2"))
        assert len(vendor.notes) == 2

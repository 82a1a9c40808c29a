"""What a call teaches of a number that no CRM knew: whose reference was typed from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.domain.customer import LookupState
from broker.domain.people import hashed
from broker.domain.record import NUMBER

if TYPE_CHECKING:
    from broker.domain.call import Reference
    from broker.domain.customer import Answer
    from broker.domain.record import Record


@dataclass(frozen=True, slots=True)
class Learned:
    """Whom a number led to by a reference. Tells no more than that reference does."""

    crm: str
    reference: str
    """As it was looked up; personal data."""
    customer: str
    """A hash: the reference may belong to somebody else by now."""

    @classmethod
    def of(cls, crm: str, reference: str, customer_id: str) -> Learned:
        return cls(crm, reference, hashed(f"{crm} {customer_id}"))

    def still_true(self, answer: Answer, reference: Reference) -> bool | None:
        """Whether the reference leads to the same customer; None if the CRM could not be asked."""
        if answer.state in {LookupState.TIMEOUT, LookupState.ERROR}:
            return None
        found = [Learned.of(answer.crm, reference.value, one.id) for one in answer.customers]
        return [one.customer for one in found] == [self.customer]


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one call says of its caller's number."""

    number: str
    learned: Learned | None
    """None = different customers use it: nothing is to be known of it."""


def lesson_of(record: Record) -> Lesson | None:
    """What is learned from a call that is over; None if nothing.

    Only a number that every CRM was asked for, and none knew, is worth it; a withheld one has no
    value. A reference that named somebody else unlearns the number instead.
    """
    number = next((step for step in record.steps if step.name == NUMBER), None)
    if number is None or number.value is None:
        return None
    if record.contradicted:
        return Lesson(number.value, None)
    typed = next(
        (s for s in record.steps if s.is_reference and s.lookup is LookupState.FOUND), None
    )
    unknown = number.lookup is LookupState.NOT_FOUND or number.learned
    if not unknown or typed is None or typed.value is None:
        return None
    customer, crm = record.customer, record.customer_crm
    if customer is None or crm is None:
        return None
    return Lesson(number.value, Learned.of(crm, typed.value, customer.id))

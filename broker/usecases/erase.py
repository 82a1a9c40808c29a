"""Erase a person: whatever the ledger holds of a number or an email address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from broker.domain.call import Phone
from broker.domain.customer import normal_email, one_email
from broker.domain.errors import BadInputError

if TYPE_CHECKING:
    from broker.domain.call import Numbering
    from broker.ports import Erased, Ledger

log = structlog.get_logger("broker.erase")


@dataclass(frozen=True, slots=True)
class Erase:
    """Erases at once, also calls that are under way; a repeat finds nothing and is no error."""

    ledger: Ledger
    numbering: Numbering

    async def on_request(self, number: str | None, email: str | None) -> Erased:
        """How much was erased. BadInputError unless exactly one of the two is there, and is one."""
        erased = await self.ledger.erase(self._identity(number, email))
        log.info("erased", calls=erased.calls, links=erased.links)
        return erased

    def _identity(self, number: str | None, email: str | None) -> str:
        if number is not None and email is not None:
            raise BadInputError("send either number or email")
        if number is not None:
            return self._spelled(number)
        if email is None:
            raise BadInputError("required: number or email", code="missing_field")
        address = normal_email(one_email(email))
        if address is None:
            raise BadInputError("email is no email address")
        return address

    def _spelled(self, number: str) -> str:
        """E.164; what is no valid number is looked for as it came with the call."""
        if not any(char.isdigit() for char in number):
            raise BadInputError("number is no telephone number")
        phone = self.numbering.parse(number)
        return phone.e164 if isinstance(phone, Phone) else number.strip()

"""Erase a person: whatever the store holds of a number or an email address."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from broker.domain.customer import normal_email, one_email
from broker.domain.errors import BadInputError

if TYPE_CHECKING:
    from broker.domain.call import Numbering
    from broker.ports import CustomerCache, Erased, Ledger

log = structlog.get_logger("broker.erase")


@dataclass(frozen=True, slots=True)
class Erase:
    """Erases at once, also calls that are under way; a repeat finds nothing and is no error."""

    ledger: Ledger
    cache: CustomerCache
    numbering: Numbering

    async def on_request(self, number: str | None, email: str | None) -> Erased:
        """How much was erased. BadInputError unless exactly one of the two is there, and is one."""
        identity = self._identity(number, email)
        cached = await self.cache.erase(identity)
        erased = replace(await self.ledger.erase(identity), cached=cached)
        log.info("erased", calls=erased.calls, links=erased.links, cached=erased.cached)
        return erased

    def _identity(self, number: str | None, email: str | None) -> str:
        if number is not None and email is not None:
            raise BadInputError("send either number or email")
        if number is not None:
            return self.numbering.spelled(number)
        if email is None:
            raise BadInputError("required: number or email", code="missing_field")
        address = normal_email(one_email(email))
        if address is None:
            raise BadInputError("email is no email address")
        return address

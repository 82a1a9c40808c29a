"""A CRM says that a customer changed: what is kept of him is not told any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from broker.domain.customer import clean
from broker.domain.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Collection

    from broker.domain.call import Numbering
    from broker.ports import CustomerCache

log = structlog.get_logger("broker.invalidate")


@dataclass(frozen=True, slots=True)
class Invalidate:
    """Drops entries at once, for all replicas; a repeat finds nothing and is no error."""

    cache: CustomerCache
    crms: Collection[str]
    numbering: Numbering

    async def on_request(self, crm: str | None, number: str | None, customer_id: str | None) -> int:
        """How many entries were dropped.

        BadInputError unless there is a configured CRM, and either a number or an id.
        """
        if crm is None:
            raise BadInputError("required: crm", code="missing_field")
        if crm not in self.crms:
            raise BadInputError("crm is none of the configured ones")
        if number is not None and customer_id is not None:
            raise BadInputError("send either number or customer_id")
        if number is not None:
            dropped = await self.cache.drop_number(crm, self.numbering.spelled(number))
        elif customer_id is not None:
            dropped = await self.cache.drop_customer(crm, clean(customer_id) or "")
        else:
            raise BadInputError("required: number or customer_id", code="missing_field")
        log.info("invalidated", crm=crm, entries=dropped)
        return dropped

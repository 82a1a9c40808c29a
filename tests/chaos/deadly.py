"""A CRM adapter that takes its whole process with it when it is asked for one number."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from crm_adapters.rest import RestAdapter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.sdk import Customer, Phone

ADAPTER = f"{__name__}:DeadlyAdapter"
NUMBER = "+4915199999999"


class DeadlyAdapter(RestAdapter):
    """For all other numbers an adapter like any other."""

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        if phone.e164 == NUMBER:
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().find_by_phone(phone)

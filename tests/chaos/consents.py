"""Looks into the store, past every broker: who consented by now. And writes: who wants no more."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.domain.errors import StoreUnavailableError
from broker.domain.people import hashed
from broker.stores.connection import Store, open_store
from broker.stores.people import RedisConsents, RedisOptOuts
from tests.chaos.configuration import PREFIX
from tests.chaos.history import addresses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from broker.ports import Consents, OptOuts
    from tests.chaos.history import Call

_WITHIN_S = 0.5
_REPEAT_S = 0.05


@dataclass(frozen=True, slots=True)
class ConsentBook:
    """What a provider would see who could look before he takes a message."""

    kept: Consents
    opt_outs: OptOuts

    @classmethod
    @asynccontextmanager
    async def open(cls, port: int) -> AsyncIterator[ConsentBook]:
        """The book in the Redis on `port`."""
        client = open_store(f"redis://127.0.0.1:{port}/0", command_timeout_s=_WITHIN_S)
        store = Store(client, PREFIX, timeout_s=_WITHIN_S)
        try:
            yield cls(RedisConsents(store), RedisOptOuts(store))
        finally:
            await store.aclose()

    async def has(self, call: Call) -> bool | None:
        """Whether this person agreed to be written to; None if the store cannot tell."""
        try:
            return any([await self.kept.has(hashed(place), 0.0) for place in addresses(call)])
        except StoreUnavailableError:
            return None

    async def stop(self, call: Call) -> None:
        """Returns once it is recorded that this person wants no messages."""
        while True:
            try:
                await self.opt_outs.stop([hashed(call.number)], time.time())
            except StoreUnavailableError:
                await asyncio.sleep(_REPEAT_S)
            else:
                return

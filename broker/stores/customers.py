"""What CRMs said of numbers, kept in the store for all replicas until it is too old or wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from pydantic import TypeAdapter

from broker.domain.customer import Customer
from broker.domain.people import hashed, people_behind
from broker.ports import CustomerCache, Kept, Recalled

if TYPE_CHECKING:
    from broker.domain.call import Phone
    from broker.stores.clock import StoreClock
    from broker.stores.connection import Store

ANSWERS_WITHIN_S = 0.1
"""A store that hangs must not use up the time of the lookup."""
FORGOTTEN_S = 300.0
"""How long the store knows that somebody was forgotten: no answer that took longer is kept."""
FORGET_CHUNK = 100
_CUSTOMERS = TypeAdapter(tuple[Customer, ...])


class RedisCustomerCache(CustomerCache):
    """See `CustomerCache`."""

    def __init__(self, store: Store, clock: StoreClock, *, home_region: str | None = None) -> None:
        """`home_region`: where numbers without country code are read that customers have."""
        self._store = store
        self._clock = clock
        self._home_region = home_region

    async def recall(self, crm: str, phone: Phone) -> Recalled:
        keys, args = [self._entry(crm, phone)], [self._clock.fixed_ms or 0]
        now, asked, document = await self._store.run("recall", keys, args, within=ANSWERS_WITHIN_S)
        customers = _decoded(document) if document else None
        if customers is None:
            return Recalled(None, now / 1000)
        return Recalled(Kept(customers, (now - int(asked)) / 1000), now / 1000)

    async def keep(
        self,
        crm: str,
        phone: Phone,
        customers: tuple[Customer, ...],
        *,
        asked_at: float,
        ttl_s: float,
    ) -> bool:
        people = people_behind(phone, customers, self._home_region)
        params = {
            "crm": crm,
            "entry": hashed(phone.e164),
            "asked": round(asked_at * 1000),
            "ttl": max(1, round(ttl_s * 1000)),
            "labels": [*people, *(_label_of(crm, customer.id) for customer in customers)],
        }
        keys = [self._entry(crm, phone)]
        return bool(await self._run("remember", keys, params, orjson.dumps(customers)))

    async def drop_number(self, crm: str, e164: str) -> int:
        return await self._forget(hashed(e164), crm)

    async def drop_customer(self, crm: str, customer_id: str) -> int:
        return await self._forget(_label_of(crm, customer_id), crm)

    async def erase(self, identity: str) -> int:
        return await self._forget(hashed(identity), None)

    async def _forget(self, label: str, crm: str | None) -> int:
        params: dict[str, Any] = {"label": label, "skip": 0, "limit": FORGET_CHUNK}
        if crm is not None:
            params["crm"] = crm
        forgotten, more = 0, 1
        while more:
            keys = [self._store.key("cached", label)]
            count, params["skip"], more = await self._run("forget", keys, params)
            forgotten += count
        return forgotten

    async def _run(
        self, script: str, keys: list[str], params: dict[str, Any], *documents: bytes
    ) -> Any:
        common: dict[str, Any] = {
            "prefix": self._store.prefix,
            "forgotten": round(FORGOTTEN_S * 1000),
        }
        if self._clock.fixed_ms is not None:
            common["now"] = self._clock.fixed_ms
        return await self._store.run(script, keys, [orjson.dumps(common | params), *documents])

    def _entry(self, crm: str, phone: Phone) -> str:
        return self._store.key("cache", crm, hashed(phone.e164))


def _label_of(crm: str, customer_id: str) -> str:
    """What stands for one customer of one CRM in the store's keys."""
    return hashed(f"{crm} {customer_id}")


def _decoded(document: bytes) -> tuple[Customer, ...] | None:
    """None for what another version has written so that nobody here can read it."""
    try:
        return _CUSTOMERS.validate_json(document)
    except ValueError:  # its text shows the content
        return None

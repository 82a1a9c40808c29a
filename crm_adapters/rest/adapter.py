"""The CRM adapter for JSON APIs: one request for each lookup, and whose records are believed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from broker.sdk import ConfigError, HttpCrmAdapter, Phone, Reference, records_at, value_at
from crm_adapters.rest.options import RestOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import aiohttp

    from broker.sdk import Customer
    from crm_adapters.rest.templates import Filled

_NOBODY = Phone.from_e164("+12025550199")
"""A number that is reserved for fiction."""


class RestAdapter(HttpCrmAdapter[RestOptions]):
    """Asks with one request; a lookup that has no path finds nobody."""

    name = "rest"
    rights = "to read customers"
    options_type = RestOptions

    def __init__(self, options: RestOptions, http: aiohttp.ClientSession) -> None:
        super().__init__(options, http)
        self._by_phone = options.by_phone
        self._by_reference = options.by_reference

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        if self._by_phone is None:
            return ()
        values = {"e164": phone.e164, "digits": phone.digits, "national": phone.national}
        spellings = self.spellings(phone) if self._by_phone.lists_spellings else ()
        records = await self._records(self._by_phone.filled(values, spellings))
        return self.found_by_phone(records, phone, _get)

    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:
        if self._by_reference is None:
            return ()
        records = await self._records(self._by_reference.filled({"reference": reference.value}))
        return self.found_by_reference(records, reference, _get)

    async def ping(self) -> str:
        """Looks up what nobody has. ConfigError if somebody is found by that number."""
        if await self.find_by_phone(_NOBODY):
            raise ConfigError("phone_path finds somebody for a number that nobody has")
        await self.find_by_reference(Reference("0"))
        count = sum(known is not None for known in (self._by_phone, self._by_reference))
        return f"the API answers {count} kinds of lookups"

    async def _records(self, request: Filled) -> list[Any]:
        """The records in the answer to `request`; see `records_at`."""
        reply = await self.ask(
            self.options.method,
            request.path,
            params=request.params,
            json=request.body,
            accept=self.options.not_found,
        )
        if reply.status in self.options.not_found:
            return []
        return records_at(reply.body, self.options.results)


def _get(record: object) -> Callable[[str], object]:
    return partial(value_at, record)

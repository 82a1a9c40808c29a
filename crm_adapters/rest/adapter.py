"""The CRM adapter for JSON APIs: one request for each lookup, and whose records are believed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from broker.sdk import (
    ConfigError,
    CrmAdapter,
    Customer,
    JsonClient,
    PermanentError,
    Phone,
    Reference,
    text_of,
    time_left,
)
from crm_adapters.rest.options import NAME, RestOptions
from crm_adapters.rest.paths import at, value_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import aiohttp

    from crm_adapters.rest.templates import Filled

OUTSIDE_S = 5.0
"""How long a request may take that has no deadline, such as `ping`."""
GRACE_S = 0.1
"""The broker cancels at the deadline; the client's own limit is only for when it could not."""
_NOBODY = Phone.from_e164("+12025550199")
"""A number that is reserved for fiction."""


class RestAdapter(CrmAdapter):
    """Asks with one request; a lookup that has no path finds nobody."""

    options_type = RestOptions

    def __init__(self, options: RestOptions, http: aiohttp.ClientSession) -> None:
        self._options = options
        self._by_phone = options.by_phone
        self._by_reference = options.by_reference
        auth = options.auth.authorizer() if options.auth else None
        self._client = JsonClient(http, options.base_url, name=NAME, auth=auth)

    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        if self._by_phone is None:
            return ()
        values = {"e164": phone.e164, "digits": phone.digits, "national": phone.national}
        spellings = phone.spellings if self._by_phone.lists_spellings else ()
        request = self._by_phone.filled(values, spellings)
        return await self._found(request, lambda customer, _: self._has(customer, phone))

    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:
        if self._by_reference is None:
            return ()
        request = self._by_reference.filled({"reference": reference.value})

        def fits(_: Customer, record: object) -> bool:
            stored = text_of(value_at(record, self._options.fields.reference))
            return stored is None or reference.is_spelled(stored)

        return await self._found(request, fits)

    async def ping(self) -> str:
        """Looks up what nobody has. ConfigError if somebody is found by that number."""
        if await self.find_by_phone(_NOBODY):
            raise ConfigError("phone_path finds somebody for a number that nobody has")
        await self.find_by_reference(Reference("0"))
        count = sum(known is not None for known in (self._by_phone, self._by_reference))
        return f"the API answers {count} kinds of lookups"

    def _has(self, customer: Customer, phone: Phone) -> bool:
        """Searches are over-inclusive; a record that lists no numbers is believed."""
        region = self._options.region
        return not customer.phones or any(phone.is_spelled(p, region) for p in customer.phones)

    async def _found(
        self, request: Filled, fits: Callable[[Customer, object], bool]
    ) -> tuple[Customer, ...]:
        reply = await self._client.request(
            self._options.method,
            request.path,
            params=request.params,
            json=request.body,
            accept=self._options.not_found,
            within=time_left(OUTSIDE_S) + GRACE_S,
        )
        if reply.status in self._options.not_found:
            return ()
        fields, premium = self._options.fields, self._options.premium
        read = [
            (fields.customer(partial(value_at, record), premium), record)
            for record in self._records(reply.body)
        ]
        return tuple(customer for customer, record in read if fits(customer, record))

    def _records(self, body: object) -> list[object]:
        """The records in an answer.

        PermanentError if there is nothing at `results`, unless its end `[*]` allows for that: an
        answer of another shape may be an error message, and that is not nobody.
        """
        path = self._options.results
        found = at(body, path) if body is not None else [None]
        if not found and not path.endswith("[*]"):
            raise PermanentError("rest: the answer has nothing at the path `results`")
        records: list[object] = []
        for node in found:
            if isinstance(node, list):
                records += node
            elif node is not None and node != {}:
                records.append(node)
        if not all(isinstance(record, dict) for record in records):
            raise PermanentError("rest: a record in the answer is no object")
        return records

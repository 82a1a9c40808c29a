"""What all CRM adapters over HTTP share: one client, one deadline, one way to believe a record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from pydantic import model_validator

from broker.domain.call import Phone, Reference
from broker.domain.customer import has_number
from broker.domain.errors import PermanentError, TemporaryError
from broker.domain.fields import Fields, Region
from broker.domain.premium import PremiumRule
from broker.domain.spellings import Pattern, spelled
from broker.http_client.client import JsonClient, Reply, UnauthorizedError
from broker.http_client.credentials import Auth, TokenPlace, authorizer
from broker.ports import CrmAdapter, Options, time_left

if TYPE_CHECKING:
    import aiohttp

    from broker.domain.customer import Customer
    from broker.domain.expressions import Get

OUTSIDE_S = 5.0
"""How long a request may take that has no deadline, such as `ping`."""
GRACE_S = 0.1
"""The broker cancels at the deadline; the client's own limit is only for when it could not."""
NOBODYS_PHONE = Phone.from_e164("+12025550199")
"""A number that is reserved for fiction (NANPA 555-0100 to 555-0199)."""
NOBODYS_REFERENCE = Reference("0")
_NOT_THERE = frozenset({404, 405})
"""Not Found, and what servers of pages and routers say to a POST where nobody takes one."""
_EXPLAINED = frozenset({400, 403, 404, 405, 422})


class Reading(Options):
    """How records of one kind are read."""

    fields: Fields = Fields()
    premium: PremiumRule | None = None

    @model_validator(mode="after")
    def _knows_tags(self) -> Self:
        if self.premium is not None and self.premium.tags and self.fields.tags is None:
            raise ValueError("premium.tags needs fields.tags: where the CRM keeps them")
        return self


class HttpCrmOptions(Reading):
    """What every CRM over HTTP can be told; an adapter adds its own."""

    needs_auth: ClassVar[bool] = True

    base_url: str
    auth: Auth | None = None
    """See docs/adapters.md, "Credentials"."""
    region: Region | None = None
    """Where numbers without country code are read; by default in the caller's country."""
    spellings: tuple[Pattern, ...] = ()
    """How this CRM spells national numbers besides: `(***) ***-****`."""

    @model_validator(mode="after")
    def _has_credentials(self) -> Self:
        if self.needs_auth and self.auth is None:
            raise ValueError("auth is missing")
        return self


T = TypeVar("T")
O = TypeVar("O", bound=HttpCrmOptions)  # noqa: E741 - the usual name of an only parameter


class HttpCrmAdapter(CrmAdapter, Generic[O]):
    """Base of an adapter that asks over HTTP.

    Give it `name`, `rights` and `options_type`, and implement the two `find_by_...` with `ask` and
    `found_by_...`.
    """

    name: ClassVar[str]
    """Stands in error texts: `hubspot`."""
    rights: ClassVar[str]
    """What the credentials must be allowed to do, in the CRM's own words; for `broker check`."""
    token: ClassVar[TokenPlace] = TokenPlace()
    max_body_bytes: ClassVar[int] = 262_144

    def __init__(self, options: O, http: aiohttp.ClientSession) -> None:
        self.options = options
        self._auth = (
            authorizer(options.auth, http, options.base_url, name=self.name, place=self.token)
            if options.auth
            else None
        )
        self._client = JsonClient(
            http,
            options.base_url,
            name=self.name,
            auth=self._auth,
            headers=self.headers(),
            max_body_bytes=self.max_body_bytes,
        )

    def headers(self) -> Mapping[str, str]:
        """Sent with every request, besides the credentials."""
        return {}

    async def ask(  # noqa: PLR0913 - the parts of an HTTP request, each named at the call
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object | None = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        accept: frozenset[int] = frozenset(),
    ) -> Reply:
        """The reply, if its status is 2xx or in `accept`; errors as of `JsonClient.request`.

        A refusal says in one sentence what the operator has to change.
        """
        try:
            reply = await self._client.request(
                method,
                path,
                params=params,
                json=json,
                form=form,
                headers=headers,
                accept=accept | _EXPLAINED,
                within=time_left(OUTSIDE_S) + GRACE_S,
            )
        except UnauthorizedError as error:
            text = f"{self.name}: the credentials were refused (HTTP 401)"
            raise PermanentError(f"{text}: {self.advice(error.reply)}") from None
        if reply.status in _EXPLAINED - accept:
            raise self.refused(reply)
        return reply

    def refused(self, reply: Reply) -> PermanentError | TemporaryError:
        """The error for a 400, 403, 404 or 422: permanent, unless an adapter knows better."""
        return PermanentError(f"{self.name}: HTTP {reply.status}: {self.advice(reply)}")

    def advice(self, refused: Reply) -> str:
        """What to do about a 400, 401, 403, 404, 405 or 422.

        Never a text out of the answer: those repeat what was asked for.
        """
        if refused.status == 401:  # noqa: PLR2004 - Unauthorized
            return "check `auth`"
        if refused.status == 403:  # noqa: PLR2004 - Forbidden
            return f"a right is missing; needed: {self.rights}"
        if refused.status in _NOT_THERE:
            return "nothing is at this address: check base_url"
        return "the request was refused: check the names in `fields` and `premium`"

    def spellings(self, phone: Phone) -> tuple[str, ...]:
        """How `phone` may stand in the CRM: E.164, what is usual, what the operator has added."""
        return tuple(dict.fromkeys([*phone.spellings, *spelled(phone, self.options.spellings)]))

    def found_by_phone(
        self,
        records: Iterable[Any],
        phone: Phone,
        get: Callable[[Any], Get],
        reading: Reading | None = None,
        *,
        more: bool = False,
    ) -> tuple[Customer, ...]:
        """The customers of those records that really have the number: searches find too many.

        `get(record)` gives the values of one record by their places. `reading` is for a CRM with
        several kinds of records; by default the options themselves. `more`: the CRM has found more
        than these; PermanentError if these do not show two customers, because nobody guesses.
        """
        region = self.options.region
        customers = (self._customer(record, get, reading or self.options) for record in records)
        found = tuple(customer for customer in customers if has_number(customer, phone, region))
        return self._enough(found, more=more)

    def found_by_reference(
        self,
        records: Iterable[Any],
        reference: Reference,
        get: Callable[[Any], Get],
        reading: Reading | None = None,
        *,
        more: bool = False,
    ) -> tuple[Customer, ...]:
        """The customers of those records that really have the reference; `more` as above."""
        how = reading or self.options
        found = tuple(
            self._customer(record, get, how)
            for record in records
            if how.fields.has_reference(get(record), reference)
        )
        return self._enough(found, more=more)

    def not_cut_off(
        self, found: tuple[Customer, ...], *, came: int, most: int
    ) -> tuple[Customer, ...]:
        """`found`, if that is all, or two customers; for who reads pages of `most` records.

        PermanentError if a full page `came` and does not show two customers: as `more` above.
        """
        return self._enough(found, more=came >= most)

    def _enough(self, found: tuple[Customer, ...], *, more: bool) -> tuple[Customer, ...]:
        if more and len({customer.id for customer in found}) < 2:  # noqa: PLR2004 - ambiguous
            raise PermanentError(f"{self.name}: more records match than were read")
        return found

    def with_numbers(self, records: Iterable[Any], get: Callable[[Any], Get]) -> list[Any]:
        """Those records that list a number at all.

        For a search that looks further than `phones`, such as at the fax: whoever it finds without
        a number that can be checked is not believed.
        """
        phones = self.options.fields.phones
        return [record for record in records if any(get(record)(place) for place in phones)]

    def page(self, path: str) -> str:
        """The address of a page below `base_url`, for who reads its records there."""
        return f"{self.options.base_url.strip().rstrip('/')}{path}"

    def record_url(self, record: Any) -> str | None:  # noqa: ARG002 - for who has it
        """Where a person opens this record in a browser; None if nobody can."""
        return None

    def _customer(self, record: Any, get: Callable[[Any], Get], reading: Reading) -> Customer:
        customer = reading.fields.customer(get(record), reading.premium)
        return replace(customer, record_url=self.record_url(record))

    async def ping(self) -> str:
        """Looks up what nobody has, so that every right and every name in `fields` is tried."""
        await self.find_by_phone(NOBODYS_PHONE)
        await self.find_by_reference(NOBODYS_REFERENCE)
        return "finds people by number and by reference"

    async def aclose(self) -> None:
        if self._auth is not None:
            await self._auth.aclose()


async def at_once(*asking: Coroutine[Any, Any, T]) -> list[T]:
    """The results of questions that are asked at the same time; the first error ends them all."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in asking]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


def list_at(body: object, *path: str) -> list[Any]:
    """The list at `path` of an answer. PermanentError if there is none: that is not nobody."""
    node = _at(body, path)
    if not isinstance(node, list) or not all(isinstance(item, Mapping) for item in node):
        raise _other_shape()
    return node


def one_at(body: object, *path: str) -> Mapping[str, Any]:
    """The one record at `path` of an answer. PermanentError if there is none, or it has no id."""
    node = _at(body, path)
    if not isinstance(node, Mapping) or node.get("id") is None:
        raise _other_shape()
    return node


def _at(body: object, path: Iterable[str]) -> object:
    for key in path:
        body = body.get(key) if isinstance(body, Mapping) else None
    return body


def _other_shape() -> PermanentError:
    return PermanentError("the answer has another shape than documented")

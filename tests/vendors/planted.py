"""CRM adapters with one bug each, of the kinds that authors make, and who finds it."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import orjson
import structlog

from broker.sdk import (
    BadInputError,
    ConfigError,
    CrmAdapter,
    Customer,
    PermanentError,
    Phone,
    Reference,
    Reply,
    TemporaryError,
    UnusableAnswerError,
    list_at,
)
from crm_adapters.hubspot import HubSpotAdapter, HubSpotOptions
from crm_adapters.zoho import ZohoAdapter, ZohoOptions
from tests.vendors.hubspot import FakeHubSpot
from tests.vendors.zoho import FakeZoho

if TYPE_CHECKING:
    from collections.abc import Sequence

    import aiohttp

    from broker.testing.vendor import FakeVendor

LONG_S = 3.0
"""Longer than any deadline of the kit."""


class BelievesEveryHit(HubSpotAdapter):
    def found_by_phone(self, records: Any, *arguments: Any, **_: Any) -> Any:
        get = arguments[1]
        fields, premium = self.options.fields, self.options.premium
        found = [fields.customer(get(record), premium) for record in records]
        return tuple(replace(customer, phones=()) for customer in found)


class BelievesEveryReference(HubSpotAdapter):
    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:
        shorter = Reference(reference.value[:7])
        return await super().find_by_reference(shorter)


class GoesOnAfterTheDeadline(HubSpotAdapter):
    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        try:
            return await super().find_by_phone(phone)
        except asyncio.CancelledError:
            await asyncio.sleep(LONG_S)
            raise


class AsksInTheBackground(HubSpotAdapter):
    """The request goes on when nobody waits any more."""

    async def ask(self, *args: Any, **kwargs: Any) -> Reply:
        self.background = asyncio.ensure_future(super().ask(*args, **kwargs))
        return await asyncio.shield(self.background)


class AsksOneAfterTheOther(HubSpotAdapter):
    def __init__(self, options: HubSpotOptions, http: aiohttp.ClientSession) -> None:
        super().__init__(options, http)
        self.lock = asyncio.Lock()

    async def ask(self, *args: Any, **kwargs: Any) -> Reply:
        async with self.lock:
            return await super().ask(*args, **kwargs)


class MixesCallersUp(HubSpotAdapter):
    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        self.phone = phone
        await asyncio.sleep(0)
        return await super().find_by_phone(self.phone)


class LogsTheNumber(HubSpotAdapter):
    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        structlog.get_logger().info(f"asking for {phone.e164}")
        return await super().find_by_phone(phone)


class RepeatsTheAnswer(HubSpotAdapter):
    async def ask(self, *args: Any, **kwargs: Any) -> Reply:
        reply = await super().ask(*args, **{**kwargs, "accept": frozenset({400, 422})})
        if reply.status >= 400:
            raise PermanentError(f"hubspot said {reply.body}")
        return reply


class ShowsItsOptions(HubSpotAdapter):
    def __repr__(self) -> str:
        auth: Any = self.options.auth
        return f"ShowsItsOptions({auth.token.get_secret_value()})"


class TakesTroubleForNobody(HubSpotAdapter):
    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        with suppress(TemporaryError):
            return await super().find_by_phone(phone)
        return ()


class TakesRubbishForNobody(HubSpotAdapter):
    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        with suppress(UnusableAnswerError):
            return await super().find_by_phone(phone)
        return ()


class TakesAnotherShapeForNobody(HubSpotAdapter):
    async def ask(self, *args: Any, **kwargs: Any) -> Reply:
        reply = await super().ask(*args, **kwargs)
        with suppress(PermanentError):
            list_at(reply.body, "results")
            return reply
        return replace(reply, body={"results": []})


class TriesAgainAfterARefusal(HubSpotAdapter):
    async def ask(self, *args: Any, **kwargs: Any) -> Reply:
        try:
            return await super().ask(*args, **kwargs)
        except PermanentError as error:
            raise TemporaryError(str(error)) from None


class ForgetsForHowLong(HubSpotAdapter):
    async def ask(self, *args: Any, **kwargs: Any) -> Reply:
        try:
            return await super().ask(*args, **kwargs)
        except TemporaryError as error:
            raise TemporaryError(str(error)) from None


class FollowsRedirects(HubSpotAdapter):
    def __init__(self, options: HubSpotOptions, http: aiohttp.ClientSession) -> None:
        super().__init__(options, http)
        self.http = http

    async def ask(self, method: str, path: str, **kwargs: Any) -> Reply:
        async with self.http.request(method, self.options.base_url + path, **kwargs) as answer:
            if answer.status != 200:
                raise PermanentError(f"hubspot: HTTP {answer.status}")
            return Reply(200, await answer.json(), {})


class ReadsWhateverComes(HubSpotAdapter):
    max_body_bytes: ClassVar[int] = 2**40


class GuessesPremium(HubSpotAdapter):
    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        found = await super().find_by_phone(phone)
        return [replace(customer, premium=bool(customer.premium)) for customer in found]


class MakesThingsUp(HubSpotAdapter):
    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        found = await super().find_by_phone(phone)
        return [replace(customer, name=customer.name or "unknown") for customer in found]


class TakesTheFirst(HubSpotAdapter):
    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        return (await super().find_by_phone(phone))[:1]


class KnowsOneSpelling(HubSpotAdapter):
    def spellings(self, phone: Phone) -> tuple[str, ...]:
        return (phone.e164,)


class GluesTheRequestTogether(HubSpotAdapter):
    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]:
        where = '[{"propertyName": "customer_reference", "operator": "EQ", "value": "%s"}]'
        try:
            filters = orjson.loads(where % reference.value)
        except ValueError:
            raise BadInputError("no such reference") from None
        body = {"filterGroups": [{"filters": filters}], "properties": [], "limit": 10}
        await self.ask("POST", "/crm/objects/2026-09/contacts/search", json=body)
        return await super().find_by_reference(reference)


class TakesTooMuchForNobody(TakesRubbishForNobody):
    pass


class TakesACrowdForNobody(HubSpotAdapter):
    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        found = await super().find_by_phone(phone)
        return found if len(found) < 3 else ()


class KnowsEnglishOnly(HubSpotAdapter):
    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]:
        found = await super().find_by_phone(phone)
        return [replace(one, name=_english(one.name)) for one in found]


def _english(name: str | None) -> str | None:
    return name and name.encode("ascii", "ignore").decode()


class NeverForgives(HubSpotAdapter):
    refusal: PermanentError | None = None

    async def ask(self, *args: Any, **kwargs: Any) -> Reply:
        if self.refusal is not None:
            raise self.refusal
        try:
            return await super().ask(*args, **kwargs)
        except PermanentError as error:
            self.refusal = error
            raise


class KnowsCapitalsOnly(ZohoAdapter):
    """Zoho's queries mind upper and lower case."""

    async def _query(self, module: str, condition: str) -> list[Any]:
        capitals = re.sub("'[^']*'", lambda literal: literal[0].upper(), condition)
        return await super()._query(module, capitals)


class KeepsADeadToken(ZohoAdapter):
    def __init__(self, options: ZohoOptions, http: aiohttp.ClientSession) -> None:
        super().__init__(options, http)
        auth: Any = self._auth
        auth.reject = lambda: None


class PingsNobody(HubSpotAdapter):
    async def ping(self) -> str:
        return "all is well"


class ClosesOnce(HubSpotAdapter):
    closed = False

    async def aclose(self) -> None:
        if self.closed:
            raise ConfigError("closed already")
        self.closed = True


VENDORS: dict[type[CrmAdapter], type[FakeVendor]] = {
    HubSpotAdapter: FakeHubSpot,
    ZohoAdapter: FakeZoho,
}
"""Who plays the CRM of an adapter and of its kin."""
FOUND_BY: dict[type[CrmAdapter], str] = {
    BelievesEveryHit: "the_same_national_number_of_another_country_is_somebody_else",
    BelievesEveryReference: "an_unknown_reference_gives_nobody",
    GoesOnAfterTheDeadline: "the_deadline_is_kept_whatever_the_vendor_does[hang]",
    AsksInTheBackground: "a_cancelled_lookup_gives_its_connection_back",
    AsksOneAfterTheOther: "twenty_callers_at_once_are_asked_for_at_once",
    MixesCallersUp: "many_lookups_at_once_are_not_mixed_up",
    LogsTheNumber: "no_personal_data_and_no_secret_is_in_the_log_of_a_lookup_that_works",
    RepeatsTheAnswer: "nothing_the_vendor_repeats_is_in_an_error_or_a_log",
    ShowsItsOptions: "no_personal_data_and_no_secret_is_in_an_error_or_a_log",
    TakesTroubleForNobody: "a_server_error_is_temporary[500]",
    TakesRubbishForNobody: "an_answer_of_another_shape_is_an_error_and_not_nobody[html]",
    TakesAnotherShapeForNobody: "an_answer_of_another_shape_is_an_error_and_not_nobody[error]",
    TriesAgainAfterARefusal: "refused_credentials_are_a_permanent_error[401]",
    ForgetsForHowLong: "too_many_requests_is_temporary_and_says_for_how_long",
    FollowsRedirects: "a_redirect_is_not_followed",
    ReadsWhateverComes: "a_huge_answer_is_not_read_to_its_end",
    GuessesPremium: "what_is_not_known_of_a_customer_is_absent",
    MakesThingsUp: "what_is_not_known_of_a_customer_is_absent",
    TakesTheFirst: "two_customers_with_one_number_are_both_returned",
    KnowsOneSpelling: "a_number_is_found_in_every_spelling_a_crm_may_have_stored",
    GluesTheRequestTogether: "hostile_references_find_nobody_and_change_no_request",
    TakesTooMuchForNobody: "a_huge_record_is_found_or_an_error",
    TakesACrowdForNobody: "a_switchboard_is_several_people",
    KnowsEnglishOnly: "a_name_in_any_script_arrives_unchanged[Chinese]",
    KnowsCapitalsOnly: "a_reference_in_small_letters_is_found",
    NeverForgives: "a_refusal_that_is_over_is_forgotten",
    KeepsADeadToken: "an_access_token_that_ended_is_replaced_without_an_error",
    PingsNobody: "ping_fails_if_the_crm_cannot_be_asked",
    ClosesOnce: "it_can_be_closed_twice",
}
"""Without `test_`."""

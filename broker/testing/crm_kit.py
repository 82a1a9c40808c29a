"""What every CRM adapter has to promise, as tests to inherit."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from structlog.testing import capture_logs

from broker.domain.call import Reference, fold_to_keypad
from broker.domain.customer import Customer, matches
from broker.domain.errors import BadInputError, ConfigError, PermanentError, TemporaryError
from broker.testing.hostile import HOSTILE
from broker.testing.people import (
    ADA,
    BOB,
    CAROL,
    DAN,
    EVE,
    FAY,
    GUS,
    HAL,
    IDA,
    SPELLED,
    STRANGER,
    UNKNOWN,
    Person,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from broker.domain.call import Phone
    from broker.ports import CrmAdapter

V = TypeVar("V")
AT_ONCE = 30
SOON_S = 10.0
"""Ample for whatever an adapter does after it was cancelled or could not ask."""
MOMENT_S = 0.05
TURNS = 25
"""Turns of the event loop after which a lookup is cancelled: 0, 1, 2 ..."""


class CrmAdapterKit:
    """For every CRM adapter. Subclass it as `Test...` and add two fixtures.

    `adapter` returns one whose CRM holds the PEOPLE of `broker.testing.people`, `broken` one whose
    CRM cannot be asked: down, missing, or not letting us in.
    """

    secrets: Collection[str] = ()
    """What the options hold that nobody may read."""

    async def hang(self) -> None:
        """From now on the CRM takes questions and never answers. Override it where it can."""

    async def recover(self) -> None:
        """The CRM answers new questions again."""

    async def busy(self) -> int:
        """How many questions the CRM itself is working on."""
        return 0

    def shapes(self) -> Collection[object]:
        """The shape of every request so far: all but the value that was looked up."""
        return ()

    async def test_a_known_number_gives_the_customer_with_all_that_is_known(
        self, adapter: CrmAdapter
    ) -> None:
        for person in (ADA, BOB):
            (found,) = await by_phone(adapter, person.phone)
            _check(found, person)

    async def test_any_number_of_a_customer_finds_him(self, adapter: CrmAdapter) -> None:
        for phone in BOB.all_phones:
            assert ids(await by_phone(adapter, phone)) == {BOB.id}

    async def test_what_is_not_known_of_a_customer_is_absent(self, adapter: CrmAdapter) -> None:
        (found,) = await by_phone(adapter, EVE.phone)
        _check(found, EVE)

    async def test_an_unknown_number_gives_nobody(self, adapter: CrmAdapter) -> None:
        assert await by_phone(adapter, STRANGER) == ()

    async def test_a_number_is_found_in_every_spelling_a_crm_may_have_stored(
        self, adapter: CrmAdapter
    ) -> None:
        found = {person.phones[0]: await by_phone(adapter, person.phone) for person in SPELLED}
        missed = [spelling for spelling, customers in found.items() if not customers]
        assert missed == []
        assert all(len(customers) == 1 for customers in found.values())

    async def test_the_same_national_number_of_another_country_is_somebody_else(
        self, adapter: CrmAdapter
    ) -> None:
        assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id}
        assert ids(await by_phone(adapter, FAY.phone)) == {FAY.id}

    async def test_two_customers_with_one_number_are_both_returned(
        self, adapter: CrmAdapter
    ) -> None:
        assert ids(await by_phone(adapter, CAROL.phone)) == {CAROL.id, DAN.id}

    async def test_a_known_reference_gives_the_customer(self, adapter: CrmAdapter) -> None:
        for person in (ADA, BOB, GUS):
            (found,) = await by_reference(adapter, person.typed)
            _check(found, person)

    async def test_a_reference_in_small_letters_is_found(self, adapter: CrmAdapter) -> None:
        (found,) = await by_reference(adapter, IDA.typed)
        _check(found, IDA)

    async def test_an_unknown_reference_gives_nobody(self, adapter: CrmAdapter) -> None:
        assert await by_reference(adapter, UNKNOWN) == ()
        assert await by_reference(adapter, Reference(ADA.reference[:-1])) == ()
        assert await by_reference(adapter, Reference(ADA.reference + "0")) == ()

    async def test_many_lookups_at_once_are_not_mixed_up(self, adapter: CrmAdapter) -> None:
        people = (ADA, BOB, EVE, FAY)
        found = await asyncio.gather(
            *(by_phone(adapter, people[i % len(people)].phone) for i in range(AT_ONCE)),
            *(by_reference(adapter, people[i % len(people)].typed) for i in range(AT_ONCE)),
        )
        wanted = [{people[i % len(people)].id} for i in range(AT_ONCE)] * 2
        assert [ids(customers) for customers in found] == wanted

    async def test_a_lookup_can_be_cancelled_at_any_moment(self, adapter: CrmAdapter) -> None:
        for turns in range(TURNS):
            for lookup in (
                adapter.find_by_phone(ADA.phone),
                adapter.find_by_reference(ADA.typed),
            ):
                asking = asyncio.ensure_future(lookup)
                for _ in range(turns):
                    await asyncio.sleep(0)
                await _cancel(asking)
        assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id}

    async def test_a_cancelled_lookup_leaves_nothing_behind_in_the_crm(
        self, adapter: CrmAdapter
    ) -> None:
        assert ids(await by_phone(adapter, BOB.phone)) == {BOB.id}
        await self.hang()
        asking = [asyncio.ensure_future(adapter.find_by_phone(ADA.phone)) for _ in range(3)]
        await asyncio.sleep(MOMENT_S)
        await asyncio.gather(*(_cancel(lookup) for lookup in asking))
        async with asyncio.timeout(SOON_S):
            while await self.busy():  # noqa: ASYNC110 - the CRM does not tell us
                await asyncio.sleep(MOMENT_S / 10)
        await self.recover()
        assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id}

    async def test_hostile_references_find_nobody_and_change_no_request(
        self, adapter: CrmAdapter
    ) -> None:
        await by_reference(adapter, ADA.typed)
        references = [Reference(text) for text in HOSTILE]
        await self._unchanged(adapter, adapter.find_by_reference, references)

    async def test_hostile_numbers_find_nobody_and_change_no_request(
        self, adapter: CrmAdapter
    ) -> None:
        await by_phone(adapter, ADA.phone)
        phones = [replace(STRANGER, digits=text, national=text) for text in HOSTILE]
        await self._unchanged(adapter, adapter.find_by_phone, phones)

    async def _unchanged(
        self, adapter: CrmAdapter, find: Callable[[V], Awaitable[Any]], values: Collection[V]
    ) -> None:
        before = set(self.shapes())
        for value in values:
            with contextlib.suppress(BadInputError, PermanentError):
                assert tuple(await find(value)) == ()
        assert set(self.shapes()) == before
        assert ids(await by_phone(adapter, ADA.phone)) == {ADA.id}

    async def test_ping_says_in_words_what_was_reached(self, adapter: CrmAdapter) -> None:
        assert len((await adapter.ping()).split()) > 1

    async def test_ping_fails_if_the_crm_cannot_be_asked(self, broken: CrmAdapter) -> None:
        with pytest.raises((TemporaryError, PermanentError, ConfigError)):
            await asyncio.wait_for(broken.ping(), SOON_S)

    async def test_a_crm_that_cannot_be_asked_is_an_error_and_not_nobody(
        self, broken: CrmAdapter
    ) -> None:
        for lookup in (broken.find_by_phone(ADA.phone), broken.find_by_reference(ADA.typed)):
            with pytest.raises((TemporaryError, PermanentError, ConfigError)):
                await asyncio.wait_for(lookup, SOON_S)

    async def test_no_personal_data_and_no_secret_is_in_an_error_or_a_log(
        self, broken: CrmAdapter, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("DEBUG")
        seen = [repr(broken), str(broken)]
        with capture_logs() as logs:
            for lookup in (broken.find_by_phone(ADA.phone), broken.find_by_reference(ADA.typed)):
                with pytest.raises((TemporaryError, PermanentError, ConfigError)) as caught:
                    await lookup
                seen += traceback.format_exception(caught.value)
        self._check_clean([*seen, str(logs), caplog.text])

    async def test_no_personal_data_and_no_secret_is_in_the_log_of_a_lookup_that_works(
        self, adapter: CrmAdapter, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("DEBUG")
        with capture_logs() as logs:
            await by_phone(adapter, ADA.phone)
            await by_reference(adapter, ADA.typed)
        self._check_clean([repr(adapter), str(adapter), str(logs), caplog.text])

    def _check_clean(self, texts: Collection[str]) -> None:
        phone = ADA.phone
        private = (phone.digits, phone.national, ADA.reference, str(ADA.email), *self.secrets)
        assert [word for word in private for text in texts if word in text] == []

    async def test_it_can_be_closed_twice(self, adapter: CrmAdapter) -> None:
        await by_phone(adapter, ADA.phone)
        await adapter.aclose()
        await adapter.aclose()

    async def test_it_can_be_closed_without_having_been_used(self, adapter: CrmAdapter) -> None:
        await adapter.aclose()


class KeypadCrmAdapterKit(CrmAdapterKit):
    """For adapters that declare `folds_reference`."""

    async def test_it_says_that_it_folds_references(self, adapter: CrmAdapter) -> None:
        assert adapter.folds_reference

    async def test_keys_find_everybody_whose_reference_is_typed_with_them(
        self, adapter: CrmAdapter
    ) -> None:
        keys = Reference(fold_to_keypad(GUS.typed.value), keypad=True)
        assert ids(await by_reference(adapter, keys)) == {GUS.id, HAL.id}

    async def test_digits_typed_on_a_keypad_find_a_reference_of_digits(
        self, adapter: CrmAdapter
    ) -> None:
        assert ids(await by_reference(adapter, Reference(ADA.reference, keypad=True))) == {ADA.id}


async def by_phone(adapter: CrmAdapter, phone: Phone) -> tuple[Customer, ...]:
    """Whom the broker believes to have this number."""
    return matches(await adapter.find_by_phone(phone), phone)


async def by_reference(adapter: CrmAdapter, reference: Reference) -> tuple[Customer, ...]:
    """Whom the broker believes to have this reference."""
    return matches(await adapter.find_by_reference(reference))


def ids(customers: Collection[Customer]) -> set[str]:
    return {customer.id for customer in customers}


def _check(found: Customer, person: Person) -> None:
    wanted = Customer(
        id=person.id,
        email=person.email,
        premium=person.premium,
        track_id=person.track_id,
        name=person.name,
        language=person.language,
    )
    # Whether an adapter tells the numbers, and what else it knows, is its own affair; so is the
    # country of a language: `de_DE`.
    language = (found.language or "").replace("_", "-").partition("-")[0] or None
    told = replace(found, phones=(), extra={}, tags=(), record_url=None, language=language)
    assert told == wanted


async def _cancel(asking: asyncio.Future[Any]) -> None:
    """The lookup ends soon, as cancelled unless it was done already."""
    if asking.done():
        asking.result()
        return
    asking.cancel()
    await asyncio.wait({asking}, timeout=SOON_S)
    assert asking.cancelled()

"""By which numbers and addresses a call can be found again when a person asks to be erased."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from broker.domain.customer import Customer, LookupState
from broker.domain.people import hashed, people_of, people_reached
from broker.domain.record import NUMBER, CallData, Record, Step

CALLER = "+493023125001"


def _record(told: str | None, looked_up: str | None = None, **customer: object) -> Record:
    steps = (Step(NUMBER, 0.0, looked_up),) if looked_up else ()
    found = Customer("c1", **customer) if customer else None  # type: ignore[arg-type]
    return Record("c1", 0.0, 0.0, CallData(from_=told), steps=steps, customer=found)


def _people(*identities: str) -> tuple[str, ...]:
    return tuple(sorted(hashed(identity) for identity in identities))


@pytest.mark.parametrize("told", [None, "", "anonymous"])
def test_withheld_caller_is_nobody(told: str | None) -> None:
    assert people_of(_record(told), "DE") == ()


@pytest.mark.parametrize("told", ["+12", "200", " 200 "])
def test_number_that_is_none_counts_as_it_came(told: str) -> None:
    assert people_of(_record(told), "DE") == _people(told.strip())


def test_caller_who_was_looked_up_counts_once() -> None:
    assert people_of(_record(CALLER, CALLER), None) == _people(CALLER)


def test_customer_counts_by_address_and_numbers_however_they_are_spelled() -> None:
    record = _record(CALLER, CALLER, email="Ada@Shop.example", phones=("030 23125777", "none"))
    assert people_of(record, "GB") == _people(CALLER, "ada@shop.example", "+493023125777")


def test_national_number_of_a_customer_whose_caller_is_unknown_is_read_at_home() -> None:
    record = _record(None, phones=("030 23125777",))
    assert people_of(record, "DE") == _people("+493023125777")
    assert people_of(record, None) == ()


def test_hash_tells_nothing_and_fits_into_a_key() -> None:
    assert len(hashed(CALLER)) == 32
    assert "3023125001" not in hashed(CALLER)


ADA: dict[str, Any] = {"email": "Ada@Shop.example", "phones": ("0151 23456789",)}
ADAS = ("ada@shop.example", "+4915123456789")


@pytest.mark.parametrize("to", [" Ada@shop.example ", "+4915123456789", "push-token-of-her-app"])
def test_customer_is_reached_with_all_that_is_known_of_her(to: str) -> None:
    assert people_reached(_record(CALLER, **ADA), to, "DE") == _people(*ADAS)


def test_number_that_is_not_on_file_is_somebody_else_unless_the_customer_was_found_by_it() -> None:
    record = _record(CALLER, CALLER, **ADA)
    assert people_reached(record, CALLER, "DE") == _people(CALLER)
    found = record.with_step(Step(NUMBER, 0.0, CALLER, lookup=LookupState.FOUND))
    assert people_reached(found, CALLER, "DE") == _people(CALLER, *ADAS)


def test_number_of_a_call_without_customer_stands_for_itself() -> None:
    assert people_reached(_record(CALLER), CALLER, None) == _people(CALLER)


def test_who_is_written_to_at_a_learned_number_is_not_known_to_be_the_customer() -> None:
    own = Step(NUMBER, 0.0, CALLER, lookup=LookupState.FOUND)
    found = replace(_record(CALLER, **ADA), steps=(own,))
    assert people_reached(found, CALLER, "DE") == _people(CALLER, *ADAS)
    learned = replace(found, steps=(replace(own, learned=True),))
    assert people_reached(learned, CALLER, "DE") == _people(CALLER)

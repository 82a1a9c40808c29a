"""By which numbers and addresses a call can be found again when a person asks to be erased."""

from __future__ import annotations

import pytest

from broker.domain.customer import Customer
from broker.domain.people import hashed, people_of
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

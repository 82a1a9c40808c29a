"""What a call that is over teaches of its caller's number, and when it teaches nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.domain.call import Reference
from broker.domain.customer import Answer, Customer, LookupState
from broker.domain.learned import Learned, Lesson, lesson_of
from broker.domain.record import NUMBER, Record, Step

CALLER, REFERENCE = "+493023125001", "2001001"
UNKNOWN = Step(NUMBER, 0.0, CALLER, lookup=LookupState.NOT_FOUND, done=True)
TYPED = Step("reference-2", 1.0, REFERENCE, lookup=LookupState.FOUND, done=True)
WRONG = Step("reference-1", 1.0, "0000001", lookup=LookupState.NOT_FOUND, done=True)
OTHERS = replace(
    WRONG, name="reference-3", value="3", lookup=LookupState.AMBIGUOUS, contradicts=True
)
ADA = Learned.of("shop", REFERENCE, "c1")


def _lesson(*steps: Step) -> Lesson | None:
    customer = Customer("c1", email="ada@example.com")
    return lesson_of(Record("1", 0.0, 9.0, steps=steps, customer=customer, customer_crm="shop"))


def test_the_reference_that_was_found_is_learned_of_a_number_that_nobody_knew() -> None:
    assert _lesson(UNKNOWN, WRONG, TYPED) == Lesson(CALLER, ADA)


def test_who_types_it_again_although_his_number_was_learned_teaches_it_again() -> None:
    learned = replace(UNKNOWN, lookup=LookupState.FOUND, learned=True)
    assert _lesson(learned, TYPED) == Lesson(CALLER, ADA)
    assert _lesson(learned) is None, "using it does not make it last longer"


@pytest.mark.parametrize("state", set(LookupState) - {LookupState.NOT_FOUND})
def test_a_number_that_was_not_denied_by_every_crm_teaches_nothing(state: LookupState) -> None:
    assert _lesson(replace(UNKNOWN, lookup=state), TYPED) is None


def test_without_a_number_nothing_is_learned() -> None:
    withheld = replace(UNKNOWN, value=None, lookup=LookupState.WITHHELD)
    invalid = replace(UNKNOWN, value=None)
    for steps in ((withheld, TYPED), (invalid, TYPED), (TYPED,), ()):
        assert _lesson(*steps) is None


def test_without_a_reference_that_was_found_nothing_is_learned() -> None:
    assert _lesson(UNKNOWN, WRONG) is None
    assert _lesson(UNKNOWN) is None


@pytest.mark.parametrize(
    "number", [UNKNOWN, replace(UNKNOWN, lookup=LookupState.FOUND, learned=True)]
)
def test_two_customers_in_one_call_unlearn_its_number(number: Step) -> None:
    assert _lesson(number, TYPED, OTHERS) == Lesson(CALLER, None)


@pytest.mark.parametrize(
    ("state", "ids", "true"),
    [
        (LookupState.FOUND, ("c1",), True),
        (LookupState.FOUND, ("c2",), False),
        (LookupState.AMBIGUOUS, ("c1", "c2"), False),
        (LookupState.NOT_FOUND, (), False),
        (LookupState.TIMEOUT, (), None),
        (LookupState.ERROR, (), None),
    ],
)
def test_it_is_true_as_long_as_the_reference_leads_to_the_same_customer(
    state: LookupState, ids: tuple[str, ...], true: bool | None
) -> None:
    answer = Answer("shop", state, tuple(Customer(one) for one in ids))
    assert ADA.still_true(answer, Reference(REFERENCE)) is true

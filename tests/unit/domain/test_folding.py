"""Whatever several CRMs answer, in whatever order: what their answers together may mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from broker.domain.customer import Answer, Customer, Folding, LookupState

if TYPE_CHECKING:
    from random import Random

S = LookupState
MAILS = ("ada@example.com", "bob@example.com", None)


@st.composite
def answers(draw: st.DrawFn) -> list[Answer]:
    """One answer of each of up to four CRMs."""
    made: list[Answer] = []
    for number in range(draw(st.integers(0, 4))):
        state = draw(st.sampled_from([S.FOUND, S.AMBIGUOUS, S.NOT_FOUND, S.TIMEOUT, S.ERROR]))
        count = {S.FOUND: 1, S.AMBIGUOUS: 2}.get(state, 0)
        customers = tuple(
            Customer(
                f"{number}-{i}",
                email=draw(st.sampled_from(MAILS)),
                name=f"name of {number}-{i}",
                extra={"erp": draw(st.sampled_from("xy"))},
            )
            for i in range(count)
        )
        priority = draw(st.integers(1, 3))
        made.append(Answer(f"crm{number}", state, customers, priority))
    return made


foldings = st.builds(
    Folding, st.sampled_from(["ambiguous", "priority"]), st.sampled_from([None, "extra.erp"])
)


@given(answers(), foldings, st.integers(0, 2))
def test_the_result_follows_the_precedence_of_the_contract(
    given_answers: list[Answer], folding: Folding, silent: int
) -> None:
    result = folding.fold(given_answers, asked=len(given_answers) + silent)
    states = {answer.state for answer in given_answers}
    if S.AMBIGUOUS in states:
        expected = {S.AMBIGUOUS}
    elif S.FOUND in states:
        expected = {S.FOUND, S.AMBIGUOUS}
    elif silent or S.TIMEOUT in states:
        expected = {S.TIMEOUT}
    else:
        expected = {S.ERROR} if S.ERROR in states else {S.NOT_FOUND}
    assert result.state in expected


@given(answers(), foldings, st.randoms())
def test_who_answers_first_makes_no_difference(
    given_answers: list[Answer], folding: Folding, random: Random
) -> None:
    shuffled = list(given_answers)
    random.shuffle(shuffled)
    asked = len(given_answers)
    assert folding.fold(shuffled, asked) == folding.fold(given_answers, asked)


@given(answers(), foldings)
def test_there_is_a_customer_if_and_only_if_one_was_found(
    given_answers: list[Answer], folding: Folding
) -> None:
    result = folding.fold(given_answers, asked=len(given_answers))
    assert (result.customer is not None) is (result.state is S.FOUND)
    assert (result.source is not None) is (result.state is S.FOUND)


@given(answers())
def test_a_customer_never_holds_the_data_of_somebody_else(given_answers: list[Answer]) -> None:
    """Only the email says here that two records are one person."""
    result = Folding(conflict="priority").fold(given_answers, asked=len(given_answers))
    if result.customer is None:
        return
    records = [customer for answer in given_answers for customer in answer.customers]
    leading = next(record for record in records if record.id == result.customer.id)
    assert (result.customer.email, result.customer.name) == (leading.email, leading.name)


@given(answers())
def test_two_persons_are_never_taken_for_one_silently(given_answers: list[Answer]) -> None:
    found = [answer.customers[0] for answer in given_answers if answer.state is S.FOUND]
    persons = {customer.email for customer in found}
    result = Folding("ambiguous").fold(given_answers, asked=len(given_answers))
    if len(persons) > 1 or (len(found) > 1 and None in persons):
        assert result.state is S.AMBIGUOUS

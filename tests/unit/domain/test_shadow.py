"""What is said of a CRM in shadow mode, and what of a customer that may show."""

from __future__ import annotations

import pytest

from broker.domain.customer import Answer, Customer, LookupResult, LookupState
from broker.domain.shadow import COMPARED, Comparison, Result, Tally, compare, compared_fields

ADA = Customer("c1", email="ada@example.com", premium=True, track_id="TRK-1001", name="Ada King")
SAME_ADA = Customer(
    "77", email="Ada@Example.com ", premium=True, track_id="TRK-1001", name=ADA.name
)
BEN = Customer("78", email="ben@example.com", premium=False, track_id="TRK-2002", name="Ben Ray")


def answered(*customers: Customer, ms: int = 40) -> Answer:
    states = (LookupState.NOT_FOUND, LookupState.FOUND, LookupState.AMBIGUOUS)
    return Answer("new", states[len(customers)], customers, ms=ms)


def held(answer: Answer, crms: LookupResult) -> Comparison:
    return compare(answer, crms, fields=COMPARED, deadline_ms=1500)


FOUND = LookupResult(LookupState.FOUND, ADA, "shop")
NOBODY = LookupResult(LookupState.NOT_FOUND)
SEVERAL = LookupResult(LookupState.AMBIGUOUS)


@pytest.mark.parametrize(
    ("answer", "crms", "result"),
    [
        (answered(ADA), FOUND, Result.SAME),
        (answered(SAME_ADA), FOUND, Result.SAME),
        (answered(BEN), FOUND, Result.DIFFERS),
        (answered(), NOBODY, Result.SAME),
        (answered(ADA, BEN), SEVERAL, Result.SAME),
        (answered(ADA), NOBODY, Result.ONLY_SHADOW),
        (answered(ADA, BEN), NOBODY, Result.ONLY_SHADOW),
        (answered(), FOUND, Result.ONLY_CRMS),
        (answered(), SEVERAL, Result.ONLY_CRMS),
        (answered(ADA, BEN), FOUND, Result.DIFFERS),
        (answered(ADA), SEVERAL, Result.DIFFERS),
        (answered(ADA), LookupResult(LookupState.TIMEOUT), Result.NOT_COMPARED),
        (answered(), LookupResult(LookupState.ERROR), Result.NOT_COMPARED),
        (answered(ADA, ms=1501), FOUND, Result.LATE),
        (answered(BEN, ms=1501), FOUND, Result.LATE),
        (Answer("new", LookupState.TIMEOUT), FOUND, Result.LATE),
        (Answer("new", LookupState.ERROR), FOUND, Result.ERROR),
        (Answer("new", LookupState.ERROR, ms=9000), LookupResult(LookupState.ERROR), Result.ERROR),
    ],
)
def test_every_pair_of_answers_has_one_result(
    answer: Answer, crms: LookupResult, result: Result
) -> None:
    assert held(answer, crms).result is result


def test_what_differs_is_told_without_telling_who_it_is() -> None:
    seen = held(answered(BEN), FOUND)
    assert seen.fields == {
        "email": ("b***@***", "a***@***"),
        "premium": ("false", "true"),
        "track_id": ("T***", "T***"),
        "name": ("B***", "A***"),
    }
    assert seen.telling


def test_a_value_that_one_of_them_lacks_shows_as_a_gap() -> None:
    bare = Customer("79", email=ADA.email, name=ADA.name)
    assert held(answered(bare), FOUND).fields == {
        "premium": (None, "true"),
        "track_id": (None, "T***"),
    }


def test_several_against_one_differ_in_the_lookup() -> None:
    assert held(answered(ADA, BEN), FOUND).fields == {"lookup": ("ambiguous", "found")}


@pytest.mark.parametrize(
    ("answer", "telling"),
    [
        (answered(ADA), False),
        (answered(ADA, ms=2000), False),
        (answered(BEN, ms=2000), True),
        (answered(), True),
        (Answer("new", LookupState.ERROR), False),
        (Answer("new", LookupState.TIMEOUT), False),
    ],
)
def test_only_what_somebody_can_look_into_is_kept(answer: Answer, *, telling: bool) -> None:
    assert held(answer, FOUND).telling is telling


def test_extra_values_are_compared_if_the_session_gets_them() -> None:
    fields = compared_fields(["email", "lookup", "extra.tier", "name", "extra.city"])
    assert fields == (*COMPARED, "extra.city", "extra.tier")
    gold, basic = (Customer("1", extra={"tier": t, "note": t}) for t in ("gold", "basic"))
    crms = LookupResult(LookupState.FOUND, basic)
    seen = compare(answered(gold), crms, fields=fields, deadline_ms=1500)
    assert seen.fields == {"extra.tier": ("g***", "b***")}


def test_percentiles_are_by_nearest_rank() -> None:
    tally = Tally(ms=tuple(range(1, 101)))
    assert (tally.percentile(50), tally.percentile(95)) == (50, 95)
    assert (Tally(ms=(7,)).percentile(95), Tally().percentile(50)) == (7, None)


def test_asked_is_the_sum_of_all_results() -> None:
    assert Tally(results={"same": 3, "late": 1}).asked == 4

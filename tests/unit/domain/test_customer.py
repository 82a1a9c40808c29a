"""What is believed of a CRM's records, and how several answers become one."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.call import Phone
from broker.domain.customer import (
    MATCHES_READ,
    TEXT_LIMIT,
    Answer,
    Customer,
    Folding,
    LookupState,
    checked,
    clean,
    matches,
    normal_email,
    one_email,
    value_of,
)
from broker.domain.errors import PermanentError

BERLIN = Phone.from_e164("+493023125001")
ADA = Customer("1", email="ada@example.com", premium=True, track_id="T1", name="Ada")


@pytest.mark.parametrize(
    "text", ["ada@example.com", " ada@example.com\n", "a.d+a@sub.example.co.uk"]
)
def test_one_plain_address_is_an_email(text: str) -> None:
    assert one_email(text) == text.strip()


@pytest.mark.parametrize(
    "text",
    [
        None,
        7,
        "",
        "ada",
        "ada@example",
        "@example.com",
        "ada@example.com, bob@example.com",
        "ada@example.com;bob@example.com",
        "ada@example.com bob@example.com",
        "Ada <ada@example.com>",
        "ada@bob@example.com",
        "ada@example.com\r\nBcc: bob@example.com",
        "ada@example.com\x00",
        "a\x00da@example.com",
        "a\u202eda@example.com",
        "a\u00a0da@example.com",
        "a\x85da@example.com",
        "ada@" + "x" * 260 + ".com",
    ],
)
def test_what_is_not_exactly_one_address_is_no_email(text: object) -> None:
    assert one_email(text) is None


def test_a_text_loses_control_and_direction_characters_and_its_length_is_limited() -> None:
    assert clean("  A\x00d\u202ea\r\n\tL\ud800.\u200b ") == "Ada L."
    assert clean("x" * 1000) == "x" * TEXT_LIMIT


@pytest.mark.parametrize("text", [None, "", " \n ", "\u200b", 7, True, ["a"]])
def test_a_text_without_content_is_none_and_never_empty(text: object) -> None:
    assert clean(text) is None


@pytest.mark.parametrize("premium", ["true", "false", "yes", 1, 0, None, []])
def test_a_premium_that_is_no_boolean_is_unknown(premium: Any) -> None:
    assert checked(Customer("1", premium=premium)).premium is None


def test_a_customer_keeps_what_has_its_declared_type() -> None:
    customer = Customer(
        id="1",
        email="ada@example.com",
        premium=False,
        track_id="T1",
        phones=("+493023125001",),
        name="Ada",
        language="en",
        tags=("a", "b"),
        extra=MappingProxyType({"city": "London"}),
    )
    assert checked(customer) == customer


def test_rubbish_in_a_record_is_left_out_and_not_passed_on() -> None:
    rubbish: Any = Customer(
        id=7,  # type: ignore[arg-type]
        email="ada@example.com,bob@example.com",
        track_id={"no": "text"},  # type: ignore[arg-type]
        phones="+493023125001",  # type: ignore[arg-type]
        name="\x00",
        tags=("a", 7, ""),  # type: ignore[arg-type]
        extra={"city": "\x00", "score": 5, "k" * 100: "v"},  # type: ignore[dict-item]
    )
    assert checked(rubbish) == Customer("7", tags=("a",), extra={"k" * 64: "v"})


@pytest.mark.parametrize("record", [None, {"id": "1"}, Customer(""), Customer(None)])  # type: ignore[arg-type]
def test_what_is_no_customer_is_refused(record: object) -> None:
    with pytest.raises(PermanentError):
        checked(record)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from(["email", "premium", "track_id", "phones", "name", "tags", "extra"]), _JSON
    )
)
def test_whatever_a_crm_answers_every_field_has_its_type_or_is_absent(fields: Any) -> None:
    customer = checked(Customer("1", **fields))
    texts = [customer.track_id, customer.name, *customer.phones, *customer.extra.values()]
    assert customer.premium in (True, False, None)
    assert customer.email is None or one_email(customer.email) == customer.email
    assert all(text is None or 0 < len(text) <= TEXT_LIMIT for text in texts)
    assert not any(char in (text or "") for text in texts for char in "\x00\r\n\u202e")


def test_a_record_with_other_numbers_only_is_no_match() -> None:
    other = Customer("2", phones=("+44 30 2312 5001", "+493023125002"))
    mine = Customer("3", phones=("+493023125002", "030 23125001"))
    assert matches([other, mine], BERLIN) == (mine,)


def test_a_record_without_numbers_is_believed() -> None:
    assert matches([ADA], BERLIN) == (ADA,)


def test_a_reference_lookup_does_not_look_at_numbers() -> None:
    elsewhere = Customer("2", phones=("+493023125002",))
    assert matches([elsewhere]) == (elsewhere,)


def test_the_same_customer_twice_is_one_and_the_first_record_counts() -> None:
    assert matches([ADA, Customer("1", track_id="T2")]) == (ADA,)


def test_two_customers_are_two_and_more_are_not_needed_to_be_ambiguous() -> None:
    found = matches([Customer("1"), Customer("1"), Customer("2"), Customer("3")])
    assert [customer.id for customer in found] == ["1", "2"]


def test_an_endless_answer_is_refused_instead_of_guessed_from() -> None:
    strangers = (Customer(str(i), phones=("+493023125002",)) for i in range(10**9))
    with pytest.raises(PermanentError):
        matches(strangers, BERLIN)
    assert matches([ADA] * MATCHES_READ) == (ADA,)


def test_rubbish_among_the_records_is_an_error_and_not_skipped() -> None:
    with pytest.raises(PermanentError):
        matches([ADA, {"id": "2"}])


def answer(crm: str, state: LookupState, *customers: Customer, priority: int = 100) -> Answer:
    return Answer(crm, state, customers, priority)


FOUND = answer("a", LookupState.FOUND, ADA)
NOT_FOUND = answer("b", LookupState.NOT_FOUND)
ERROR = answer("c", LookupState.ERROR)
TIMEOUT = answer("d", LookupState.TIMEOUT)
AMBIGUOUS = answer("e", LookupState.AMBIGUOUS)


@pytest.mark.parametrize(
    ("answers", "asked", "state"),
    [
        ([FOUND, AMBIGUOUS, TIMEOUT, ERROR, NOT_FOUND], 5, LookupState.AMBIGUOUS),
        ([FOUND, TIMEOUT, ERROR, NOT_FOUND], 4, LookupState.FOUND),
        ([FOUND], 4, LookupState.FOUND),
        ([TIMEOUT, ERROR, NOT_FOUND], 3, LookupState.TIMEOUT),
        ([ERROR, NOT_FOUND], 3, LookupState.TIMEOUT),
        ([], 1, LookupState.TIMEOUT),
        ([ERROR, NOT_FOUND], 2, LookupState.ERROR),
        ([NOT_FOUND], 1, LookupState.NOT_FOUND),
    ],
)
def test_several_answers_become_one_by_precedence(
    answers: list[Answer], asked: int, state: LookupState
) -> None:
    for order in (answers, answers[::-1]):
        result = Folding().fold(order, asked)
        assert result.state == state
        assert (result.customer == ADA) is (state is LookupState.FOUND)


def test_two_crms_that_know_one_person_fill_each_others_gaps_by_priority() -> None:
    first = Customer("1", email="Ada@Example.com ", premium=True, extra={"city": "London"})
    second = Customer("9", "ada@example.com", False, "T9", name="A.", extra={"city": "?", "x": "y"})
    result = Folding().fold(
        [
            answer("a", LookupState.FOUND, second, priority=50),
            answer("z", LookupState.FOUND, first, priority=10),
        ],
        2,
    )
    assert result.source == "z"
    assert result.customer == Customer(
        "1",
        email="Ada@Example.com ",
        premium=True,
        track_id="T9",
        name="A.",
        extra={"city": "London", "x": "y"},
    )


def test_a_premium_that_is_known_to_be_false_is_no_gap() -> None:
    first = answer("a", LookupState.FOUND, Customer("1", email="ada@example.com", premium=False))
    folded = Folding().fold([first, answer("b", LookupState.FOUND, ADA)], 2)
    assert folded.customer is not None
    assert folded.customer.premium is False


@pytest.mark.parametrize(
    ("other", "key", "same"),
    [
        (Customer("1", email="ada@example.com"), None, True),
        (Customer("1", email="ADA@EXAMPLE.COM"), None, True),
        (Customer("1", email="bob@example.com"), None, False),
        (Customer("1"), None, False),  # ids of two CRMs mean nothing to each other
        (Customer("2", track_id="T1"), "track_id", True),
        (Customer("2", track_id="T2"), "track_id", False),
        (Customer("2"), "track_id", False),
        (Customer("2", extra={"vat": "7"}), "vat", True),
        (Customer("2", extra={"vat": "7"}), "extra.vat", True),
    ],
)
def test_two_records_are_one_person_by_email_or_the_configured_key_only(
    other: Customer, key: str | None, same: bool
) -> None:
    ada = Customer("1", email="ada@example.com", track_id="T1", extra={"vat": "7"})
    assert Folding(same_person_key=key).same_person(ada, other) is same
    assert Folding(same_person_key=key).same_person(other, ada) is same


def test_two_records_without_email_are_not_one_person() -> None:
    assert not Folding(same_person_key="name").same_person(Customer("1"), Customer("1"))
    assert normal_email("") is normal_email(None) is None


def test_two_crms_that_name_two_persons_are_ambiguous_unless_priority_decides() -> None:
    bob = answer("b", LookupState.FOUND, Customer("2", email="bob@example.com"), priority=10)
    ambiguous = Folding().fold([FOUND, bob], 2)
    assert (ambiguous.state, ambiguous.customer) == (LookupState.AMBIGUOUS, None)
    decided = Folding(conflict="priority").fold([FOUND, bob], 2)
    assert (decided.state, decided.customer) == (LookupState.FOUND, bob.customers[0])


def test_with_conflict_by_priority_a_stranger_fills_no_gap() -> None:
    leading = answer("a", LookupState.FOUND, Customer("1", email="ada@example.com"), priority=1)
    stranger = answer("b", LookupState.FOUND, Customer("2", "bob@example.com", True, "T2"))
    folded = Folding(conflict="priority").fold([leading, stranger], 2)
    assert folded.customer == leading.customers[0]


def test_a_value_is_read_by_field_name_or_by_extra_key() -> None:
    customer = Customer("1", name="Ada", extra={"city": "London", "name": "other"})
    assert value_of(customer, "name") == "Ada"
    assert value_of(customer, "extra.name") == "other"
    assert value_of(customer, "city") == "London"
    assert value_of(customer, "extra.none") is value_of(customer, "none") is None

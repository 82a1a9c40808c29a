"""The fixture: numbers, references and what the CRM finds by them."""

from __future__ import annotations

import re
from pathlib import Path

import phonenumbers
import pytest

from broker.domain.call import Phone, ReferenceFormat
from broker.domain.recipients import Recipients
from broker.sandbox import credentials
from broker.sandbox.personas import HOTLINE, PERSONAS, WRONG_REFERENCES, Fixture, Persona
from broker.sandbox.state import NumberPool

DOCS = Path(__file__).parents[3] / "docs"
FIXTURE = Fixture()
ALL = pytest.mark.parametrize("persona", PERSONAS, ids=lambda persona: persona.name)


def persona(name: str) -> Persona:
    found = FIXTURE.persona(name)
    assert found is not None
    return found


@ALL
def test_every_number_of_a_range_is_a_valid_german_number(persona: Persona) -> None:
    numbers = [phonenumbers.parse(persona.number(suffix)) for suffix in persona.suffixes]
    assert all(phonenumbers.is_valid_number_for_region(number, "DE") for number in numbers)


def test_the_hotline_is_valid_and_nobodys_own_number() -> None:
    assert phonenumbers.is_valid_number(phonenumbers.parse(HOTLINE))
    assert FIXTURE.owner(HOTLINE) is None


def test_no_two_customers_share_a_reference_an_email_or_an_order() -> None:
    customers = [
        persona.customer(profile, suffix)
        for persona in PERSONAS
        for profile in persona.profiles
        for suffix in persona.suffixes
    ]
    for field in ("id", "reference", "email", "track_id"):
        assert len({getattr(customer, field) for customer in customers}) == len(customers)


@ALL
def test_every_reference_has_the_default_form_and_leads_to_its_owner(persona: Persona) -> None:
    for profile in persona.profiles:
        customer = persona.customer(profile, 42)
        assert ReferenceFormat().parse(customer.reference) is not None
        assert FIXTURE.by_reference(customer.reference).customers == (customer,)


@pytest.mark.parametrize("reference", WRONG_REFERENCES)
def test_a_wrong_reference_is_well_formed_and_leads_to_nobody(reference: str) -> None:
    assert ReferenceFormat().parse(reference) is not None
    assert FIXTURE.by_reference(reference).customers == ()


def test_there_are_as_many_wrong_references_as_a_caller_has_tries() -> None:
    assert len(set(WRONG_REFERENCES)) == 3


@pytest.mark.parametrize(
    "reference", ["200104", "20010422", "2001-42", "2001x42", "2001\u0660\u0664\u0662", ""]
)
def test_what_is_no_reference_leads_to_nobody(reference: str) -> None:
    assert FIXTURE.by_reference(reference).customers == ()


@pytest.mark.parametrize("name", ["premium", "slow"])
def test_a_premium_caller_is_found_by_number(name: str) -> None:
    (customer,) = FIXTURE.by_phone(persona(name).number(7)).customers
    assert customer.premium
    assert customer.id == f"{name}-007"


def test_a_standard_caller_has_all_that_a_tracking_email_needs() -> None:
    (customer,) = FIXTURE.by_phone(persona("standard").number(7)).customers
    assert not customer.premium
    assert (customer.email, customer.track_id) == ("standard-007@example.com", "TRK-STANDARD-007")


def test_an_unknown_number_finds_nobody_but_its_reference_finds_a_standard_customer() -> None:
    unknown = persona("unknown")
    assert FIXTURE.by_phone(unknown.number(7)).customers == ()
    (customer,) = FIXTURE.by_reference(unknown.caller(7).reference).customers
    assert not customer.premium
    assert customer.phones == ()


def test_a_shared_number_finds_two_and_the_callers_reference_the_premium_one() -> None:
    shared = persona("shared")
    both = FIXTURE.by_phone(shared.number(7)).customers
    assert {customer.premium for customer in both} == {True, False}
    assert FIXTURE.by_reference(shared.caller(7).reference).customers[0].premium


@pytest.mark.parametrize("name", ["mobile", "mobile-standard"])
def test_a_mobile_persona_can_be_written_to(name: str) -> None:
    germany = Recipients(frozenset({"DE"}))
    for suffix in persona(name).suffixes:
        phone = Phone.read(persona(name).number(suffix))
        assert phone is not None
        assert germany.refusal(phone) is None


def test_only_the_mobile_persona_has_the_app() -> None:
    """The others of the mobile callers have none, so that they get a text message."""
    tokens = {p.name: p.caller(7).push_tokens for p in PERSONAS}
    assert tokens.pop("mobile") == ("sandbox-push-mobile-007",)
    assert set(tokens.values()) == {()}


@pytest.mark.parametrize(
    "token", ["sandbox-push-mobile-100", "sandbox-push-mobile-07", "sandbox-push-premium-007", "x"]
)
def test_a_push_token_that_nobody_has_is_nobodys(token: str) -> None:
    assert FIXTURE.by_push_token(token) is None
    assert FIXTURE.by_push_token("sandbox-push-mobile-007") == persona("mobile").caller(7)


@pytest.mark.parametrize("reference", ["7001100", "8001000"])
def test_a_reference_outside_of_a_small_range_is_nobodys(reference: str) -> None:
    assert FIXTURE.by_reference(reference).customers == ()
    assert FIXTURE.by_track_id(f"TRK-MOBILE-STANDARD-{reference[-3:]}") is None


def test_only_the_slow_persona_keeps_the_crm_waiting() -> None:
    waits = {p.name: FIXTURE.by_phone(p.number(7)).after_s for p in PERSONAS}
    assert waits.pop("slow") == 2.5
    assert set(waits.values()) == {0}


@pytest.mark.parametrize(
    "spelling", ["+493023125042", "493023125042", "00493023125042", " 49 30 23125-042"]
)
def test_the_crm_knows_a_number_in_any_international_spelling(spelling: str) -> None:
    assert FIXTURE.by_phone(spelling).customers[0].id == "premium-042"


@pytest.mark.parametrize("number", ["+49302312504", "+4930231250421", "03023125042", "", "Berlin"])
def test_a_number_outside_of_the_ranges_is_nobodys(number: str) -> None:
    assert FIXTURE.by_phone(number).customers == ()


def test_an_order_is_found_by_its_tracking_id_only() -> None:
    customer = persona("shared").caller(7)
    assert FIXTURE.by_track_id(customer.track_id) == customer
    assert FIXTURE.by_track_id(customer.track_id.lower()) is None
    assert FIXTURE.by_track_id("TRK-NOBODY-007") is None


@pytest.mark.parametrize(
    ("name", "size"), [("premium", 1000), ("mobile", 100), ("mobile-standard", 99)]
)
def test_fresh_numbers_do_not_repeat_until_the_range_is_used_up(name: str, size: int) -> None:
    pool = NumberPool()
    numbers = [pool.take(persona(name)) for _ in range(size)]
    assert len(set(numbers)) == size
    assert pool.take(persona(name)) == numbers[0]
    assert HOTLINE not in numbers


def test_two_sandboxes_hardly_ever_begin_with_the_same_number() -> None:
    assert len({NumberPool().take(persona("premium")) for _ in range(20)}) > 1


def test_the_page_shows_the_personas_as_the_code_has_them() -> None:
    rows = table("| persona |")
    assert rows == [
        [
            f"`{p.name}`",
            p.city,
            f"`{p.number(p.suffixes[0])}` to `{p.number(p.suffixes[-1])}`",
            "yes" if p.known_by_number else "no",
            f"{p.answers_after_s:g} s" if p.answers_after_s else "at once",
        ]
        for p in PERSONAS
    ]


def test_the_page_shows_the_customers_as_the_code_computes_them() -> None:
    rows = table("| customer of")
    examples = [(p, p.customer(profile, 42)) for p in PERSONAS for profile in p.profiles]
    assert rows == [
        [
            f"`{p.name}`",
            f"`{customer.id}`",
            "true" if customer.premium else "false",
            f"`{customer.reference}`",
            f"`{customer.email}`",
            f"`{customer.track_id}`",
            customer.name,
            customer.language,
        ]
        for p, customer in examples
    ]


def test_the_page_names_the_wrong_references_and_the_hotline() -> None:
    text = (DOCS / "demo-data.md").read_text()
    assert all(f"`{word}`" in text for word in (*WRONG_REFERENCES, HOTLINE))


def test_the_sandbox_page_names_every_credential() -> None:
    text = (DOCS / "sandbox.md").read_text()
    values = [value for name, value in vars(credentials).items() if name.isupper()]
    assert len(values) == 20
    assert all(f"`{value}`" in text for value in values)


def table(head: str) -> list[list[str]]:
    """The cells of the rows under the page's table whose first line begins with `head`."""
    lines = (DOCS / "demo-data.md").read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(head))
    rows = re.match(r"(?:\|.*\n)+", "\n".join([*lines[first + 2 :], ""]))
    assert rows is not None
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[0].splitlines()]

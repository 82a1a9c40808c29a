"""Who gets a text message: a number that can receive it, of the customer on the call."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.domain.call import Phone
from broker.domain.customer import Customer, LookupState
from broker.domain.messages import Tracking
from broker.domain.recipients import Recipients
from broker.domain.record import NUMBER, Record, Step

GERMANY = Recipients(frozenset({"DE"}), home_region="DE")
MOBILE, OTHER_MOBILE, FIXED = "+4915112345678", "+4917012345678", "+493023125001"


def call(*steps: Step, phones: tuple[str, ...] = ()) -> Record:
    customer = Customer("7", track_id="T-1", phones=phones)
    return Record("c1", received_at=0.0, idle_at=9.0, steps=steps, customer=customer)


def by_number(number: str, lookup: LookupState = LookupState.FOUND) -> Step:
    return Step(NUMBER, 0.0, number, lookup=lookup, done=True)


LEARNED = Step(NUMBER, 0.0, MOBILE, lookup=LookupState.FOUND, learned=True, done=True)
BY_REFERENCE = Step("reference-1", 1.0, "1000001", lookup=LookupState.FOUND, done=True)


@pytest.mark.parametrize(
    ("number", "refusal"),
    [
        (MOBILE, None),
        (FIXED, "fixed_line"),
        ("+498001234567", "toll_free"),
        ("+499001234567", "premium_rate"),
        ("+447400123456", "country"),
    ],
)
def test_a_number_is_refused_for_what_it_is(number: str, refusal: str | None) -> None:
    assert GERMANY.refusal(Phone.from_e164(number)) == refusal


def test_where_mobile_and_fixed_look_alike_a_number_may_be_written_to() -> None:
    americans = Recipients(frozenset({"US"}))
    assert americans.refusal(Phone.from_e164("+12025550199")) is None
    assert americans.refusal(Phone.from_e164("+18005550199")) == "toll_free"


def test_where_people_are_reached_on_any_line_only_nobodys_own_numbers_are_refused() -> None:
    anywhere = Recipients(frozenset({"DE", "GB"}), any_line=True)
    voip = Phone.from_e164("+445612345678")
    assert Recipients(frozenset({"GB"})).refusal(voip) == "voip"
    assert [anywhere.refusal(phone) for phone in (voip, Phone.from_e164(FIXED))] == [None, None]
    assert anywhere.refusal(Phone.from_e164("+498001234567")) == "toll_free"
    assert anywhere.refusal(Phone.from_e164("+12025550199")) == "country"


def test_without_countries_nobody_is_written_to() -> None:
    assert Recipients().choose(call(by_number(MOBILE))) is None


def test_a_customer_found_by_his_number_is_written_to_at_it() -> None:
    chosen = GERMANY.choose(call(by_number(MOBILE), phones=(OTHER_MOBILE, MOBILE)))
    assert chosen is not None
    assert chosen.e164 == MOBILE


def test_who_calls_from_a_fixed_line_is_written_to_at_the_mobile_on_file() -> None:
    chosen = GERMANY.choose(call(by_number(FIXED), phones=(FIXED, "0170 12345678")))
    assert chosen is not None
    assert chosen.e164 == OTHER_MOBILE


def test_who_typed_a_reference_is_written_to_at_numbers_on_file_only() -> None:
    """Whoever has found a reference on an envelope must not get the link to that order."""
    unknown = by_number(MOBILE, LookupState.NOT_FOUND)
    assert GERMANY.choose(call(unknown, BY_REFERENCE)) is None
    chosen = GERMANY.choose(call(unknown, BY_REFERENCE, phones=(OTHER_MOBILE,)))
    assert chosen is not None
    assert chosen.e164 == OTHER_MOBILE


def test_a_call_without_customer_has_no_recipient() -> None:
    nobody = Record("c1", 0.0, 9.0, steps=(by_number(MOBILE, LookupState.NOT_FOUND),))
    assert GERMANY.choose(nobody) is None


def test_a_channel_that_tracking_no_longer_names_reaches_nobody() -> None:
    """A text message that waits while the operator changes to email must not go to an address."""
    record = replace(call(by_number(MOBILE)), customer=Customer("7", email="ada@example.com"))
    assert Tracking(channel="sms", recipients=GERMANY).address(record, "sms") == MOBILE
    assert Tracking(channel="email").address(record, "sms") is None
    assert Tracking(channel="texts", recipients=GERMANY).address(record, "sms") is None
    assert Tracking(channel="texts", recipients=GERMANY).address(record, "email") is not None


def test_only_numbers_that_begin_as_the_operator_allows_are_written_to() -> None:
    allowed = Recipients(frozenset({"DE"}), prefixes=("+4915", "+4917"))
    assert allowed.refusal(Phone.from_e164("+4915112345678")) is None
    assert allowed.refusal(Phone.from_e164("+4916012345678")) == "prefix"


def test_a_learned_number_is_not_on_file() -> None:
    assert GERMANY.choose(call(by_number(MOBILE))) == Phone.from_e164(MOBILE)
    assert GERMANY.choose(call(LEARNED)) is None
    assert GERMANY.choose(call(LEARNED, phones=(OTHER_MOBILE,))) == Phone.from_e164(OTHER_MOBILE)

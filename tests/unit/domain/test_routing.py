"""Where a call should go, row by row of the contract's table."""

from __future__ import annotations

import pytest

from broker.domain.customer import Customer, LookupState
from broker.domain.routing import Route, Routing

S, R = LookupState, Route


@pytest.mark.parametrize(
    ("premium", "email", "track_id", "route"),
    [
        (True, "ada@example.com", "T1", R.PREMIUM),
        (True, None, None, R.PREMIUM),
        (False, "ada@example.com", "T1", R.SELF_SERVICE),
        (False, None, "T1", R.STANDARD),
        (False, "ada@example.com", None, R.STANDARD),
        (False, "", "T1", R.STANDARD),
        (None, "ada@example.com", "T1", R.STANDARD),
        (None, None, None, R.STANDARD),
    ],
)
def test_a_customer_goes_where_his_tier_and_his_order_say(
    premium: bool | None, email: str | None, track_id: str | None, route: Route
) -> None:
    customer = Customer("1", email=email, premium=premium, track_id=track_id)
    assert Routing().found(customer) is route


@pytest.mark.parametrize(
    ("state", "route", "without_reference"),
    [
        (S.NOT_FOUND, R.REFERENCE, R.STANDARD),
        (S.AMBIGUOUS, R.REFERENCE, R.STANDARD),
        (S.WITHHELD, R.REFERENCE, R.STANDARD),
        (S.TIMEOUT, R.REFERENCE, R.STANDARD),
        (S.ERROR, R.STANDARD, R.STANDARD),
    ],
)
def test_a_number_that_led_to_nobody_is_asked_for_a_reference_if_that_can_help(
    state: LookupState, route: Route, without_reference: Route
) -> None:
    assert Routing().number_failed(state) is route
    assert Routing(reference_enabled=False).number_failed(state) is without_reference


@pytest.mark.parametrize(
    ("state", "tries", "route"),
    [
        (S.NOT_FOUND, 1, R.REFERENCE),
        (S.NOT_FOUND, 2, R.REFERENCE),
        (S.NOT_FOUND, 3, R.STANDARD),
        (S.NOT_FOUND, 4, R.STANDARD),
        (S.AMBIGUOUS, 1, R.STANDARD),
        (S.TIMEOUT, 1, R.STANDARD),
        (S.ERROR, 1, R.STANDARD),
    ],
)
def test_a_reference_that_led_to_nobody_may_be_typed_again_while_tries_are_left(
    state: LookupState, tries: int, route: Route
) -> None:
    assert Routing(tries_per_call=3).reference_failed(state, tries) is route

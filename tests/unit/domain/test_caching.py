"""Which answers are young enough to be told again, as a whole or in part."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import get_args

import pytest

from broker.domain.caching import AGING, CacheRules
from broker.domain.customer import Customer
from broker.settings.models import CachedField

DAY = 86_400.0
RULES = CacheRules(60.0, 10.0, {"premium": DAY, "email": DAY, "name": 3600.0})
ADA = Customer("c1", email="ada@example.com", premium=False, track_id="T-1", name="Ada")
BOB = Customer("c2", premium=True)


@pytest.mark.parametrize(
    ("customers", "age_s", "fresh"),
    [
        ((ADA,), 59.9, True),
        ((ADA,), 60.0, False),
        ((), 9.9, True),
        ((), 10.0, False),
        ((ADA, BOB), 9.9, True),
        ((ADA, BOB), 10.0, False),
    ],
)
def test_one_customer_is_told_for_longer_than_nobody_or_several(
    customers: tuple[Customer, ...], age_s: float, fresh: bool
) -> None:
    assert RULES.fresh(customers, age_s) is fresh


@pytest.mark.parametrize(("customers", "keep_s"), [((ADA,), DAY), ((), 10.0), ((ADA, BOB), 10.0)])
def test_an_answer_is_kept_as_long_as_anything_in_it_is_of_use(
    customers: tuple[Customer, ...], keep_s: float
) -> None:
    assert RULES.keep_s(customers) == keep_s
    assert CacheRules(60.0, 10.0).keep_s((ADA,)) == 60.0


def test_a_customer_without_anything_too_old_is_complete() -> None:
    assert RULES.complete((BOB,), DAY - 1)
    assert not RULES.complete((BOB,), DAY)
    assert RULES.complete((ADA,), 59.0)
    assert not RULES.complete((ADA,), 60.0), "of his track id nothing is said"
    assert not RULES.complete((), 5.0)
    assert not RULES.complete((ADA, BOB), 5.0)


def test_what_a_customer_did_not_have_ages_too_unless_he_is_premium() -> None:
    """He may have ordered since, and would be sent to self service."""
    without_order = replace(ADA, track_id=None, name=None)
    assert RULES.complete((without_order,), 59.0)
    assert not RULES.complete((without_order,), 60.0)
    assert not RULES.complete((replace(without_order, premium=None),), 60.0)
    assert RULES.complete((replace(without_order, premium=True),), 60.0)
    assert CacheRules(60.0, 10.0, {**RULES.fields, "track_id": DAY}).complete((without_order,), 60)


def test_what_is_too_old_is_left_out_of_the_rest() -> None:
    assert RULES.rest((ADA,), 100.0) == (
        Customer("c1", email="ada@example.com", premium=False, name="Ada"),
    )
    assert RULES.rest((ADA,), 3600.0) == (Customer("c1", email="ada@example.com", premium=False),)


def test_a_rest_that_tells_neither_premium_nor_address_is_none() -> None:
    assert RULES.rest((ADA,), DAY) == ()
    assert RULES.rest((Customer("c3", name="Cy"),), 100.0) == ()
    assert CacheRules(60.0, 10.0, {"name": DAY}).rest((ADA,), 100.0) == ()


def test_nobody_and_several_have_no_rest() -> None:
    assert RULES.rest((), 20.0) == ()
    assert RULES.rest((ADA, BOB), 20.0) == ()


def test_every_field_but_the_id_has_an_age_that_can_be_set() -> None:
    """An unmapped tier is never told, only counted."""
    assert {f.name for f in fields(Customer)} - {"id", "unmapped_tier"} == AGING
    assert set(get_args(CachedField)) == AGING

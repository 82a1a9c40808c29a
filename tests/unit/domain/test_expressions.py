"""Conditions over one record's values: true, false, or open because a value is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.expressions import MOST_CHARACTERS, Expression

if TYPE_CHECKING:
    from decimal import Decimal

    from broker.domain.expressions import Truth

RECORD = {
    "tier": " Gold ",
    "spend": "1200.50",
    "orders": 3,
    "returns": 0,
    "vip": True,
    "blocked": False,
    "empty": "",
    "blank": " ",
    "word": "many",
    "tiers": ["gold"],
    "company": {"tier": "gold"},
    "account.tier": "platinum",
    "Customer Type": "Key account",
}


def of(text: str) -> Truth:
    return Expression.parse(text).of(RECORD.get)


@pytest.mark.parametrize(
    "text",
    [
        'tier == "gold"',
        'tier != "silver"',
        'tier in ["gold", "platinum"]',
        'tier in ("gold", "platinum")',
        'tier in {"gold"}',
        'tier not in ["silver"]',
        "spend >= 1200.5",
        "spend > 1200",
        "spend < 1201",
        "spend <= 1200.50",
        "spend > -1",
        "returns > -1",
        "spend == 1200.5",
        "orders == 3",
        'orders == "3"',
        "orders in [1, 2, 3]",
        "vip",
        "vip == True",
        "not blocked",
        "blocked == False",
        "blocked != True",
        'account.tier == "PLATINUM"',
        'field("Customer Type") == "key account"',
        'tier == "silver" or spend >= 1000',
        'tier == "gold" and (orders > 5 or vip)',
        "not (orders > 5)",
        "not missing or vip",
    ],
)
def test_what_is_so_is_true(text: str) -> None:
    assert of(text) is True


@pytest.mark.parametrize(
    "text",
    [
        'tier == "gold plus"',
        'tier in ["silver"]',
        'tier != "gold"',
        "spend > 1200.5",
        "orders < 3",
        "orders == 3.5",
        "not vip",
        "vip == False",
        "vip and blocked",
        "missing and blocked",
        "word == 5",
        "vip == 1",
        "orders == True",
    ],
)
def test_what_is_not_so_is_false(text: str) -> None:
    assert of(text) is False


@pytest.mark.parametrize(
    "text",
    [
        "missing",
        "missing > 5",
        'missing == "gold"',
        'missing != "gold"',
        'missing not in ["gold"]',
        'empty == "gold"',
        'blank != "gold"',
        'tiers != "gold"',
        'tiers not in ["gold"]',
        'company != "gold"',
        "tiers == 5",
        "word > 5",
        "vip > 0",
        "tier",
        "not missing",
        "missing and vip",
        "missing or blocked",
    ],
)
def test_what_a_missing_value_leaves_open_is_never_guessed(text: str) -> None:
    assert of(text) is None


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('tier == "gold" or account.spend > 1', {"tier", "account.spend"}),
        ('field("Customer Type") in ["a"] and not vip', {"Customer Type", "vip"}),
    ],
)
def test_every_place_that_is_looked_at_is_known(text: str, names: set[str]) -> None:
    assert Expression.parse(text).names == names


@pytest.mark.parametrize(
    ("text", "truths"),
    [
        ("vip", {"vip"}),
        ("not vip and tier == 'gold'", {"vip"}),
        ("vip == True or blocked != False", {"vip", "blocked"}),
        ("tier in ['gold', True]", {"tier"}),
        ("spend >= 1000 or tier in ['gold']", set()),
    ],
)
def test_it_tells_which_places_are_true_or_false(text: str, truths: set[str]) -> None:
    assert Expression.parse(text).truths == truths


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tier ==",
        "True",
        "1 == 1",
        '"gold" == tier',
        "tier == None",
        "tier == other",
        'tier > "gold"',
        'tier in "gold"',
        "tier in []",
        "tier is True",
        "1 < spend < 5",
        "spend > 5 > 1",
        "spend + 1 > 5",
        "spend > -True",
        'tier == -"gold"',
        "tier == 1j",
        'tier == b"gold"',
        'tier == f"{spend}"',
        "tier[0]",
        "tier()",
        'field("a", "b")',
        'field(name="a")',
        'field("a", name="b")',
        "field(a)",
        'other("a")',
        "[vip for vip in tier]",
        "lambda: vip",
        "(vip := True)",
        "vip if vip else vip",
        '__import__("os").system("true")',
        "tier; vip",
        "\0",
        "\ud800",
        "(" * 300 + "vip" + ")" * 300,
        "not " * 150 + "vip",
    ],
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="the expression "):
        Expression.parse(text)


def test_a_condition_has_a_longest_length() -> None:
    assert Expression.parse("vip".ljust(MOST_CHARACTERS)).names == {"vip"}
    with pytest.raises(ValueError, match="longer than"):
        Expression.parse("vip".ljust(MOST_CHARACTERS + 1))


@given(st.text())
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    try:
        Expression.parse(text)
    except ValueError:
        return


VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.decimals() | st.floats()
ANY = VALUES | st.lists(VALUES) | st.dictionaries(st.text(), VALUES)


@given(ANY)
def test_whatever_a_record_holds_gives_an_answer(value: object) -> None:
    for text in ('x == "gold"', "x != 5", "x in [1, 2]", "x > 5", "x", "x == True"):
        assert Expression.parse(text).of({"x": value}.get) in {True, False, None}


@given(st.integers() | st.decimals(allow_nan=False, allow_infinity=False))
def test_a_number_means_the_same_as_text(number: Decimal | int) -> None:
    for text in ("x > 5", "x <= 5", "x == 5"):
        expression = Expression.parse(text)
        assert expression.of({"x": number}.get) is expression.of({"x": f" {number} "}.get)


@given(VALUES, VALUES)
def test_not_and_or_keep_the_laws(one: object, other: object) -> None:
    get = {"a": one, "b": other}.get
    assert Expression.parse("not (a > 1 and b > 1)").of(get) is Expression.parse(
        "not a > 1 or not b > 1"
    ).of(get)

"""How a CRM's own word for a tier becomes premium, standard or unknown."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from broker.domain.premium import PremiumRule

TIERS = PremiumRule.model_validate(
    {"field": "tier", "premium": ["Gold", "platinum", 3], "standard": ["basic", "false"]}
)


@pytest.mark.parametrize("raw", ["gold", " GOLD\n", "Platinum", 3, "3"])
def test_a_listed_tier_is_premium_however_it_is_spelled(raw: object) -> None:
    assert TIERS.of(raw) is True


@pytest.mark.parametrize("raw", ["basic", "BASIC ", False])
def test_a_tier_listed_as_standard_is_not_premium(raw: object) -> None:
    assert TIERS.of(raw) is False


@pytest.mark.parametrize("raw", [None, "", "silver", "gold plus", 1, 3.0, True, [], ["gold"], {}])
def test_a_tier_nobody_mapped_is_unknown(raw: object) -> None:
    assert TIERS.of(raw) is None


@pytest.mark.parametrize("raw", [True, False])
def test_without_lists_a_boolean_means_itself(raw: bool) -> None:
    assert PremiumRule(field="vip").of(raw) is raw


@pytest.mark.parametrize("raw", ["true", "false", "yes", 1, 0, "1", None, "", {}])
def test_without_lists_nothing_but_a_boolean_counts(raw: object) -> None:
    assert PremiumRule(field="vip").of(raw) is None


@pytest.mark.parametrize(
    "rule",
    [
        {"field": "tier", "premium": ["gold"], "standard": [" Gold"]},
        {"field": "tier", "premium": "gold"},
        {"field": "tier", "premium": [""]},
        {"field": "tier", "premium": [1.5]},
        {"field": "tier", "premuim": ["gold"]},
        {"field": ""},
        {"premium": ["gold"]},
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(rule: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PremiumRule.model_validate(rule)


@pytest.mark.parametrize(
    ("tags", "premium"),
    [
        (["newsletter", " VIP "], True),
        (["newsletter"], False),
        ([], False),
        (None, None),
    ],
)
def test_who_has_one_of_the_tags_is_premium_and_who_has_none_is_standard(
    tags: list[str] | None, premium: bool | None
) -> None:
    rule = PremiumRule.model_validate({"tags": ["vip", "Key Account"]})
    assert rule.decide({"tags": "vip"}.get, tags) is premium
    assert rule.places == ()


@pytest.mark.parametrize(
    ("record", "premium"),
    [
        ({"tier": "gold", "spend": 0}, True),
        ({"tier": "basic", "spend": "1000"}, True),
        ({"tier": "basic", "spend": 1}, False),
        ({"tier": "basic"}, None),
        ({}, None),
    ],
)
def test_an_expression_decides_unless_a_value_is_missing(
    record: dict[str, object], premium: bool | None
) -> None:
    rule = PremiumRule(expression='tier == "gold" or spend >= 1000')
    assert rule.decide(record.get) is premium
    assert rule.places == ("spend", "tier")


@pytest.mark.parametrize(("tier", "premium"), [("gold", True), ("basic", False), ("new", None)])
def test_a_field_is_read_where_the_crm_keeps_it(tier: str, premium: bool | None) -> None:
    assert TIERS.decide({"tier": tier}.get) is premium
    assert TIERS.places == ("tier",)


@pytest.mark.parametrize(
    ("raw", "unmapped"),
    [("Silver ", "silver"), (5, "5"), ("gold", None), ("basic", None), ("", None), (None, None)],
)
def test_a_tier_that_nobody_mapped_can_be_named(raw: object, unmapped: str | None) -> None:
    assert TIERS.unmapped({"tier": raw}.get) == unmapped


@pytest.mark.parametrize(
    "rule", [{"tags": ["vip"]}, {"expression": "spend > 1"}], ids=["tags", "expression"]
)
def test_only_a_field_has_tiers_to_be_mapped(rule: dict[str, object]) -> None:
    assert PremiumRule.model_validate(rule).unmapped({"tier": "new", "spend": "x"}.get) is None


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"tags": []},
        {"tags": "vip"},
        {"tags": [" "]},
        {"field": "tier", "tags": ["vip"]},
        {"field": "tier", "expression": "vip"},
        {"tags": ["vip"], "expression": "vip"},
        {"tags": ["vip"], "premium": ["gold"]},
        {"expression": "vip", "standard": ["basic"]},
        {"expression": ""},
        {"expression": "vip ="},
    ],
)
def test_a_rule_has_one_form(rule: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PremiumRule.model_validate(rule)

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

"""What stands in the call session, under which names."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from broker.domain.customer import Customer, LookupState
from broker.domain.record import NUMBER
from broker.domain.variables import Variables, default_name

if TYPE_CHECKING:
    from tests.unit.domain.conftest import Story

BEA = Customer(
    "77",
    email="bea@example.com",
    premium=True,
    track_id="T7",
    name="Bea",
    language="de",
    extra={"city": "Köln", "note": "x" * 300},
)


def session(story: Story, variables: Variables | None = None) -> dict[str, str | bool | int]:
    return (variables or Variables()).of(story.record)


def test_a_customer_is_shown_with_email_tier_and_order(story: Story) -> None:
    story.number()
    story.found(NUMBER, BEA)
    shown = session(story)
    assert shown == {
        "ivr.email": "bea@example.com",
        "ivr.premium": True,
        "ivr.track_id": "T7",
        "ivr.lookup": "found",
        "ivr.route": "premium",
    }
    assert type(shown["ivr.premium"]) is bool


@pytest.mark.parametrize(
    ("customer", "absent"),
    [
        (replace(BEA, premium=None), "ivr.premium"),
        (replace(BEA, email=None), "ivr.email"),
        (replace(BEA, track_id=None), "ivr.track_id"),
    ],
)
def test_a_value_that_does_not_exist_is_left_out(
    story: Story, customer: Customer, absent: str
) -> None:
    story.number()
    story.found(NUMBER, customer)
    assert absent not in session(story)
    assert len(session(story)) == 4


def test_a_premium_of_false_is_a_value(story: Story) -> None:
    story.number()
    story.found(NUMBER, story.bob)
    assert session(story)["ivr.premium"] is False


@pytest.mark.parametrize(
    ("state", "route"),
    [
        (LookupState.NOT_FOUND, "reference"),
        (LookupState.AMBIGUOUS, "reference"),
        (LookupState.TIMEOUT, "reference"),
        (LookupState.ERROR, "standard"),
    ],
)
def test_without_a_customer_only_the_lookup_is_shown(
    story: Story, state: LookupState, route: str
) -> None:
    story.number()
    story.failed(NUMBER, state)
    assert session(story) == {"ivr.lookup": state, "ivr.route": route}


def test_nothing_is_shown_before_a_step_is_decided(story: Story) -> None:
    assert session(story.number()) == {}


def test_the_latest_step_is_shown(story: Story) -> None:
    story.number()
    story.failed(NUMBER)
    story.failed(story.reference("0000001"))
    story.failed(story.reference("0000002"), LookupState.ERROR)
    story.reference("0000003")
    assert session(story) == {"ivr.lookup": "error", "ivr.route": "standard"}


def test_an_older_lookup_does_not_hide_a_newer_one(story: Story) -> None:
    story.number()
    story.failed(story.reference(), LookupState.ERROR)
    story.failed(NUMBER)
    assert session(story) == {"ivr.lookup": "error", "ivr.route": "standard"}


def test_a_failed_reference_discards_nothing(story: Story) -> None:
    story.number()
    story.found(NUMBER, story.ada)
    before = session(story)
    story.failed(story.reference())
    assert session(story) == before


def test_a_reference_of_somebody_else_is_shown_as_ambiguous_and_adds_nothing_of_his(
    story: Story,
) -> None:
    story.number()
    story.found(NUMBER, story.ada)
    story.found(story.reference(), story.bob)
    shown = session(story, Variables.configured({"name": True, "customer_id": True}))
    assert (shown["ivr.lookup"], shown["ivr.route"]) == ("ambiguous", "standard")
    assert (shown["ivr.email"], shown["ivr.name"]) == (story.ada.email, story.ada.name)
    assert shown["ivr.customer_id"] == story.ada.id


def test_an_operator_adds_renames_and_drops_variables(story: Story) -> None:
    variables = Variables.configured(
        {
            "email": "crm.mail",
            "track_id": False,
            "name": True,
            "language": "ivr.lang",
            "customer_id": True,
            "extra.city": True,
            "lookup_ms": True,
            "lookup_source": True,
            "premium": True,
        }
    )
    story.number()
    story.found(NUMBER, BEA)
    assert session(story, variables) == {
        "crm.mail": "bea@example.com",
        "ivr.premium": True,
        "ivr.name": "Bea",
        "ivr.lang": "de",
        "ivr.customer_id": "77",
        "ivr.city": "Köln",
        "ivr.lookup": "found",
        "ivr.route": "premium",
        "ivr.lookup_ms": 12,
        "ivr.lookup_source": "shop",
    }


def test_a_text_is_no_longer_than_a_session_variable_may_be(story: Story) -> None:
    story.number()
    story.found(NUMBER, BEA)
    shown = session(story, Variables.configured({"extra.note": True}))
    assert shown["ivr.note"] == "x" * 256


@pytest.mark.parametrize("source", ["phones", "tags", "push_tokens", "extra", "extra.nothing"])
def test_what_is_no_single_value_is_left_out(story: Story, source: str) -> None:
    story.number()
    story.found(NUMBER, BEA)
    assert session(story, Variables.configured({source: "ivr.x"})) == session(story)


def test_dropped_variables_are_never_written_not_even_without_the_ledger(story: Story) -> None:
    story.number()
    story.failed(NUMBER)
    variables = Variables.configured({"lookup": False, "route": "flow.route"})
    assert session(story, variables) == {"flow.route": "reference"}
    assert variables.fallback("timeout", "standard") == {"flow.route": "standard"}


def test_without_the_ledger_only_the_lookup_is_shown() -> None:
    shown = Variables().fallback("timeout", "reference")
    assert shown == {"ivr.lookup": "timeout", "ivr.route": "reference"}


def test_every_variable_has_a_default_name_of_ours() -> None:
    assert default_name("lookup_ms") == "ivr.lookup_ms"
    assert default_name("extra.city") == "ivr.city"

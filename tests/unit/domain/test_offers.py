"""Who is offered a channel: one rule of each kind, and how several work together."""

from __future__ import annotations

import random
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from broker.domain.by_number import ByNumber
from broker.domain.conditions import When, at_least
from broker.domain.hours import Hours
from broker.domain.offers import Rule, Rules
from broker.domain.record import Offered
from broker.domain.situation import Situation, share_point

MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
NIGHT = datetime(2026, 11, 23, 22, 0, tzinfo=UTC)
QUIET = Situation(now=MONDAY, channels=("sms", "whatsapp"))
"""Nothing is known but the time."""
OFFICE_HOURS = Hours.parse("Mo-Fr 08:00-18:00", ZoneInfo("Europe/Berlin"))
OFFICE = ByNumber({}, OFFICE_HOURS)


def rule(name: str = "it", **of: Any) -> Rule:
    """An offering rule; the keys of `When`, and those of `Rule` where it has one."""
    own = {key: of.pop(key) for key in tuple(of) if key in Rule.__slots__}
    made: dict[str, Any] = {"offers": True, "conditions": When(**of).conditions(), **own}
    return Rule(name, **made)


def decided(rule_or_rules: Rule | Rules, **seen: Any) -> Offered:
    rules = Rules((rule_or_rules,)) if isinstance(rule_or_rules, Rule) else rule_or_rules
    return rules.decide(replace(QUIET, **seen))


@pytest.mark.parametrize(
    ("asked", "fits", "does_not"),
    [
        # the branch (L9)
        ({"branch": ("billing", "Orders")}, {"branch": " ORDERS "}, {"branch": "sales"}),
        # the reason (R3, K15)
        ({"reason": ("invoice",)}, {"reason": "Invoice"}, {"reason": "complaint"}),
        # the expected wait (K4)
        ({"min_ewt_seconds": 120}, {"ewt_seconds": 120.0}, {"ewt_seconds": 119.9}),
        # as R4 has it: free agents
        ({"max_agents_available": 1}, {"agents_available": 1}, {"agents_available": 2}),
        # the first call in 48 h (K8)
        ({"first_call": True}, {"first_call": True}, {"first_call": False}),
        ({"first_call": False}, {"first_call": False}, {"first_call": True}),
        # the called number (K9)
        ({"called": ("+4930", "+44")}, {"called": "+442012"}, {"called": "+498912"}),
        # the customer (K10, R10)
        ({"premium": True}, {"premium": True}, {"premium": False}),
        ({"premium": False}, {"premium": False}, {"premium": True}),
        ({"tags": ("vip", "B2B")}, {"tags": ("x", "b2b")}, {"tags": ("x",)}),
        ({"preferred_channel": ("sms",)}, {"preferred_channel": "SMS"}, {"preferred_channel": "x"}),
        ({"deflected_before": False}, {"deflected_before": False}, {"deflected_before": True}),
        # the country of the caller (R11)
        ({"caller": ("+49",)}, {"caller": "+4915112345678"}, {"caller": "+33612345678"}),
        # as R18 has it: a peak
        ({"min_calls_now": 50}, {"calls_now": 50}, {"calls_now": 49}),
        # a trial
        ({"share": 0.25}, {"share_point": 0.2499}, {"share_point": 0.25}),
        # opening hours (K7, R18)
        ({"open": True, "hours": OFFICE}, {"now": MONDAY}, {"now": NIGHT}),
        ({"open": False, "hours": OFFICE}, {"now": NIGHT}, {"now": MONDAY}),
        ({"open": False}, {"open": False}, {"open": True}),
    ],
)
def test_a_condition_holds_or_does_not(
    asked: dict[str, Any], fits: dict[str, Any], does_not: dict[str, Any]
) -> None:
    assert decided(rule(**asked), **fits).offer
    assert decided(rule(**asked), **does_not).rule == "no_rule"


@pytest.mark.parametrize(
    "asked",
    [
        {"branch": ("billing",)},
        {"reason": ("invoice",)},
        {"min_ewt_seconds": 0},
        {"max_agents_available": 99},
        {"first_call": False},
        {"called": ("+49",)},
        {"caller": ("+49",)},
        {"premium": False},
        {"tags": ("vip",)},
        {"preferred_channel": ("sms",)},
        {"deflected_before": False},
        {"min_calls_now": 0},
        {"open": True},
        {"open": False},
        {"open": False, "hours": ByNumber()},
    ],
)
def test_no_condition_holds_on_what_nobody_knows(asked: dict[str, Any]) -> None:
    assert decided(rule(**asked)).rule == "no_rule"


def test_every_condition_of_a_rule_is_asked_for() -> None:
    """Also by whoever adds one: each key of `When` makes a condition of its own."""
    values: dict[str, Any] = {
        "open": True,
        "premium": True,
        "first_call": True,
        "deflected_before": True,
        "min_ewt_seconds": 1,
        "max_agents_available": 1,
        "min_calls_now": 1,
        "share": 0.5,
    }
    keys = {field.name for field in fields(When)} - {"hours"}
    for key in keys:
        made = When(**{key: values.get(key, ("x",))}).conditions()
        assert [condition.key for condition in made] == [key]


def test_all_conditions_of_a_rule_have_to_hold() -> None:
    both = rule(premium=False, min_ewt_seconds=60)
    assert decided(both, premium=False, ewt_seconds=60).offer
    assert not decided(both, premium=False, ewt_seconds=59).offer
    assert not decided(both, premium=True, ewt_seconds=60).offer


def test_a_rule_without_conditions_offers_to_every_call() -> None:
    assert decided(rule("all")) == Offered(
        offer=True, rule="all", channels=("sms", "whatsapp"), text=None
    )


def test_the_first_rule_that_fits_decides() -> None:
    rules = Rules((rule("vip", premium=True, offers=False), rule("all")))
    assert decided(rules, premium=True) == Offered(offer=False, rule="vip")
    assert decided(rules, premium=None).rule == "all"


def test_without_rules_nothing_is_offered() -> None:
    assert decided(Rules()) == Offered(offer=False, rule="no_rule")


def test_the_lines_own_hours_go_before_the_word_of_the_platform() -> None:
    closed = rule(open=False, hours=ByNumber({"+49": OFFICE_HOURS}))
    assert not decided(closed, called="+4930", now=MONDAY, open=False).offer
    assert decided(closed, called="+4420", now=MONDAY, open=False).offer


def test_an_offer_is_never_the_first_thing_that_a_caller_hears() -> None:
    late = rule("late", heard_enough=at_least("min_prompts_heard", 2))
    assert decided(late, prompts_heard=1) == Offered(offer=False, rule="first_action")
    assert decided(late, prompts_heard=2).rule == "late"
    assert decided(replace(late, conditions=When(premium=True).conditions())).rule == "no_rule"


def test_a_later_rule_may_decide_where_an_earlier_one_is_too_early() -> None:
    rules = Rules((rule("late", heard_enough=at_least("min_prompts_heard", 1)), rule("at-once")))
    assert decided(rules).rule == "at-once"
    assert decided(rules, prompts_heard=1).rule == "late"


def test_some_reasons_are_never_deflected() -> None:
    rules = Rules((rule(),), never_reasons=frozenset({"fraud"}))
    assert decided(rules, reason=" Fraud ") == Offered(offer=False, rule="never_reason")
    assert decided(rules, reason="invoice").offer


def test_only_messaging_is_left_when_a_rule_forces_it() -> None:
    offer = decided(rule("night", forced=True))
    assert (offer.offer, offer.forced) == (True, True)


def test_nobody_is_forced_to_a_channel_that_does_not_reach_him() -> None:
    night = rule("night", forced=True, channels=("push",))
    assert decided(night) == Offered(offer=False, rule="no_channel")
    assert decided(rule(), channels=()) == Offered(offer=False, rule="no_channel")


def test_channels_come_in_the_order_of_the_rule_else_of_all_rules_else_as_they_are() -> None:
    assert decided(rule()).channels == ("sms", "whatsapp")
    general = Rules((rule(),), channels=("whatsapp", "push", "sms"))
    assert decided(general).channels == ("whatsapp", "sms")
    own = Rules((rule(channels=("sms", "whatsapp")),), channels=("whatsapp",))
    assert decided(own).channels == ("sms", "whatsapp")


def test_the_customers_own_channel_comes_first_if_the_rule_has_it() -> None:
    of_rule = rule(channels=("sms", "whatsapp"))
    assert decided(of_rule, preferred_channel="WhatsApp").channels == ("whatsapp", "sms")
    assert decided(of_rule, preferred_channel="email").channels == ("sms", "whatsapp")
    only = rule(channels=("sms",))
    assert decided(only, preferred_channel="whatsapp").channels == ("sms",)


@pytest.mark.parametrize(
    ("seconds", "minutes"), [(0, 1), (59, 1), (60, 1), (61, 2), (600, 10), (601.5, 11)]
)
def test_the_text_tells_the_wait_in_whole_minutes(seconds: float, minutes: int) -> None:
    waiting = rule(min_ewt_seconds=0, texts={"en": "{minutes} minutes"})
    assert decided(waiting, ewt_seconds=seconds).text == f"{minutes} minutes"


@pytest.mark.parametrize(
    ("language", "called", "text"),
    [
        ("en", None, "hello"),
        ("de-AT", None, "servus"),
        ("en_GB", None, "hello"),
        ("DE_de", None, "hallo"),
        ("fr", "+44", "hello"),
        (None, "+44", "hello"),
        ("fr", None, "hallo"),
        (None, None, "hallo"),
    ],
)
def test_the_text_is_in_the_language_of_the_customer_else_of_the_line(
    language: str | None, called: str | None, text: str
) -> None:
    texts = {"de": "hallo", "de-at": "servus", "en": "hello"}
    rules = Rules((rule(texts=texts),), languages=ByNumber({"+44": "en"}))
    assert decided(rules, language=language, called=called).text == text


def test_the_explanation_names_what_spoke_against_each_rule_up_to_the_one_that_decided() -> None:
    rules = Rules(
        (
            rule("vip", premium=True, min_ewt_seconds=60),
            rule("late", heard_enough=at_least("min_prompts_heard", 1)),
            rule("all"),
            rule("never seen"),
        )
    )
    assert list(rules.explain(replace(QUIET, ewt_seconds=5.0))) == [
        ("vip", ("premium = true, is unknown", "min_ewt_seconds = 60, is 5")),
        ("late", ("min_prompts_heard = 1, is 0",)),
        ("all", ()),
    ]


def test_the_explanation_holds_nothing_of_the_caller() -> None:
    asked = rule(caller=("+49",), tags=("vip",), called=("+1",))
    seen = replace(QUIET, caller="+33612345678", tags=("canary",), called="+493012345")
    told = str(list(Rules((asked,)).explain(seen)))
    assert "33612345678" not in told
    assert "canary" not in told


def test_decision_and_explanation_agree() -> None:
    chance = random.Random(7)  # noqa: S311 - a test
    rules = Rules(
        tuple(
            rule(
                f"r{n}",
                min_ewt_seconds=chance.choice([None, 60]),
                premium=chance.choice([None, True, False]),
                share=chance.choice([None, 0.5]),
                heard_enough=chance.choice([None, at_least("min_prompts_heard", 1)]),
            )
            for n in range(5)
        ),
        never_reasons=frozenset({"fraud"}),
    )
    for _ in range(500):
        situation = replace(
            QUIET,
            ewt_seconds=chance.choice([None, 30.0, 90.0]),
            premium=chance.choice([None, True, False]),
            share_point=chance.random(),
            prompts_heard=chance.choice([0, 1]),
            reason=chance.choice([None, "fraud"]),
        )
        fitting = [name for name, against in rules.explain(situation) if not against]
        offer = rules.decide(situation)
        assert fitting == ([offer.rule] if offer.offer else [])


def test_a_call_has_always_the_same_share_and_calls_are_spread_evenly() -> None:
    points = [share_point(f"call-{n}") for n in range(4000)]
    assert points == [share_point(f"call-{n}") for n in range(4000)]
    assert all(0 <= point < 1 for point in points)
    assert 900 < sum(point < 0.25 for point in points) < 1100

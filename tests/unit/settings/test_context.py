"""`[deflection.context]`, and where links lead: what is named exists, and lives long enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from broker.domain.context import ContextRules
from broker.settings import from_mapping

if TYPE_CHECKING:
    from tests.unit.settings.conftest import FaultsOf, Tables

TEXTS = {"texts": {"en": "{link}"}}
LINKS = {"faq": {"kind": "faq", "url": "https://shop.example/faq"}}


def test_the_rules_are_what_the_file_says(tables: Tables) -> None:
    context = {
        "fields": ["email", "extra.tier"],
        "user": {"nombre": "name"},
        "ticket": {"cola": "data.queue"},
        "max_bytes": 1000,
    }
    settings = from_mapping(tables(deflection={"context": context, "look_back_h": 2}), {})
    user, ticket = {"nombre": "name"}, {"cola": "data.queue"}
    wanted = ContextRules(("email", "extra.tier"), user, ticket, 1000, 7200.0)
    assert settings.policy().deflection.carries == wanted


def test_without_a_word_little_is_told_for_a_day(tables: Tables) -> None:
    assert from_mapping(tables(), {}).policy().deflection.carries == ContextRules(
        ("customer_id", "name", "language"), {}, {}, 4096, 86_400.0
    )


@pytest.mark.parametrize(
    ("deflection", "told"),
    [
        ({"context": {"fields": ["phone"]}}, "deflection.context.fields: there is no phone (known"),
        ({"context": {"fields": ["push_tokens"]}}, "deflection.context.fields: there is no push"),
        ({"context": {"user": {"a": "nme"}}}, "deflection.context.user: there is no nme (known"),
        ({"context": {"ticket": {"a": "id"}}}, "deflection.context.ticket: there is no id (known"),
        ({"context": {"user": {"a b": "name"}}}, "deflection.context.user.a b: must match"),
        ({"context": {"max_bytes": 0}}, "deflection.context.max_bytes: must be greater"),
        (
            {"templates": {"help": TEXTS | {"links": ["faq", "tg"]}}},
            "deflection.templates.help.links: there is no [links.tg] (known: faq)",
        ),
    ],
)
def test_what_cannot_be_told_or_led_to_stops_the_start(
    deflection: dict[str, Any], told: str, faults_of: FaultsOf
) -> None:
    [fault] = faults_of(deflection=deflection, links=LINKS)
    assert fault.startswith(told)


def test_what_exists_and_lives_long_enough_is_fine(faults_of: FaultsOf) -> None:
    deflection = {
        "look_back_h": 48,
        "context": {"fields": ["caller", "extra.tier", "data.queue", "known_by"]},
        "templates": {"help": TEXTS | {"links": ["faq"]}},
    }
    assert faults_of(deflection=deflection, links=LINKS, privacy={"retention_h": 48}) == []

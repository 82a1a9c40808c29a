"""Adereso's request becomes a deflection, and says what of it was not taken over."""

from __future__ import annotations

from typing import Any

import pytest

from broker.domain.adereso import MOST_KEYS, Adereso, Asked, Sender
from broker.domain.call import Numbering
from broker.domain.errors import BadInputError

OURS, HIS = "56976591992", "56976591991"
RULES = Adereso({OURS: Sender("whatsapp", "sender"), "56228409179": Sender()}, "general")


def asked(**more: Any) -> Asked:
    return Asked(**{"business_phone": OURS, "recipient_phone": HIS, **more})


def wished(rules: Adereso = RULES, **more: Any) -> Any:
    return rules.wish("api:ivr", asked(**more))[0]


def test_digits_without_a_plus_are_a_number_with_its_country_code() -> None:
    assert wished().to == "+56976591991"


def test_a_national_number_is_read_in_the_configured_region() -> None:
    rules = Adereso({OURS: Sender()}, numbering=Numbering("CL", bare="national"))
    assert wished(rules, recipient_phone="976591991").to == "+56976591991"
    assert wished(rules).to == "+56976591991", "also where bare numbers are national"


def test_what_is_no_number_stays_as_it_is_to_be_refused_later() -> None:
    assert wished(recipient_phone="12").to == "12"


@pytest.mark.parametrize("spelled", ["+56976591992", "0056976591992", "+56 9 7659-1992"])
def test_a_sender_is_known_in_every_spelling(spelled: str) -> None:
    assert wished(business_phone=spelled).channel == "whatsapp"


@pytest.mark.parametrize("number", ["56976591993", "976591992", "nobody", ""])
def test_another_sender_is_not_allowed(number: str) -> None:
    with pytest.raises(BadInputError) as refused:
        wished(business_phone=number)
    assert refused.value.code == "sender_not_allowed"


def test_the_template_is_the_wished_one_else_the_senders_else_the_general_one() -> None:
    assert wished(template_name="billing").template == "billing"
    assert wished().template == "sender"
    assert wished(business_phone="56228409179").template == "general"
    assert wished(Adereso({OURS: Sender()})).template is None


def test_metadata_and_team_travel_along() -> None:
    metadata = {"user": {"plan": "gold", "age": 41}, "ticket": {"urgent": True}}
    wish, warnings = RULES.wish("api:ivr", asked(metadata=metadata, team_id="1234"))
    assert wish.context == {
        "user.plan": "gold",
        "user.age": "41",
        "ticket.urgent": "true",
        "team_id": "1234",
    }
    assert warnings == []


@pytest.mark.parametrize(
    ("metadata", "warning"),
    [
        ({"user": {"unheard": "x"}}, "metadata.user.unheard is not configured"),
        ({"user": {"plan": ["a"]}}, "metadata.user.plan is no text"),
        ({"user": {"plan": "\x00"}}, "metadata.user.plan is no text"),
        ({"order": {"plan": "x"}}, "metadata.order.plan is neither in user nor in ticket"),
        ({"user": "x"}, "metadata.user is neither in user nor in ticket"),
        ({"user": {"a b": "x"}}, "metadata: a key is none of A-Z a-z 0-9 _ . -, or too long"),
        ({"user": {"k" * 60: "x"}}, "metadata: a key is none of A-Z a-z 0-9 _ . -, or too long"),
    ],
)
def test_what_is_not_taken_over_is_said(metadata: Any, warning: str) -> None:
    rules = Adereso({OURS: Sender()}, keys=frozenset({"user.plan"}))
    wish, warnings = rules.wish("api:ivr", asked(metadata=metadata))
    assert warnings == [warning]
    assert wish.context == {}


@pytest.mark.parametrize("metadata", [None, [], "text", {"user": {"plan": None, "tier": ""}}])
def test_what_is_absent_is_no_warning(metadata: Any) -> None:
    wish, warnings = RULES.wish("api:ivr", asked(metadata=metadata))
    assert (dict(wish.context), warnings) == ({}, [])


def test_more_keys_than_a_message_carries_are_said_one_by_one() -> None:
    many = {f"k{n}": "x" for n in range(MOST_KEYS + 2)}
    wish, warnings = RULES.wish("api:ivr", asked(metadata={"user": many}))
    assert (len(wish.context), len(warnings)) == (MOST_KEYS, 2)

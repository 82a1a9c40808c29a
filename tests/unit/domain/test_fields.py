"""Raw values of a CRM, of whatever type, become a Customer."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest
from pydantic import ValidationError

from broker.domain.call import Reference
from broker.domain.customer import Customer
from broker.domain.errors import PermanentError
from broker.domain.fields import Fields, text_of, texts_of
from broker.domain.premium import PremiumRule

RULE = PremiumRule(field="tier", premium=frozenset({"gold"}), standard=frozenset({"basic"}))


def test_a_record_with_the_default_names_needs_no_map() -> None:
    record = {
        "id": 7,
        "email": " ada@example.com ",
        "track_id": "T1",
        "name": "Ada",
        "language": "en",
        "phones": ["+493023125001", "", None],
        "phone": "+493023125002; +493023125001",
        "tier": "gold",
        "city": "London",
    }
    assert Fields().customer(record.get, RULE) == Customer(
        id="7",
        email="ada@example.com",
        premium=True,
        track_id="T1",
        phones=("+493023125001", "+493023125002"),
        name="Ada",
        language="en",
    )


def test_what_a_crm_calls_otherwise_is_named() -> None:
    fields = Fields.model_validate(
        {"id": "no", "phones": "tel", "extra": {"city": "town", "zip": "zip", "flag": "flag"}}
    )
    record = {"no": "1", "tel": "+493023125001", "town": " Bonn", "zip": "", "flag": True}
    customer = fields.customer(record.get)
    assert customer.phones == ("+493023125001",)
    assert customer.extra == {"city": "Bonn", "flag": "true"}


@pytest.mark.parametrize("identity", [None, "", "  ", 1e20, ["1"], {"id": "1"}])
def test_a_record_without_usable_id_is_refused(identity: object) -> None:
    with pytest.raises(PermanentError):
        Fields().customer({"id": identity}.get)


@pytest.mark.parametrize(("tier", "premium"), [("Gold ", True), ("basic", False), ("new", None)])
def test_the_tier_goes_through_the_premium_rule(tier: str, premium: bool | None) -> None:
    assert Fields().customer({"id": "1", "tier": tier}.get, RULE).premium is premium


def test_without_a_rule_nobody_knows_who_is_premium() -> None:
    assert Fields().customer({"id": "1", "premium": True}.get).premium is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (" a ", "a"),
        (0, "0"),
        (True, "true"),
        (False, "false"),
        (Decimal("12.50"), "12.50"),
        (date(2026, 11, 21), "2026-11-21"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ("", None),
        (" ", None),
        (None, None),
        (18446744073709551616.0, None),  # 2**64 in JSON: the last digits are lost
        ([], None),
        ({"a": 1}, None),
        (b"a", None),
    ],
)
def test_a_scalar_is_text_and_anything_else_is_absent(value: object, text: str | None) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ("a; b;;", ("a", "b")),
        (["a", 1, None, ["x"]], ("a", "1")),
        (493023125001, ("493023125001",)),
        (None, ()),
        ({}, ()),
    ],
)
def test_several_texts_are_a_list_or_separated_by_semicolons(
    value: object, texts: tuple[str, ...]
) -> None:
    assert texts_of(value) == texts


@pytest.mark.parametrize("options", [{"id": ""}, {"phones": [""]}, {"mail": "email"}])
def test_a_field_that_cannot_be_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Fields.model_validate(options)


@pytest.mark.parametrize("field", ["email", "track_id", "language", "reference", "tags"])
def test_an_empty_place_is_not_read_because_a_file_knows_no_none(field: str) -> None:
    fields = Fields.model_validate({field: ""})
    assert getattr(fields, field) is None
    assert fields.places_of(field) == ()


@pytest.mark.parametrize(
    ("record", "name"),
    [
        ({"first": " Ada ", "last": "Lovelace"}, "Ada Lovelace"),
        ({"first": "Ada", "last": ""}, "Ada"),
        ({"last": "Lovelace"}, "Lovelace"),
        ({}, None),
    ],
)
def test_a_name_in_several_places_is_joined(record: dict[str, str], name: str | None) -> None:
    fields = Fields(name=("first", "last"))
    assert fields.customer({"id": "1", **record}.get).name == name


@pytest.mark.parametrize("tags", [["vip", " key ", "", None], "vip; key;", ("vip", "key")])
def test_tags_are_read_where_the_crm_keeps_them(tags: object) -> None:
    customer = Fields(tags="labels").customer({"id": "1", "labels": tags}.get)
    assert customer.tags == ("vip", "key")


@pytest.mark.parametrize(("tags", "premium"), [(["VIP"], True), (["x"], False), (None, False)])
def test_tags_go_through_the_premium_rule(tags: object, premium: bool) -> None:
    rule = PremiumRule(tags=frozenset({"vip"}))
    record = {"id": "1", "labels": tags}
    assert Fields(tags="labels").customer(record.get, rule).premium is premium
    assert Fields().customer(record.get, rule).premium is None


def test_a_tier_that_nobody_mapped_is_told() -> None:
    assert Fields().customer({"id": "1", "tier": "New"}.get, RULE).unmapped_tier == "new"
    assert Fields().customer({"id": "1", "tier": "gold"}.get, RULE).unmapped_tier is None


def test_a_place_that_is_none_is_not_read() -> None:
    fields = Fields(email=None, track_id=None, language=None, reference=None, name=(), phones=())
    looked: list[str] = []

    def get(place: str) -> object:
        looked.append(place)
        return "x"

    assert fields.customer(get) == Customer(id="x")
    assert fields.has_reference(get, Reference("1"))
    assert looked == ["id"] == list(fields.places())


def test_every_place_is_named_once_for_who_has_to_ask_for_it() -> None:
    fields = Fields(
        name=("first", "last"), phones=("phone", "mobile"), tags="tags", extra={"city": "town"}
    )
    expected = (
        *("id", "email", "track_id", "first", "last", "language", "phone", "mobile"),
        *("reference", "tags", "town"),
    )
    assert fields.places() == expected
    assert fields.places(RULE) == (*expected, "tier")
    assert fields.places(PremiumRule(expression='town == "Bonn" or spend > 1')) == (
        *expected,
        "spend",
    )
    assert fields.places_of("name") == ("first", "last")
    assert fields.places_of("extra") == ("town",)


@pytest.mark.parametrize(
    ("stored", "typed", "same"),
    [
        ("AB10007", "AB10007", True),
        ("ab10007", "AB10007", True),
        (" ab-100 07 ", "AB10007", True),
        (1000001, "1000001", True),
        ("10000011", "1000001", False),
        ("100000", "1000001", False),
        (None, "1000001", True),
        ("", "1000001", True),
    ],
)
def test_a_reference_is_compared_as_it_is_typed(stored: object, typed: str, same: bool) -> None:
    assert Fields().has_reference({"reference": stored}.get, Reference(typed)) is same


def test_push_tokens_and_the_preferred_channel_are_read_where_the_operator_says() -> None:
    record = {"id": "1", "app": "t1; t2", "likes": "sms", "push_tokens": "not asked for"}
    read = Fields(push_tokens="app", preferred_channel="likes").customer(record.get)
    assert (read.push_tokens, read.preferred_channel) == (("t1", "t2"), "sms")
    plain = Fields(push_tokens="").customer(record.get)
    assert (plain.push_tokens, plain.preferred_channel) == ((), None)

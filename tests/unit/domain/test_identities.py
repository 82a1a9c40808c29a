"""Whoever brings a handle back is known by his new name too, and can be erased by it."""

from __future__ import annotations

import pytest

from broker.domain.identities import MOST, Identity, joined
from broker.domain.people import hashed, people_of
from broker.domain.record import CallData, Record


def call() -> Record:
    return Record("c1", 0.0, 0.0, CallData(from_="+493023125001"))


@pytest.mark.parametrize(
    ("kind", "value", "kept", "person"),
    [
        ("phone", "+491713920001", "+491713920001", "+491713920001"),
        ("whatsapp", "491713920001", "+491713920001", "+491713920001"),
        ("whatsapp", "+49 171 3920001", "+491713920001", "+491713920001"),
        ("whatsapp", "5215512345678", "+525512345678", "+525512345678"),
        ("email", " Ada@Shop.example ", "ada@shop.example", "ada@shop.example"),
        ("telegram", "4711\u202e", "4711", None),
        ("messenger", "1234567890123456", "1234567890123456", None),
    ],
)
def test_an_identity_is_kept_in_one_spelling(
    kind: str, value: str, kept: str, person: str | None
) -> None:
    identity = Identity.read(kind, value)
    assert identity is not None
    assert (identity.value, identity.person) == (kept, person)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("phone", "someone"),
        ("whatsapp", ""),
        ("email", "ada"),
        ("email", "a@x.example, b@x.example"),
        ("telegram", "\u202e"),
        ("Tele gram", "4711"),
        ("", "4711"),
    ],
)
def test_what_is_none_is_not_kept(kind: str, value: str) -> None:
    assert Identity.read(kind, value) is None


def identity(kind: str, value: str) -> Identity:
    read = Identity.read(kind, value)
    assert read is not None
    return read


def test_joining_again_changes_nothing() -> None:
    once = joined(call(), identity("whatsapp", "491713920001"))
    assert once.identities == (identity("whatsapp", "+491713920001"),)
    assert joined(once, identity("whatsapp", "491713920001")) is once


def test_a_handle_that_is_passed_around_gathers_no_crowd() -> None:
    record = call()
    for number in range(MOST + 3):
        record = joined(record, identity("telegram", str(number)))
    assert [one.value for one in record.identities] == [str(n) for n in range(MOST)]


def test_who_came_back_by_number_or_address_is_one_of_the_calls_people() -> None:
    record = joined(call(), identity("whatsapp", "491713920001"))
    record = joined(record, identity("email", "Ada@shop.example"))
    record = joined(record, identity("telegram", "4711"))
    people = ("+493023125001", "+491713920001", "ada@shop.example")
    assert people_of(record, None) == tuple(sorted(hashed(one) for one in people))

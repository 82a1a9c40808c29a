"""The other side is told what the operator allows, in size, and nothing of somebody else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.context import (
    SOURCES,
    ContextRules,
    about_call,
    context_of,
    is_source,
    known_by,
    metadata,
)
from broker.domain.customer import Customer, LookupState
from broker.domain.messages import DEFLECTION, Message
from broker.domain.record import NUMBER, CallData, Record, Step, Written
from broker.domain.routing import Route

if TYPE_CHECKING:
    from collections.abc import Mapping

ADA = Customer(
    id="c1",
    name="Ada",
    email="ada@shop.example",
    language="de",
    premium=True,
    phones=("+493023125001",),
    tags=("vip", "b2b"),
    extra={"tier": "gold"},
)
FOUND = Step(
    NUMBER, 0.0, "+493023125001", lookup=LookupState.FOUND, route=Route.PREMIUM, written=Written.OK
)
EVERYTHING = (*sorted(SOURCES), "extra.tier", "data.queue")


def record(**more: Any) -> Record:
    told: dict[str, Any] = {
        "id": "call1",
        "received_at": 1.0,
        "idle_at": 2.0,
        "data": CallData(from_="+493023125001", to="+493023125000", extra={"queue": "north"}),
        "steps": (FOUND,),
        "customer": ADA,
        "choice": "deflect",
        "deflected_before": False,
    }
    return Record(**told | more)


def message(**context: str) -> Message:
    given_context = {key.replace("__", "."): text for key, text in context.items()}
    return Message(
        DEFLECTION, "sms", 1.0, 1.0, handle="h" * 24, branch="billing", context=given_context
    )


def test_by_default_the_id_the_name_and_the_language_are_told() -> None:
    context = context_of(record(), message(), ContextRules())
    assert context.customer == {"customer_id": "c1", "name": "Ada", "language": "de"}
    assert (context.user, context.ticket, context.data, context.cut) == ({}, {}, {}, ())


def test_the_allow_list_decides_and_what_does_not_exist_is_left_out() -> None:
    rules = ContextRules(("email", "premium", "tags", "extra.tier", "extra.none", "track_id"))
    assert context_of(record(), message(), rules).customer == {
        "email": "ada@shop.example",
        "premium": True,
        "tags": ("vip", "b2b"),
        "extra.tier": "gold",
    }


def test_what_came_of_the_call_can_be_told_too() -> None:
    rules = ContextRules(("caller", "choice", "deflected_before", "route", "known_by"))
    assert context_of(record(), message(), rules).customer == {
        "caller": "+493023125001",
        "choice": "deflect",
        "deflected_before": False,
        "route": "premium",
        "known_by": "number",
    }


def test_metadata_is_mapped_under_the_other_sides_own_keys_as_texts() -> None:
    rules = ContextRules(
        (),
        user={"nombre": "name", "vip": "premium", "grupos": "tags", "orden": "track_id"},
        ticket={"area": "branch", "cola": "data.queue", "antes": "deflected_before"},
    )
    context = context_of(record(), message(), rules)
    assert context.user == {"nombre": "Ada", "vip": "true", "grupos": "vip, b2b"}
    assert context.ticket == {"area": "billing", "cola": "north", "antes": "false"}


def test_what_the_call_flow_sent_goes_before_what_is_mapped() -> None:
    rules = ContextRules((), user={"name": "name", "id": "customer_id"})
    sent = message(user__name="Ms Lovelace", ticket__priority="high", reason="invoice")
    context = context_of(record(), sent, rules)
    assert context.user == {"name": "Ms Lovelace", "id": "c1"}
    assert context.ticket == {"priority": "high"}
    assert context.data == {"reason": "invoice"}


def test_once_a_reference_named_somebody_else_nothing_is_told_of_any_customer() -> None:
    other = replace(FOUND, name="reference-1", lookup=LookupState.AMBIGUOUS, contradicts=True)
    doubtful = record(steps=(FOUND, other))
    rules = ContextRules(EVERYTHING, user={"nombre": "name"})
    context = context_of(doubtful, message(), rules)
    assert set(context.customer) <= {
        "branch",
        "call_id",
        "called",
        "caller",
        "choice",
        "data.queue",
        "deflected_before",
        "lookup",
        "route",
    }
    assert context.user == {}
    assert known_by(doubtful) is None


def test_of_the_call_nothing_personal_is_told_unasked() -> None:
    told = about_call(record(), message(reason="invoice"))
    assert told == {
        "call_id": "call1",
        "called": "+493023125000",
        "branch": "billing",
        "reason": "invoice",
        "lookup": "found",
        "route": "premium",
        "known_by": "number",
    }


def test_a_reason_that_came_with_the_call_is_told_too() -> None:
    data = CallData(extra={"reason": "delivery"})
    assert about_call(record(data=data), message())["reason"] == "delivery"
    assert about_call(record(data=data), message(reason="invoice"))["reason"] == "invoice"


def test_who_typed_a_reference_is_said_to_be_known_by_it_only() -> None:
    missed = replace(FOUND, lookup=LookupState.NOT_FOUND)
    typed = replace(FOUND, name="reference-1", value="1234567")
    assert known_by(record(steps=(missed, typed))) == "reference"
    assert known_by(record(customer=None, steps=(missed,))) is None


def test_a_deflection_without_a_call_has_no_call_to_tell_of() -> None:
    alone = record(standalone=True, steps=(), customer=None, data=CallData())
    assert set(about_call(alone, message(reason="x")).items()) >= {
        ("call_id", None),
        ("called", None),
        ("reason", "x"),
        ("route", None),
    }


def test_what_has_no_room_is_cut_with_a_mark_and_named() -> None:
    rules = ContextRules(("name",), max_bytes=30)
    context = context_of(record(), message(note="ü" * 20, more="x"), rules)
    assert context.customer == {"name": "Ada"}
    assert context.data == {"note": "ü" * 8 + "…"}
    assert context.cut == ("data.note", "data.more")


def test_a_mark_alone_is_not_worth_its_room() -> None:
    rules = ContextRules(("email",), max_bytes=len("email") + len("…".encode()))
    context = context_of(record(), message(), rules)
    assert (context.customer, context.cut) == ({}, ("customer.email",))


def test_a_list_is_told_whole_or_not_at_all() -> None:
    context = context_of(record(), message(), ContextRules(("tags", "name"), max_bytes=10))
    assert context.customer == {"name": "Ada"}
    assert context.cut == ("customer.tags",)


texts = st.text(alphabet=st.characters(codec="utf-8"), max_size=40)


@given(st.dictionaries(st.from_regex(r"(user\.|ticket\.|)[a-z]{1,8}", fullmatch=True), texts))
def test_a_context_is_never_larger_than_its_limit(sent: dict[str, str]) -> None:
    rules = ContextRules(EVERYTHING, user={"n": "name"}, max_bytes=120)
    told = context_of(record(), replace(message(), context=sent), rules)
    parts: tuple[Mapping[str, Any], ...] = (told.customer, told.user, told.ticket, told.data)
    size = sum(
        len(key.encode()) + len(", ".join(v).encode() if isinstance(v, tuple) else str(v).encode())
        for part in parts
        for key, v in part.items()
    )
    assert size <= 120
    everything = 2 + len(EVERYTHING) + len(sent)
    assert sum(map(len, parts)) + len(told.cut) <= everything
    if not told.cut:
        assert told.data == {k: v for k, v in sent.items() if "." not in k}


def test_a_channel_carries_the_mapped_texts_flat_and_nothing_of_the_allow_list() -> None:
    rules = ContextRules(("email",), user={"nombre": "name"}, max_bytes=40)
    sent = message(user__id="7", ticket__p="high", team="billing", note="n" * 60)
    carried = metadata(record(), sent, rules)
    assert carried == {
        "user.nombre": "Ada",
        "user.id": "7",
        "ticket.p": "high",
        "team": "billing",
        "note": "nnnnn…",
        "context_cut": "data.note",
    }


@pytest.mark.parametrize("name", [*EVERYTHING, "extra.Kunde-Nr"])
def test_every_documented_source_is_one(name: str) -> None:
    assert is_source(name)


@pytest.mark.parametrize("name", ["", "id", "extra", "extra.", "phone", "data", "push_tokens"])
def test_any_other_name_is_no_source(name: str) -> None:
    assert not is_source(name)


def test_a_learned_number_proves_no_more_than_the_reference_did() -> None:
    own = Step(NUMBER, 0.0, "+493023125001", lookup=LookupState.FOUND)
    assert known_by(record(steps=(own,))) == "number"
    assert known_by(record(steps=(replace(own, learned=True),))) == "reference"

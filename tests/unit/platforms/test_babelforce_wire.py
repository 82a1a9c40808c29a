"""How babelforce spells ids, variables and answers."""

from __future__ import annotations

from typing import Any

import pytest

from broker.platforms.babelforce.wire import encoded, item_of, same_id, variables_of, wire_id
from broker.sdk import PermanentError

HEX = "1a2b3c4d5e6f7a8b9c0d1e2f3a4b5c6d"
UUID = "1A2B3C4D-5E6F-7A8B-9C0D-1E2F3A4B5C6D"


def test_a_hyphenated_uuid_loses_its_hyphens() -> None:
    assert wire_id(UUID) == HEX


@pytest.mark.parametrize("other", [HEX, "call-1", "_", UUID + "0", UUID.replace("-", "_")])
def test_every_other_id_stays_as_it_is(other: str) -> None:
    assert wire_id(other) == other


def test_two_spellings_of_one_id_are_the_same() -> None:
    assert same_id(UUID, HEX)
    assert not same_id(UUID, HEX[:-1] + "e")


@pytest.mark.parametrize(("encoding", "premium"), [("json", True), ("string", "true")])
def test_a_boolean_is_written_as_the_operator_wants_it(encoding: str, premium: object) -> None:
    written = encoded({"ivr.premium": True, "ivr.email": "True", "ivr.lookup_ms": 1}, encoding)
    assert written == {"ivr.premium": premium, "ivr.email": "True", "ivr.lookup_ms": 1}
    assert type(written["ivr.lookup_ms"]) is int


@pytest.mark.parametrize(
    "data",
    [
        {"ivr.email": "a@example.com", "ivr.premium": False},
        {"ivr": {"email": "a@example.com", "premium": False}},
        '{"ivr.email": "a@example.com", "ivr.premium": false}',
        '{"ivr": {"email": "a@example.com", "premium": false}}',
    ],
)
def test_variables_are_read_in_every_shape_they_may_come_in(data: object) -> None:
    assert variables_of({"data": data}) == {"ivr.email": "a@example.com", "ivr.premium": False}


@pytest.mark.parametrize("item", [{}, {"data": None}, {"data": "{}"}, {"data": "[1]"}])
def test_a_session_without_variables_has_none(item: dict[str, Any]) -> None:
    assert variables_of(item) == {}


def test_data_that_is_a_text_but_no_json_is_an_error() -> None:
    with pytest.raises(PermanentError):
        variables_of({"data": "a@example.com"})


@pytest.mark.parametrize(
    ("body", "item"),
    [
        ({"item": {"id": HEX}, "success": True}, {"id": HEX}),
        ({"item": {"id": HEX}}, {"id": HEX}),
        ({"success": True}, {}),
        ({"item": None, "success": True}, {}),
    ],
)
def test_an_answer_need_not_be_complete(body: object, item: object) -> None:
    assert item_of(body) == item


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "ok",
        {},
        {"code": "NOT_FOUND", "message": "missing"},
        {"success": False},
        {"item": {"id": HEX}, "success": False},
    ],
)
def test_an_answer_that_shows_no_success_is_a_failure(body: object) -> None:
    with pytest.raises(PermanentError):
        item_of(body)

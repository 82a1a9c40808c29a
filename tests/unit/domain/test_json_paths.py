"""Paths into JSON answers, as an operator writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.errors import PermanentError
from broker.domain.json_paths import is_path, records_at, value_at, values_at

ANSWER = {
    "items": [
        {"id": 1, "emails": [{"v": "a"}, {"v": "b"}], "tags": ["x"]},
        {"id": 2, "emails": [{"v": "c"}], "tags": []},
    ],
    "$id": "dollar",
    "0": "zero",
    "none": None,
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", [ANSWER]),
        ("$.items", [ANSWER["items"]]),
        ("items", [ANSWER["items"]]),
        ("$.items[*].id", [1, 2]),
        ("items[*].emails[*].v", ["a", "b", "c"]),
        ("items.0.id", [1]),
        ("items[1].emails.0.v", ["c"]),
        ("items[2]", []),
        ("items.first", []),
        ("items[99999999999999999999]", []),
        ("0", ["zero"]),
        ("$id", ["dollar"]),
        ("$.$id", ["dollar"]),
        ("none", [None]),
        ("none.x", []),
        ("absent[*]", []),
        ("items[*].tags[*]", ["x"]),
        ("$id[*]", []),
    ],
)
def test_a_path_leads_to_all_that_it_names(path: str, found: list[object]) -> None:
    assert is_path(path)
    assert values_at(ANSWER, path) == found


def test_a_path_to_a_list_of_the_root_begins_with_a_bracket() -> None:
    assert values_at([{"id": 1}], "[*].id") == values_at([{"id": 1}], "$[*].id") == [1]


def test_one_value_is_the_value_several_are_a_list_and_none_is_none() -> None:
    assert value_at(ANSWER, "items[1].emails[*].v") == "c"
    assert value_at(ANSWER, "items[0].emails[*].v") == ["a", "b"]
    assert value_at(ANSWER, "absent.v") is None


@given(st.text(alphabet="$.[]*09ab", max_size=12), st.data())
def test_any_accepted_path_can_be_followed_into_any_answer(path: str, data: st.DataObject) -> None:
    leaf = st.none() | st.integers() | st.text(max_size=2)
    answer = data.draw(
        st.recursive(
            leaf,
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(st.sampled_from(["a", "b", "0", "$"]), inner, max_size=3)
            ),
            max_leaves=6,
        )
    )
    if is_path(path):
        assert isinstance(values_at(answer, path), list)


@pytest.mark.parametrize(
    ("path", "ids"),
    [("items", [1, 2]), ("items[*]", [1, 2]), ("items[0]", [1]), ("none", []), ("absent[*]", [])],
)
def test_records_are_a_list_one_object_or_nobody(path: str, ids: list[int]) -> None:
    assert [record["id"] for record in records_at(ANSWER, path)] == ids


@pytest.mark.parametrize("path", ["absent", "items[*].tags", "$id"])
def test_an_answer_of_another_shape_is_not_nobody(path: str) -> None:
    with pytest.raises(PermanentError):
        records_at(ANSWER, path)

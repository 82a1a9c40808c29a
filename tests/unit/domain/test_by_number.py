"""What is said of a called number by how it begins."""

from __future__ import annotations

from broker.domain.by_number import ByNumber


def test_the_longest_prefix_of_a_number_counts() -> None:
    known = ByNumber({"+49": "all", "+4930": "Berlin", "+4930123": "one"}, "else")
    assert [known.of(number) for number in ("+493012399", "+493099", "+4989", "+44", None)] == [
        "one",
        "Berlin",
        "all",
        "else",
        "else",
    ]


def test_what_is_said_of_every_number_holds_where_nobody_knows_the_number_too() -> None:
    assert ByNumber({"": False, "+49": True}).of("") is False
    assert ByNumber({"": False, "+49": True}).of("+44") is False
    assert ByNumber({"": True, "+49": False}).of("+4930") is False, "said is said, also no"
    assert ByNumber({"+49": True}).of("") is None

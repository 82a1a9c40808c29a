"""Changing a frozen value gives a new one, with every other field as it was."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, fields, replace
from typing import Any, cast

import pytest

from broker.domain.evolve import evolve
from broker.domain.messages import TRACKING, Message
from broker.domain.record import NUMBER, Record, Step


@dataclass(frozen=True)
class Point:
    x: int
    y: int = 2


def test_changed_value_is_new_and_the_old_one_stays() -> None:
    old = Point(1)
    assert evolve(old, x=5) == Point(5, 2)
    assert old == Point(1, 2)


def test_changed_value_is_as_frozen_as_the_old_one() -> None:
    with pytest.raises(FrozenInstanceError):
        cast("Any", evolve(Point(1), x=5)).x = 6


def test_field_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TypeError):
        evolve(Point(1), **cast("Any", {"z": 5}))


@pytest.mark.parametrize(
    "value",
    [
        Record(id="a", received_at=1.0, idle_at=2.0),
        Step(NUMBER, 1.0),
        Message(TRACKING, "email", queued_at=1.0, due_at=1.0),
    ],
)
def test_what_the_ledger_keeps_evolves_as_replace_would(value: Any) -> None:
    for field in fields(value):
        changed = evolve(value, **{field.name: "other"})
        assert changed == replace(value, **{field.name: "other"})

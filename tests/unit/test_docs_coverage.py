"""Each line of the five checklists has one row in docs/coverage.md, and tests that are there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
LISTS = {"B": 26, "L": 14, "K": 15, "R": 23, "A": 15}
IDS = [f"{name}{number}" for name, most in LISTS.items() for number in range(1, most + 1)]
LATER = {"K1", "K2", "R1", "R6", "L10", "L11", "K14", "R12", "R19"}
"""What comes before the call, the agent's step, and measurement with its pages."""
MOST_TESTS = 3
_TEST = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


class Row(NamedTuple):
    asked: str
    state: str
    shown: str
    besides: str


def _rows() -> list[tuple[str, Row]]:
    page = (ROOT / "docs" / "coverage.md").read_text()
    lines = re.findall(r"^\| ([A-Z]\d+) \|(.*)\|$", page, re.MULTILINE)
    return [(found, Row(*(cell.strip() for cell in rest.split("|")))) for found, rest in lines]


ROWS = dict(_rows())


def test_every_line_of_the_checklists_has_one_row() -> None:
    assert [found for found, _ in _rows()] == IDS


@pytest.mark.parametrize("line", IDS)
def test_a_line_is_done_refused_or_not_yet_and_says_why(line: str) -> None:
    row = ROWS[line]
    assert row.asked
    tests = _TEST.findall(row.shown)
    if row.state == "`done`":
        assert 1 <= len(tests) <= MOST_TESTS
    else:
        assert row.state == "`refused`" or (row.state == "`not yet`" and line in LATER)
        assert row.besides, "no reason"
        assert not tests


@pytest.mark.parametrize("line", IDS)
def test_every_test_that_is_named_exists(line: str) -> None:
    row = ROWS[line]
    assert len(_TEST.findall(row.shown)) == row.shown.count("`") / 2, "a name that cannot be read"
    for file, name in _TEST.findall(f"{row.shown} {row.besides}"):
        text = (ROOT / file).read_text()
        assert re.search(rf"^ *(async )?def {name}\(", text, re.MULTILINE), f"{file}::{name}"

"""What the long proofs did: one line of a Markdown table per test that passed."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

REPORT = os.environ.get("CHAOS_REPORT")
"""The file that gets the lines."""


@dataclass(eq=False)
class Tally:
    """What a test did, for the report."""

    mode: str
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, **counts: int) -> None:
        for name, count in counts.items():
            self.counts[name] = self.counts.get(name, 0) + count


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """Fill it in: `tally.add(kills=1)`. A test that fails leaves no line."""
    began = time.monotonic()
    tally = Tally(request.node.name.removeprefix("test_").replace("_", " "))
    failures = request.session.testsfailed
    yield tally
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in tally.counts.items())
    if REPORT and request.session.testsfailed == failures:
        with Path(REPORT).open("a") as report:
            report.write(f"| {tally.mode} | {counts} | {time.monotonic() - began:.0f} s | 0 |\n")

"""What a CRM team hands in: every question of the kit, and how the adapter answered it."""

from __future__ import annotations

import platform
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import (
    Distribution,
    PackageNotFoundError,
    distribution,
    entry_points,
    packages_distributions,
)
from typing import TYPE_CHECKING

import pytest

from broker.plugins import options_type

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from broker.testing.crm_conformance import Proven

WHY_LINES = 3
"""Of an error text: its beginning says what was compared."""
WHY_CHARS = 300


@dataclass(slots=True)
class Answer:
    """How one question ended."""

    question: str
    outcome: str = "not asked"
    why: str = ""


class CrmReport:
    """A pytest plug-in that listens to a run of the kit and writes the report."""

    def __init__(self, proven: Proven, file: Path | None) -> None:
        self._proven = proven
        self._file = file
        self._answers: dict[str, Answer] = {}

    @pytest.hookimpl(tryfirst=True)  # before -k and -m take some away
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if isinstance(item, pytest.Function) and item.module.__name__ == (
                "broker.testing.crm_conformance"
            ):
                self._answers[item.nodeid] = Answer(sentence(item))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        answer = self._answers.get(report.nodeid)
        if answer is None or answer.outcome == "failed":
            return
        if report.when == "call" or not report.passed:
            answer.outcome = report.outcome
            answer.why = why(report)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._file is not None:
            self._file.write_text(self.text(), encoding="utf-8")
            terminalreporter.write_line(f"report: {self._file}")
        terminalreporter.write_line(f"{named(self._proven.adapter)}: {self.verdict()}")

    def verdict(self) -> str:
        """One sentence; "passed" only if every question was asked and none failed."""
        counted = Counter(answer.outcome for answer in self._answers.values())
        asked = len(self._answers)
        if counted["passed"] == asked > 0:
            return f"passed, all {asked} questions"
        parts = [f"{n} {outcome}" for outcome, n in counted.items() if outcome != "passed"]
        return f"NOT passed: of {asked} questions {', '.join(parts) or 'none was asked'}"

    def text(self) -> str:
        """The report, Markdown."""
        adapter = self._proven.adapter
        package = package_of(adapter)
        facts = {
            "Adapter": f"`{named(adapter)}`",
            "Package": f"{package.name} {package.version}" if package else "not installed",
            "Options": ", ".join(
                f"`{name}`" for name in sorted(options_type(adapter).model_fields)
            ),
            "CRM played by": f"`{named(self._proven.vendor)}`",
            "Broker": distribution("call-session-broker").version,
            "Python": platform.python_version(),
            "Date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "Verdict": f"**{self.verdict()}**",
        }
        return "\n".join(
            [
                f"# Conformance of {adapter.__name__}",
                "",
                *_table("", "", facts.items()),
                "",
                *_table(
                    "question",
                    "answer",
                    ((a.question, _answered(a)) for a in self._answers.values()),
                ),
                "",
            ]
        )


def named(kind: type[object]) -> str:
    """`module:Class`."""
    return f"{kind.__module__}:{kind.__qualname__}"


def sentence(item: pytest.Function) -> str:
    """The question that a test asks, in words."""
    callspec = getattr(item, "callspec", None)
    words = question(item.originalname)
    return f"{words} ({callspec.id})" if callspec else words


def question(name: str) -> str:
    """`test_an_unknown_number_gives_nobody` as a sentence."""
    words = name.removeprefix("test_").replace("_", " ").replace(" crm", " CRM")
    return words[:1].upper() + words[1:]


def why(report: pytest.TestReport) -> str:
    """The beginning of what went wrong; "" if nothing did."""
    if report.passed:
        return ""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else str(report.longrepr)
    return " ".join(text.strip().splitlines()[:WHY_LINES])[:WHY_CHARS]


def package_of(kind: type[object]) -> Distribution | None:
    """The installed package that a class came with, if one says so."""
    for entry in entry_points(group="broker.crm_adapters", value=named(kind)):
        if entry.dist is not None:
            return entry.dist
    try:
        return distribution(packages_distributions()[kind.__module__.partition(".")[0]][0])
    except (KeyError, PackageNotFoundError):
        return None


def _answered(answer: Answer) -> str:
    return f"**{answer.outcome}**: {answer.why}" if answer.why else answer.outcome


def _table(left: str, right: str, rows: Iterable[tuple[str, str]]) -> list[str]:
    cells = [(_cell(a), _cell(b)) for a, b in rows]
    return [f"| {left} | {right} |", "|---|---|", *(f"| {a} | {b} |" for a, b in cells)]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

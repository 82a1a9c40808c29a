"""A rules file that changes while the broker runs."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from broker.domain.errors import ConfigError
from broker.metrics import Metrics
from broker.settings.rules_file import RulesFile
from broker.testing.fake_clock import SetClock

if TYPE_CHECKING:
    from pathlib import Path

ONE = '[[rule]]\nname = "one"\noffer = true\n'
TWO = '[[rule]]\nname = "two"\noffer = true\n'
BROKEN = '[[rule]]\nname = "two"\noffer = maybe\n'


class Desk:
    """The file, the operator who writes it, and the broker that looks at it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics = Metrics()
        self._written = 0
        self.write(ONE)
        self.file = RulesFile(path, ["sms"], self.metrics)

    def write(self, text: str) -> None:
        self.path.write_text(text)
        self._written += 1
        os.utime(self.path, ns=(self._written, self._written))

    def look(self, times: int = 2) -> list[str]:
        """The names of the rules after the broker has looked; two looks take a change."""
        for _ in range(times):
            self.file.look()
        return [rule.name for rule in self.file().rules]

    def counted(self) -> tuple[float, float, float]:
        """Loaded, refused, and whether the file is refused now."""
        value = self.metrics.registry.get_sample_value
        return (
            value("broker_rules_reloads_total", {"outcome": "loaded"}) or 0.0,
            value("broker_rules_reloads_total", {"outcome": "refused"}) or 0.0,
            value("broker_rules_refused") or 0.0,
        )


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "rules.toml")


def test_a_file_with_faults_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(BROKEN)
    with pytest.raises(ConfigError):
        RulesFile(path, ["sms"], Metrics())


def test_a_changed_file_is_in_force_after_two_looks(desk: Desk) -> None:
    assert desk.look() == ["one"]
    desk.write(TWO)
    assert desk.look(1) == ["one"]
    assert desk.look(1) == ["two"]
    assert desk.counted() == (1, 0, 0)


def test_a_file_that_is_still_being_written_is_not_taken(desk: Desk) -> None:
    for text in (TWO[:20], TWO[:30], TWO):
        desk.write(text)
        assert desk.look(1) == ["one"]
    assert desk.look(1) == ["two"]
    assert desk.counted() == (1, 0, 0)


def test_a_file_that_did_not_change_is_not_read_again(desk: Desk) -> None:
    rules = desk.file()
    desk.look(5)
    assert desk.file() is rules


def test_a_bad_file_keeps_the_old_rules_and_is_told_once(desk: Desk) -> None:
    desk.write(BROKEN)
    with capture_logs() as logs:
        assert desk.look(10) == ["one"]
    assert [(line["event"], line["log_level"]) for line in logs] == [("rules_refused", "error")]
    assert "rules.toml is no valid TOML" in logs[0]["faults"][0]
    assert desk.counted() == (0, 1, 1)


def test_it_says_when_the_file_is_good_again(desk: Desk) -> None:
    desk.write(BROKEN)
    desk.look()
    desk.write(TWO)
    with capture_logs() as logs:
        assert desk.look() == ["two"]
    assert [line["event"] for line in logs] == ["rules_loaded"]
    assert desk.counted() == (1, 1, 0)


def test_a_channel_that_does_not_exist_is_a_fault_on_change_too(desk: Desk) -> None:
    desk.write('channels = ["fax"]\n' + TWO)
    assert desk.look() == ["one"]
    assert desk.counted() == (0, 1, 1)


def test_a_file_that_is_gone_keeps_the_old_rules_until_it_is_back(desk: Desk) -> None:
    desk.path.unlink()
    assert desk.look() == ["one"]
    assert desk.counted() == (0, 1, 1)
    desk.write(TWO)
    assert desk.look() == ["two"]


def test_whatever_the_file_holds_the_broker_goes_on(desk: Desk) -> None:
    desk.write("x = " + "[" * 100_000)
    assert desk.look() == ["one"]
    desk.path.write_bytes(b"\xff\xfe")
    assert desk.look() == ["one"]
    assert desk.counted()[2] == 1


async def test_it_looks_about_once_a_second(desk: Desk) -> None:
    clock = SetClock()
    began = clock.monotonic()
    desk.write(TWO)
    watching = asyncio.create_task(desk.file.watch(clock))
    while desk.file().rules[0].name != "two":
        await asyncio.sleep(0.001)
    watching.cancel()
    assert clock.monotonic() - began >= 2

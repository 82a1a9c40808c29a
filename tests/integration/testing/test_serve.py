"""The fake of a CRM as a server, to try the broker with before there is an account."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker.testing.serve import configuration
from tests.vendors.hubspot import FakeHubSpot

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parents[3]
SERVE = (sys.executable, "-m", "broker.testing.serve")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Path]:
    """A configuration that reaches a running fake."""
    command = [*SERVE, "hubspot", "tests.vendors.hubspot:FakeHubSpot"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE) as process:
        assert process.stdout is not None
        written = ""
        while "[crm.trial.options]" not in written or not written.endswith("\n\n"):
            line = process.stdout.readline()
            assert line, "it ended"
            written += line
        (tmp_path / "broker.toml").write_text(written)
        yield tmp_path / "broker.toml"
        process.terminate()


def test_the_broker_finds_people_in_it(served: Path) -> None:
    lookup = [sys.executable, "-m", "broker", "lookup", "--config", str(served), "--show"]
    environ = {key: value for key, value in os.environ.items() if not key.startswith("BROKER_")}
    done = subprocess.run(
        [*lookup, "--phone", "+493023125001"],
        capture_output=True,
        text=True,
        check=False,
        env=environ,
    )
    assert done.returncode == 0, done.stderr
    assert "ada@example.com" in done.stdout


def test_what_is_not_there_is_one_sentence() -> None:
    done = subprocess.run(
        [*SERVE, "hubspot", "nobody:Fake"], capture_output=True, text=True, check=False, cwd=HERE
    )
    assert done.returncode == 2
    assert done.stderr.startswith("--crm-vendor nobody:Fake: the plug-in needs the module nobody")


def test_whatever_an_option_holds_can_be_read_again() -> None:
    class Odd(FakeHubSpot):
        def options(self) -> dict[str, object]:
            return {"a": 'Lö"we\n', "b": {"c d": [1, True]}, "e": []}

    vendor = Odd()
    read = tomllib.loads(configuration(vendor, "my:Adapter"))
    assert read["crm"]["trial"] == {"adapter": "my:Adapter", "options": vendor.options()}

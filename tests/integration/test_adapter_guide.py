"""Who follows docs/adapters.md to the letter has a passing adapter."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Callable

GUIDE = (Path(__file__).parents[2] / "docs" / "adapters.md").read_text()
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
FILES = re.findall(r"```python\n# (\S+\.py)\n(.+?)```", GUIDE, re.DOTALL)


@pytest.fixture
def acorn(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a module in the package that the guide makes."""
    assert main(["scaffold", "crm", "acorn", "--into", str(tmp_path)]) == 0
    package = tmp_path / "acorn_crm"
    for name, content in FILES:
        assert (package / name).exists()  # every file replaces one of the scaffold
        (package / name).write_text(content)

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", *args]
        return subprocess.run(command, cwd=package, capture_output=True, text=True, check=False)

    return run


def test_the_example_passes_its_own_tests_and_the_kit(
    acorn: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    assert len(FILES) == 3
    done = acorn("pytest", "-q", "--crm", "acorn_crm:AcornAdapter", "tests")
    assert done.returncode == 0, done.stdout
    assert "acorn_crm:AcornAdapter: passed, all" in done.stdout


def test_the_example_is_written_as_we_write(
    acorn: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    for args in (
        ("ruff", "check", "--config", str(PYPROJECT), "--ignore", "I001", "."),
        ("ruff", "format", "--check", "--config", str(PYPROJECT), "."),
        ("mypy", "--strict", "--explicit-package-bases", "--no-incremental", "."),
    ):
        done = acorn(*args)
        assert done.returncode == 0, done.stdout + done.stderr

"""`broker scaffold crm NAME` writes a package that passes at once, and touches nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker.__main__ import main
from broker.cli.scaffold import FILES

if TYPE_CHECKING:
    from collections.abc import Callable

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
NAME = "big_shop2"


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    assert main(["scaffold", "crm", NAME, "--into", str(tmp_path / "new")]) == 0
    return tmp_path / "new" / f"{NAME}_crm"


@pytest.fixture
def run(package: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a module in the folder of the package."""

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", *args]
        return subprocess.run(command, cwd=package, capture_output=True, text=True, check=False)

    return run


def test_every_file_is_there_and_called_as_the_crm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scaffold", "crm", NAME, "--into", str(tmp_path)]) == 0
    package = tmp_path / f"{NAME}_crm"
    assert files_in(package) == {path.format(name=NAME) for path in FILES}
    out = capsys.readouterr().out
    assert f"pytest --crm {NAME}" in out
    assert all(f"wrote {package / file}\n" in out for file in files_in(package))


def test_its_own_tests_and_the_kit_pass_at_once(
    run: Callable[..., subprocess.CompletedProcess[str]], package: Path
) -> None:
    adapter = f"{NAME}_crm:BigShop2Adapter"
    done = run("pytest", "-q", "--crm", adapter, "--crm-report", "proof.md", "tests")
    assert done.returncode == 0, done.stdout
    assert f"{adapter}: passed, all" in done.stdout
    assert (
        "| CRM played by | `tests.fake_big_shop2:FakeBigShop2` |"
        in (package / "proof.md").read_text()
    )


def test_it_is_written_as_we_write(
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    for args in (
        ("ruff", "check", "--config", str(PYPROJECT), "--ignore", "I001", "."),
        ("ruff", "format", "--check", "--config", str(PYPROJECT), "."),
        ("mypy", "--strict", "--explicit-package-bases", "--no-incremental", "."),
    ):
        done = run(*args)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "name", ["", "Shop", "2shop", "_shop", "my-shop", "my shop", "../shop", "shöp", "s" * 41, "s\n"]
)
def test_a_name_that_cannot_be_one_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(["scaffold", "crm", name, "--into", str(tmp_path)]) == 2
    assert "the name of a CRM has letters a-z, digits and _" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scaffold", "crm", "hubspot", "--into", str(tmp_path)]) == 2
    assert "an adapter called hubspot is installed already" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_never_touched(
    tmp_path: Path, package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (package / "README.md").write_text("mine")
    assert main(["scaffold", "crm", NAME, "--into", str(tmp_path / "new")]) == 2
    assert "exists already: nothing was written" in capsys.readouterr().err
    assert (package / "README.md").read_text() == "mine"

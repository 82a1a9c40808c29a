"""How a name in the configuration becomes a class that is ready to be built."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, cast

import pytest

from broker import plugins
from broker.domain.errors import ConfigError
from broker.ports import Channel, Options

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import ClientSession

    from broker.ports import Envelope


class PigeonOptions(Options):
    loft: str


class Pigeon(Channel):
    options_type = PigeonOptions

    def __init__(self, options: PigeonOptions, http: ClientSession) -> None:
        self.loft = options.loft
        self.http = http

    async def send(self, envelope: Envelope, *, within: float) -> str | None:  # noqa: ARG002
        return None


class Forgetful(Channel):
    async def send(self, envelope: Envelope, *, within: float) -> str | None:  # noqa: ARG002
        return None


class NoChannel: ...


def install(folder: Path, name: str, lines: list[str]) -> None:
    """A package as pip leaves it, as far as entry points go."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(["[broker.channels]", *lines]))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that Python looks for installed packages in."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def problem_of(name: str) -> str:
    with pytest.raises(ConfigError) as caught:
        plugins.channel(name)
    return str(caught.value)


def test_an_installed_package_adds_a_plug_in_by_name(site: Path) -> None:
    install(site, "pigeons", [f"pigeon = {__name__}:Pigeon"])
    assert plugins.channel("pigeon") is Pigeon


def test_a_class_can_be_spelled_out_without_installing_anything() -> None:
    assert plugins.channel(f"{__name__}:Pigeon") is Pigeon


def test_a_plug_in_is_built_of_its_options_and_the_shared_session() -> None:
    http = cast("ClientSession", object())
    options = plugins.options_type(Pigeon).model_validate({"loft": "roof"})
    built = plugins.build(Pigeon, options, http)
    assert isinstance(built, Pigeon)
    assert (built.loft, built.http) == ("roof", http)


def test_an_unknown_name_lists_the_known_ones(site: Path) -> None:
    install(site, "pigeons", [f"pigeon = {__name__}:Pigeon"])
    told = problem_of("pigoen")
    assert "email" in told
    assert told.endswith("did you mean pigeon?")


def test_one_name_of_two_packages_is_refused(site: Path) -> None:
    install(site, "pigeons", [f"pigeon = {__name__}:Pigeon"])
    install(site, "doves", [f"pigeon = {__name__}:Forgetful"])
    assert "several installed packages" in problem_of("pigeon")


@pytest.mark.parametrize(
    ("spelled", "told"),
    [
        ("no_such_package.channel:Pigeon", "needs the module no_such_package"),
        (f"{__name__}:Absent", "has no Absent"),
        (f"{__name__}:NoChannel", "no subclass of Channel"),
        (f"{__name__}:install", "no subclass of Channel"),
        ("os.system('x'):X", "no plug-in of this name"),
    ],
)
def test_what_cannot_be_a_plug_in_is_told_apart(spelled: str, told: str) -> None:
    assert told in problem_of(spelled)


def test_a_plug_in_that_breaks_while_it_is_imported_is_a_fault_of_the_configuration(
    site: Path,
) -> None:
    (site / "broken_pigeon.py").write_text("raise RuntimeError('+4915112345678')")
    assert problem_of("broken_pigeon:Pigeon") == "the plug-in cannot be imported (RuntimeError)"


def test_a_plug_in_without_options_says_so() -> None:
    with pytest.raises(ConfigError, match="options_type"):
        plugins.options_type(Forgetful)


def test_nothing_is_imported_before_it_is_named(site: Path) -> None:
    (site / "lazy_pigeon.py").write_text(f"Pigeon = {json.dumps('x')}")
    install(site, "pigeons", ["lazy = lazy_pigeon:Pigeon", f"pigeon = {__name__}:Pigeon"])
    plugins.channel("pigeon")
    assert "lazy_pigeon" not in sys.modules

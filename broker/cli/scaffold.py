"""`broker scaffold crm NAME`: the package of a new CRM adapter, which passes at once."""

from __future__ import annotations

import re
from importlib.metadata import entry_points, version
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from broker.domain.errors import ConfigError

if TYPE_CHECKING:
    import argparse

FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "{name}_crm.py": "adapter.py",
    "docs/{name}.md": "docs.md",
    "tests/fake_{name}.py": "fake.py",
    "tests/test_{name}.py": "test.py",
}
"""Path in the package -> template."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "scaffold",
        help="write the package of a new CRM adapter",
        description="Writes a Python package with an adapter for a made-up CRM, a fake of that "
        "CRM, a test, a page and a README. It passes at once; then make it yours.",
    )
    parser.add_argument("kind", choices=["crm"], help="what to write")
    parser.add_argument("name", metavar="NAME", help="of the CRM: letters a-z, digits and _")
    parser.add_argument(
        "--into", type=Path, default=Path(), metavar="DIR", help="where to put its folder (here)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    for path in write(args.name, args.into):
        print(f"wrote {path}")
    print(_next(args.name, args.into))
    return 0


def write(name: str, into: Path) -> list[Path]:
    """The files of the new package in `into`/NAME_crm.

    ConfigError, and nothing is written, if the name cannot be one or something is there already.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError("the name of a CRM has letters a-z, digits and _, and begins with a-z")
    if entry_points(group="broker.crm_adapters", name=name):
        raise ConfigError(f"an adapter called {name} is installed already: take another name")
    folder = into / f"{name}_crm"
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(f"{folder} exists already: nothing was written") from None
    words = _words(name)
    return [
        _written(folder / path.format(name=name), template, words)
        for path, template in FILES.items()
    ]


def _words(name: str) -> dict[str, str]:
    parts = [part.capitalize() for part in name.split("_")]
    return {
        "name": name,
        "Name": "".join(parts),
        "NAME": name.upper(),
        "Title": " ".join(part for part in parts if part),
        "version": version("call-session-broker"),
    }


def _written(path: Path, template: str, words: dict[str, str]) -> Path:
    source = files("broker.cli") / "new_crm" / f"{template}.tmpl"
    path.parent.mkdir(exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(Template(source.read_text(encoding="utf-8")).substitute(words))
    return path


def _next(name: str, into: Path) -> str:
    return f"""
Next:
  cd {into / f"{name}_crm"}
  pip install -e ".[test]"
  pytest
  pytest --crm {name}
and then README.md: what is made up, and where to begin."""

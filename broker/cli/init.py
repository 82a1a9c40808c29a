"""`broker init`: a configuration, customers, rules and templates that work at once."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

KNOWN_CALLER = "+493023125001"
"""Stands in the starter's customers.csv; nobody can have this number."""
STARTER = ("broker.toml", "customers.csv", "rules.toml", "cases.toml")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "init",
        help="write a configuration that works at once",
        description="Writes broker.toml, customers.csv, message templates, and rules for offers "
        "with cases to test them; tells what to do next. A file that exists is never touched.",
    )
    parser.add_argument(
        "directory", nargs="?", type=Path, default=Path(), metavar="DIR", help="where to (here)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    for name, source in starter():
        written = _write(args.directory / name, source)
        print(f"{'wrote' if written else 'kept '} {args.directory / name}")
    print(_next(args.directory))
    return 0


def starter() -> Iterator[tuple[str, Traversable]]:
    """Every file to write: its name in the directory, and where its content is."""
    ours = files("broker.cli") / "starter"
    yield from ((name, ours / name) for name in STARTER)
    templates = files("broker.channels") / "templates"
    for template in sorted(templates.iterdir(), key=lambda file: file.name):
        if template.is_file():
            yield f"templates/{template.name}", template


def _write(target: Path, source: Traversable) -> bool:
    """Whether `target` is new. What exists stays as it is, even if it appears just now."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with target.open("xb") as file:
            file.write(source.read_bytes())
    except FileExistsError:
        return False
    return True


def _next(directory: Path) -> str:
    enter = "" if directory == Path() else f"  cd {directory}\n"
    return f"""
Next:
{enter}  broker check
  broker lookup --phone {KNOWN_CALLER} --show
  broker rules test rules.toml cases.toml
  broker serve
and, while it serves, a first call from another terminal:
  curl -s 'http://127.0.0.1:8080/v1/calls?wait_ms=2000' \\
       -H 'Content-Type: application/json' \\
       -d '{{"call_id": "first-call", "from": "{KNOWN_CALLER}"}}'"""

"""Where settings come from: the file, `BROKER_*` variables over it, and what both point to."""

from __future__ import annotations

import copy
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.domain.errors import ConfigError
from broker.settings.faults import Fault
from broker.settings.shapes import holds_path, holds_secret, tables_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEFAULT_FILE = Path("broker.toml")
PREFIX = "BROKER_"
NAMES_THE_FILE = "BROKER_CONFIG"
_OTHER = re.compile(r"[^A-Z0-9]")
_KUBERNETES = re.compile(r"BROKER_(SERVICE_(HOST|PORT.*)|PORT(_.*)?)")


def choose(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """`path`, else what BROKER_CONFIG names, else ./broker.toml; None if that does not exist."""
    if path is not None:
        return path
    if named := environ.get(NAMES_THE_FILE):
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def read(path: Path | None, what: str = "the configuration file") -> dict[str, Any]:
    """The file's tables; ConfigError, which calls it `what`, if it cannot be read or is no TOML."""
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{what} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what} is not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"\(at .*\)$", str(error))
        position = f" {where.group()}" if where else ""
        raise ConfigError(f"{what} is no valid TOML{position}") from error


class Overlay:
    """The file's tables with the environment laid over them."""

    def __init__(self, tables: Mapping[str, Any], environ: Mapping[str, str]) -> None:
        self.tables: dict[str, Any] = copy.deepcopy(dict(tables))
        self.variables: dict[tuple[str, ...], str] = {}
        """Key path -> the variable that set it."""
        self.faults: list[Fault] = []
        for name in sorted(environ):
            if name.startswith(PREFIX) and name != NAMES_THE_FILE:
                self._lay(name, environ[name])

    def _lay(self, name: str, value: str) -> None:
        segments = name.removeprefix(PREFIX).split("__")
        if len(segments) < 2 or not all(segments):  # noqa: PLR2004 - a section and a key
            self.faults.append(Fault((name,), _not_a_setting(name)))
            return
        path: list[str] = []
        table = self.tables
        for segment in segments[:-1]:
            path.append(_key(table, segment))
            table = table.setdefault(path[-1], {})
            if not isinstance(table, dict):
                self.faults.append(Fault((name,), f"{'.'.join(path)} is no table"))
                return
        path.append(_key(table, segments[-1]))
        table[path[-1]] = value
        self.variables[tuple(path)] = name


def _not_a_setting(name: str) -> str:
    hint = ""
    if _KUBERNETES.fullmatch(name):
        hint = " (Kubernetes sets it for a Service called broker: switch enableServiceLinks off)"
    return f"unknown variable; settings are called BROKER_<SECTION>__<KEY>{hint}"


def _key(table: Mapping[str, Any], segment: str) -> str:
    """The key of `table` that a variable's segment means: `MY_SHOP` is `my-shop` if that exists."""
    fitting = [key for key in table if _OTHER.sub("_", key.upper()) == segment]
    exact = segment.lower()
    return fitting[0] if fitting and exact not in fitting else exact


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where a file's pointers lead: its directory for relative paths, the environment for names."""

    directory: Path
    environ: Mapping[str, str]

    def resolve(self, model: Any, table: Any, parents: tuple[str, ...]) -> list[Fault]:
        """Follow every pointer in `table`, in place; what is wrong comes back.

        `<secret>_env` and `<secret>_file` become `<secret>`; a relative path becomes absolute.
        """
        faults: list[Fault] = []
        for path, inner, fields in tables_in(model, table):
            for name, types in fields.items():
                if holds_secret(types):
                    faults += [f.under(*parents, *path) for f in self._secret(inner, name)]
                elif holds_path(types) and isinstance(inner.get(name), str):
                    inner[name] = str(self.directory / inner[name])
        return faults

    def _secret(self, table: dict[str, Any], name: str) -> Iterator[Fault]:
        forms = [form for form in (name, f"{name}_env", f"{name}_file") if form in table]
        if len(forms) > 1:
            yield Fault((name,), f"is given twice: {' and '.join(forms)}")
        for form in forms:
            if form == name:
                continue
            fetched = self._fetch(form, form.removeprefix(name), table.pop(form))
            if isinstance(fetched, Fault):
                yield fetched.under(name)
            table.setdefault(name, fetched if isinstance(fetched, str) else "")

    def _fetch(self, form: str, kind: str, pointer: object) -> str | Fault:
        """The secret that `form` points to, or what is wrong with it."""
        if not isinstance(pointer, str) or not pointer:
            return Fault((), f"{form} must be a text")
        if kind == "_env":
            return self.environ.get(pointer) or Fault(
                (), f"{form} names a variable that is not set"
            )
        try:
            text = (self.directory / pointer).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return Fault((), f"{form} names a file that cannot be read")
        return text or Fault((), f"{form} names a file that is empty")

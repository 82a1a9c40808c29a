"""Reads the configuration and checks it as a whole before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.domain.errors import ConfigError
from broker.settings import checks, sources
from broker.settings.models import Settings
from broker.settings.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.settings.faults import Fault


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of `path` (else BROKER_CONFIG, else ./broker.toml) and of `environ`.

    ConfigError lists everything that is wrong, at once.
    """
    file = sources.choose(path, environ)
    return from_mapping(sources.read(file), environ, file.parent if file else Path())


def from_mapping(
    tables: Mapping[str, Any], environ: Mapping[str, str], directory: Path = Path()
) -> Settings:
    """The settings of a file's `tables`, with the BROKER_* variables of `environ` over them.

    Relative paths begin in `directory`. ConfigError lists everything that is wrong, at once.
    """
    overlay = sources.Overlay(tables, environ)
    reading = Reading(overlay.tables, sources.Elsewhere(directory, environ))
    faults = [*overlay.faults, *reading.faults, *checks.faults(reading.sections)]
    if faults:
        raise ConfigError(*_lines(faults, overlay.variables))
    return checks.settled(Settings(**reading.sections))


def _lines(faults: Sequence[Fault], variables: Mapping[tuple[str, ...], str]) -> list[str]:
    """One line per setting; where a variable set it, the line says which."""
    lines: dict[tuple[str, ...], str] = {}
    for fault in faults:
        source = variables.get(fault.path)
        lines.setdefault(fault.path, f"{fault} (set by {source})" if source else str(fault))
    return list(lines.values())

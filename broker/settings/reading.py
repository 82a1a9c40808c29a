"""Turns raw tables into sections; the plug-ins that a table names say what it may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from broker import plugins
from broker.domain.errors import ConfigError
from broker.domain.messages import EMAIL
from broker.ports import Options
from broker.settings.faults import Fault, told, unknown
from broker.settings.models import (
    ChannelSettings,
    Crm,
    NumberLookupSettings,
    PlatformSettings,
    Settings,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.settings.sources import Elsewhere

SECTIONS: dict[str, Any] = {
    name: field.annotation for name, field in Settings.model_fields.items() if name != "warnings"
}
_CHANNEL = frozenset(ChannelSettings.model_fields) - {"options"}
_OPTIONAL = frozenset({"smtp", "number_lookup", "twilio_voice"})
"""Sections that are None where the file has none."""
_DRIVEN: dict[str, tuple[type[BaseModel], Callable[[str], type[plugins.Plugin]]]] = {
    "platform": (PlatformSettings, plugins.platform),
    "number_lookup": (NumberLookupSettings, plugins.number_lookup),
}


class _Invalid:
    """Stands where a section would, had it been valid."""


_INVALID = _Invalid()


class Reading:
    """One pass over the tables: `sections` are those that are valid, `faults` all the rest."""

    def __init__(self, tables: dict[str, Any], elsewhere: Elsewhere) -> None:
        self._tables = tables
        self._elsewhere = elsewhere
        self.faults: list[Fault] = []
        for name in sorted(tables.keys() - SECTIONS.keys()):
            self.faults.append(Fault((name,), unknown((name,), frozenset(SECTIONS))))
        read = {name: self._section(name) for name in SECTIONS}
        self.sections = {name: value for name, value in read.items() if value is not _INVALID}

    def _section(self, name: str) -> Any:
        raw = self._tables.get(name, {})
        if name in _OPTIONAL and name not in self._tables:
            return None
        if name == "smtp":
            return self._smtp()
        if name == "variables":
            return self._valid(SECTIONS[name], _flat(raw), name)
        if name in _DRIVEN and isinstance(raw, dict):
            return self._driven(name, raw)
        named = {"crm": self._crm, "channels": self._channel}
        if name in named and isinstance(raw, dict):
            return self._each(name, raw, named[name])
        return self._valid(SECTIONS[name], raw, name)

    def _smtp(self) -> Any:
        path = ("smtp",)
        return self._options(plugins.channel, EMAIL, self._tables["smtp"], path, path)

    def _driven(self, section: str, raw: dict[str, Any]) -> Any:
        """A section of one driver; whatever is not the broker's own belongs to it."""
        model, find = _DRIVEN[section]
        known = model.model_fields.keys() - {"options"}
        own = {key: raw[key] for key in raw.keys() & known}
        rest = {key: raw[key] for key in raw.keys() - known}
        driver = own.get("driver", model.model_fields["driver"].default)
        path = (section,)
        options = self._options(find, driver, rest, (*path, "driver"), path)
        return self._with_options(model, own, options, path)

    def _each(self, section: str, raw: dict[str, Any], read_one: Callable[[str, Any], Any]) -> Any:
        """A section of named tables."""
        read = {name: read_one(name, table) for name, table in raw.items()}
        if _INVALID in read.values():
            return _INVALID
        return self._valid(SECTIONS[section], read, section)

    def _channel(self, name: str, raw: Any) -> Any:
        path = ("channels", name)
        if not isinstance(raw, dict):
            return self._valid(ChannelSettings, raw, *path)
        own = {key: raw[key] for key in raw.keys() & _CHANNEL}
        if EMAIL in (name, own.get("driver")):
            self.faults.append(Fault(path, "is no place for the channel email: that is [smtp]"))
            return _INVALID
        options: Any = _INVALID
        if "driver" in own:
            rest = {key: raw[key] for key in raw.keys() - _CHANNEL}
            driver_at = (*path, "driver")
            options = self._options(plugins.channel, own["driver"], rest, driver_at, path)
        return self._with_options(ChannelSettings, own, options, path)

    def _crm(self, name: str, raw: Any) -> Any:
        path = ("crm", name)
        if not isinstance(raw, dict):
            return self._valid(Crm, raw, *path)
        own = {key: value for key, value in raw.items() if key != "options"}
        given = raw.get("options", {})
        options: Any = _INVALID
        if "adapter" in own:
            options = self._options(
                plugins.crm_adapter,
                own["adapter"],
                given,
                (*path, "adapter"),
                (*path, "options"),
            )
        return self._with_options(Crm, own, options, path)

    def _options(
        self,
        find: Callable[[str], type[plugins.Plugin]],
        name: Any,
        raw: Any,
        named_at: tuple[str, ...],
        path: tuple[str, ...],
    ) -> Any:
        """What the plug-in called `name` makes of the table `raw` at `path`."""
        if not isinstance(name, str):
            return _INVALID
        try:
            model = plugins.options_type(find(name))
        except ConfigError as error:
            self.faults += [Fault(named_at, problem) for problem in error.faults]
            return _INVALID
        return self._valid(model, raw, *path)

    def _with_options(
        self, model: type[BaseModel], own: dict[str, Any], options: Any, path: tuple[str, ...]
    ) -> Any:
        """The section of `own` keys and its plug-in's `options`; both sides are checked."""
        stand_in = Options() if options is _INVALID else options
        section = self._valid(model, {**own, "options": stand_in}, *path)
        return _INVALID if options is _INVALID else section

    def _valid(self, model: Any, raw: Any, *path: str) -> Any:
        self.faults += self._elsewhere.resolve(model, raw, path)
        try:
            return TypeAdapter(model).validate_python(raw)
        except ValidationError as error:
            self.faults += told(error, model, raw, path)
            return _INVALID


def _flat(raw: Any) -> Any:
    """`extra.tier = true` is a table in TOML; the source is called `extra.tier` all the same."""
    if not isinstance(raw, dict) or not isinstance(raw.get("extra"), dict):
        return raw
    flat = {key: value for key, value in raw.items() if key != "extra"}
    return flat | {f"extra.{key}": value for key, value in raw["extra"].items()}

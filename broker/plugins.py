"""Plug-ins by name: what an installed package registered, or `module:Class` spelled out."""

from __future__ import annotations

import re
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, TypeVar, cast

from broker.domain.errors import ConfigError
from broker.ports import CallPlatform, Channel, CrmAdapter, NumberLookup, Options

if TYPE_CHECKING:
    from aiohttp import ClientSession

Plugin = CrmAdapter | CallPlatform | Channel | NumberLookup
P = TypeVar("P", CrmAdapter, CallPlatform, Channel, NumberLookup)
_SPELLED = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def crm_adapter(name: str) -> type[CrmAdapter]:
    """The adapter class that `[crm.<name>] adapter` names; ConfigError if there is none."""
    return cast("type[CrmAdapter]", _find("broker.crm_adapters", name, CrmAdapter))


def platform(name: str) -> type[CallPlatform]:
    """The driver class that `[platform] driver` names; ConfigError if there is none."""
    return cast("type[CallPlatform]", _find("broker.platforms", name, CallPlatform))


def channel(name: str) -> type[Channel]:
    """The channel class of this name; ConfigError if there is none."""
    return cast("type[Channel]", _find("broker.channels", name, Channel))


def number_lookup(name: str) -> type[NumberLookup]:
    """The driver class that `[number_lookup] driver` names; ConfigError if there is none."""
    return cast("type[NumberLookup]", _find("broker.number_lookups", name, NumberLookup))


def spelled_out(name: str, port: type[object]) -> type[object]:
    """The subclass of `port` that `module:Class` names; ConfigError if there is none."""
    if not _SPELLED.fullmatch(name):
        raise ConfigError("the name has to be spelled module:Class")
    module, _, attribute = name.partition(":")
    return _checked(_imported(module, attribute), port)


def options_type(plugin: type[Plugin]) -> type[Options]:
    """The model that reads this plug-in's options; ConfigError if it declares none."""
    declared = getattr(plugin, "options_type", None)
    if not (isinstance(declared, type) and issubclass(declared, Options)):
        raise ConfigError("the plug-in class has no `options_type`")
    return declared


def build(plugin: type[P], options: Options, http: ClientSession) -> P:
    """A working plug-in. Every constructor takes exactly its options and its session."""
    factory = cast("Any", plugin)
    return cast("P", factory(options, http))


def _find(group: str, name: str, port: type[object]) -> type[object]:
    if _SPELLED.fullmatch(name):
        return spelled_out(name, port)
    return _checked(_imported(*_registered(group, name)), port)


def _registered(group: str, name: str) -> tuple[str, str]:
    """Module and class behind a registered name."""
    known = {(entry.name, entry.value): entry for entry in entry_points(group=group)}
    entries = [entry for (registered, _), entry in known.items() if registered == name]
    if len(entries) > 1:
        raise ConfigError(f"several installed packages register this name in {group}")
    if not entries:
        names = sorted({registered for registered, _ in known})
        near = get_close_matches(name, names, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        listed = ", ".join(names) or "none is installed"
        raise ConfigError(f"no plug-in of this name (known: {listed}){hint}")
    return entries[0].module, entries[0].attr


def _imported(module: str, attribute: str) -> object:
    try:
        return getattr(import_module(module), attribute)
    except ImportError as error:
        missing = error.name or module
        raise ConfigError(f"the plug-in needs the module {missing}, which is missing") from error
    except AttributeError as error:
        raise ConfigError(f"the module {module} has no {attribute}") from error
    except Exception as error:
        raise ConfigError(f"the plug-in cannot be imported ({type(error).__name__})") from error


def _checked(found: object, port: type[object]) -> type[object]:
    if isinstance(found, type) and issubclass(found, port):
        return found
    raise ConfigError(f"the plug-in is no subclass of {port.__name__}")

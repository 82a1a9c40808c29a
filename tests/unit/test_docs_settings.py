"""docs/settings.md tells every key, its default and whether it is a secret, and no other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel, SecretStr

from broker.channels.smtp import SmtpOptions
from broker.channels.twilio import TwilioLookupOptions
from broker.channels.webhook import WebhookOptions
from broker.domain.variables import OPTIONAL_PROFILE, OPTIONAL_STEP, PROFILE, STEP
from broker.platforms.babelforce.options import BabelforceOptions
from broker.settings.models import InboundField, Settings
from broker.settings.shapes import holds_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

DOCS = Path(__file__).parents[2] / "docs" / "settings.md"
ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| .+ \|$", re.MULTILINE)
PLUG_INS: dict[str, type[BaseModel]] = {
    "platform.options": BabelforceOptions,
    "smtp": SmtpOptions,
    "channels.<name>.options": WebhookOptions,
    "number_lookup.options": TwilioLookupOptions,
}
"""Whose keys stand in this page; those of CRM adapters have pages of their own."""


def models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]


def keys_of(model: type[BaseModel], parent: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key path with its field."""
    for name, field in model.model_fields.items():
        path = f"{parent}{name}"
        if path in {"warnings", "crm.<name>.options", "variables"}:
            continue
        inner = [PLUG_INS[path]] if path in PLUG_INS else models_in(field.annotation)
        prefix = path.removesuffix("options").rstrip(".") + "."
        if get_origin(field.annotation) is Mapping and inner:
            prefix += "<name>."
        for table in inner:
            yield from keys_of(table, prefix)
        if not inner:
            yield path, field


def written(field: FieldInfo) -> str:
    return "required" if field.is_required() else toml(field.default)


def toml(value: Any) -> str:
    plain = value.value if isinstance(value, Enum) else value
    plain = plain.get_secret_value() if isinstance(plain, SecretStr) else plain
    match plain:
        case None:
            return "-"
        case bool():
            return f"`{str(plain).lower()}`"
        case str():
            return f'`"{plain}"`'
        case tuple():
            return "`[" + ", ".join(f'"{item}"' for item in plain) + "]`"
        case Mapping():
            return "`{}`"
        case _:
            return f"`{plain:g}`"


def documented() -> dict[str, tuple[str, str]]:
    """Key -> type and default."""
    return {key: (kind, default) for key, kind, default in ROW.findall(DOCS.read_text("utf-8"))}


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    special = {"crm.<name>.options", "variables.<source>"}
    assert documented().keys() == {key for key, _ in keys_of(Settings)} | special


def test_every_default_is_the_one_that_is_used() -> None:
    defaults: dict[str, set[str]] = {}
    for key, field in keys_of(Settings):
        defaults.setdefault(key, set()).add(written(field))
    login = {"username": "u", "password": "p"}
    kind = BabelforceOptions.model_validate({"auth": login}).auth.kind
    defaults["platform.auth.kind"] = {toml(kind)}  # decided by a validator, not by a field
    shown = {key: default for key, (_, default) in documented().items() if key in defaults}
    assert {key for key in shown if shown[key] not in defaults[key]} == set()


def test_the_keys_with_three_forms_are_the_secrets_of_the_page() -> None:
    told = {key for key, (kind, _) in documented().items() if kind == "secret"}
    assert told == {key for key, field in keys_of(Settings) if holds_secret([field.annotation])}


def test_every_source_and_every_inbound_field_is_named() -> None:
    text = DOCS.read_text("utf-8")
    names = {*PROFILE, *STEP, *OPTIONAL_PROFILE, *OPTIONAL_STEP, *get_args(InboundField)}
    assert {name for name in names if f"`{name}`" not in text} == set()

"""The configuration of a broker that stands in front of a sandbox."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any

_HTTP, _HOST = "127.0.0.1:8091", 'host = "127.0.0.1"'
_ALLOWED = 'allow_internal = ["127.0.0.1"]'
_MAIL, _BROKER = "port = 8025", "port = 8080"
_PUBLIC = "http://127.0.0.1:8080"


def broker_toml(sandbox: str = _HTTP, smtp_port: int = 8025, broker_port: int = 8080) -> str:
    """The file `broker serve` needs, for these addresses (`sandbox` is `host:port`)."""
    text = (files("broker.sandbox") / "broker.toml").read_text()
    host = sandbox.rpartition(":")[0]
    return (
        text.replace(_PUBLIC, f"http://127.0.0.1:{broker_port}")
        .replace(_HTTP, sandbox)
        .replace(_HOST, f'host = "{host}"')
        .replace(_ALLOWED, f'allow_internal = ["{host.strip("[]")}"]')
        .replace(_MAIL, f"port = {smtp_port}")
        .replace(_BROKER, f"port = {broker_port}")
    )


def broker_tables(sandbox: str, smtp_port: int, broker_port: int) -> dict[str, Any]:
    """The same, parsed."""
    return tomllib.loads(broker_toml(sandbox, smtp_port, broker_port))

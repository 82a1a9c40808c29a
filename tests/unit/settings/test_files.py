"""Which file is read, and what is said of one that cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.domain.errors import ConfigError
from broker.settings import load

if TYPE_CHECKING:
    from pathlib import Path

MINIMAL = """
[platform]
driver = "answer"
[server]
port = {port}
[crm.shop]
adapter = "tests.unit.settings.conftest:ShopAdapter"
"""


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(path: Path, port: int) -> Path:
    path.write_text(MINIMAL.format(port=port), encoding="utf-8")
    return path


def test_the_named_file_goes_before_the_variable_and_the_directory(tmp_path: Path) -> None:
    named, other = written(tmp_path / "named.toml", 1), written(tmp_path / "other.toml", 2)
    written(tmp_path / "broker.toml", 3)
    environ = {"BROKER_CONFIG": str(other)}
    assert load(named, environ).server.port == 1
    assert load(None, environ).server.port == 2
    assert load(None, {}).server.port == 3


def test_a_named_file_that_is_missing_stops_the_start(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    for path, environ in ((missing, {}), (None, {"BROKER_CONFIG": str(missing)})):
        with pytest.raises(ConfigError, match="cannot be read: No such file"):
            load(path, environ)


def test_without_any_file_the_operator_hears_of_broker_init() -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {})
    assert any("`broker init` writes an example" in fault for fault in caught.value.faults)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'[smtp]\npassword = "hunter2secret', r"no valid TOML \(at (line 2|end)"),
        (b'[smtp]\npassword = "hunter2secret\xff"', "not UTF-8"),
    ],
)
def test_a_broken_file_is_refused_without_being_quoted(
    content: bytes, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=problem) as caught:
        load(path, {})
    assert "hunter2secret" not in str(caught.value)


def test_relative_paths_begin_where_the_file_is(tmp_path: Path) -> None:
    config = tmp_path / "etc" / "broker.toml"
    (config.parent / "templates").mkdir(parents=True)
    (config.parent / "key").write_text("k" * 16)
    config.write_text(
        MINIMAL.format(port=1)
        + 'options.file = "customers.csv"\n[templates]\ndir = "templates"\n'
        + '[server.clients.ivr]\nkey_file = "key"\n'
    )
    settings = load(config, {})
    assert settings.templates.dir == config.parent / "templates"
    assert settings.server.clients["ivr"].keys == ["k" * 16]
    assert settings.crm["shop"].options.model_dump()["file"] == config.parent / "customers.csv"
    absolute = load(config, {"BROKER_CRM__SHOP__OPTIONS__FILE": "/var/customers.csv"})
    assert str(absolute.crm["shop"].options.model_dump()["file"]) == "/var/customers.csv"

"""BROKER_* variables over the file, and secrets that are kept elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from broker.settings import from_mapping

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.settings.conftest import FaultsOf, Tables

KEY = "k" * 16


def test_a_variable_overrides_the_file(tables: Tables) -> None:
    settings = from_mapping(
        tables(server={"port": 1, "drain_delay_s": 9}),
        {"BROKER_SERVER__PORT": "2", "BROKER_STORE__ALLOW_MEMORY": "true", "OTHER": "x"},
    )
    assert (settings.server.port, settings.server.drain_delay_s) == (2, 9.0)
    assert settings.store.allow_memory is True


@pytest.mark.parametrize("name", ["shop", "my-shop", "My_Shop"])
def test_a_variable_finds_the_part_whatever_its_spelling(name: str, tables: Tables) -> None:
    adapter = tables()["crm"]["shop"]["adapter"]
    segment = name.upper().replace("-", "_")
    settings = from_mapping(
        tables(crm={name: {"adapter": adapter}}),
        {
            f"BROKER_CRM__{segment}__TIMEOUT_MS": "300",
            f"BROKER_CRM__{segment}__OPTIONS__PATH": "1234",
        },
    )
    assert list(settings.crm) == [name]
    assert settings.crm[name].timeout_ms == 300
    assert settings.crm[name].options.model_dump()["path"] == "1234"


def test_a_part_can_be_made_of_variables_alone(tables: Tables) -> None:
    settings = from_mapping(
        tables(crm={}), {"BROKER_CRM__SHOP__ADAPTER": tables()["crm"]["shop"]["adapter"]}
    )
    assert list(settings.crm) == ["shop"]


def test_a_session_variable_is_switched_off_by_a_variable(tables: Tables) -> None:
    settings = from_mapping(tables(), {"BROKER_VARIABLES__PREMIUM": "false"})
    assert "premium" not in settings.session_variables().names


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("BROKER_SERVER", "unknown variable"),
        ("BROKER_SERVER__", "unknown variable"),
        ("BROKER_SERVER__PRT", "server.prt: unknown key; did you mean port?"),
        ("BROKER_SERVER__PORT__X", "server.port is no table"),
        ("BROKER_PORT_8080_TCP", "enableServiceLinks"),
        ("BROKER_NOPE__X", "nope: unknown key"),
    ],
)
def test_a_variable_that_sets_nothing_stops_the_start(
    name: str, told: str, faults_of: FaultsOf
) -> None:
    [fault] = faults_of({name: "1"}, server={"port": 1})
    assert told in fault


def secret_tables(tables: Tables, **options: Any) -> dict[str, Any]:
    table = tables(server={"clients": {"ivr": {"key": KEY}}})
    table["crm"]["shop"]["options"] = options
    return table


def test_a_secret_comes_from_where_the_file_says(tables: Tables, tmp_path: Path) -> None:
    stored = tmp_path / "token"
    stored.write_text("from-file\n")
    by_file = from_mapping(secret_tables(tables, token_file=str(stored)), {})
    by_variable = from_mapping(secret_tables(tables, token_env="T"), {"T": "from-variable"})
    tokens = [
        settings.crm["shop"].options.token.get_secret_value()  # type: ignore[attr-defined]
        for settings in (by_file, by_variable)
    ]
    assert tokens == ["from-file", "from-variable"]


def test_an_option_that_only_looks_like_a_secret_is_left_alone(tables: Tables) -> None:
    settings = from_mapping(secret_tables(tables, ca_file="/etc/ca.pem"), {})
    assert settings.crm["shop"].options.model_dump()["ca_file"] == "/etc/ca.pem"


def test_only_secrets_can_be_kept_elsewhere(tables: Tables, faults_of: FaultsOf) -> None:
    crm = secret_tables(tables, path_file="/etc/path")["crm"]
    [fault] = faults_of(crm=crm)
    assert fault.startswith("crm.shop.options.path_file: unknown key")


def test_every_section_takes_secrets_in_three_forms(tables: Tables, tmp_path: Path) -> None:
    stored = tmp_path / "key"
    stored.write_text("f" * 16)
    settings = from_mapping(
        tables(
            server={"clients": {"a": {"key_env": "K"}, "b": {"key_file": str(stored)}}},
            privacy={"hash_key_env": "H"},
            store={"url_env": "S"},
            platform={
                "driver": tables()["platform"]["driver"],
                "auth": {"kind": "token", "token_env": "T"},
            },
        ),
        {"K": KEY, "H": "h" * 16, "S": "redis://:secret@store", "T": "t"},
    )
    assert settings.server.clients["b"].keys == ["f" * 16]
    assert settings.store.url.get_secret_value() == "redis://:secret@store"
    assert settings.platform.options.auth.token.get_secret_value() == "t"  # type: ignore[attr-defined]


def test_a_secret_is_never_printed(tables: Tables) -> None:
    settings = from_mapping(
        secret_tables(tables, token="t0k3n-c4n4ry"),
        {"BROKER_STORE__URL": "redis://:c4n4ry@store", "BROKER_PRIVACY__HASH_KEY": "c4n4ry" * 5},
    )
    assert "c4n4ry" not in repr(settings) + str(settings) + settings.model_dump_json()
    assert KEY not in repr(settings)


@pytest.mark.parametrize(
    ("client", "told"),
    [
        ({"key": KEY, "key_env": "K"}, "is given twice: key and key_env"),
        ({"key_env": "K", "key_file": "x"}, "is given twice: key_env and key_file"),
        ({"key_env": "NOT_SET"}, "key_env names a variable that is not set"),
        ({"key_env": 3}, "key_env must be a text"),
        ({"key_file": "/nowhere/at/all"}, "key_file names a file that cannot be read"),
        ({"key_file": "/dev/null"}, "key_file names a file that is empty"),
        ({"key": "short"}, "must have at least 16 characters"),
    ],
)
def test_a_secret_is_given_exactly_once(
    client: dict[str, Any], told: str, faults_of: FaultsOf
) -> None:
    faults = faults_of({"K": KEY}, server={"clients": {"ivr": client}})
    assert faults == [f"server.clients.ivr.key: {told}"]


def test_a_client_needs_a_key_or_a_signature(faults_of: FaultsOf) -> None:
    faults = faults_of(server={"clients": {"ivr": {}}})
    assert faults == ["server.clients.ivr: needs a key, an hmac_secret or both"]


def test_a_secret_in_the_file_and_in_a_variable_is_given_twice(faults_of: FaultsOf) -> None:
    environ = {"BROKER_SERVER__CLIENTS__IVR__KEY": KEY, "K": KEY}
    [fault] = faults_of(environ, server={"clients": {"ivr": {"key_env": "K"}}})
    assert fault.startswith("server.clients.ivr.key: is given twice")

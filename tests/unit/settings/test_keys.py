"""Unknown, missing and wrong keys: all told at once, by name and never by value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.domain.errors import ConfigError
from broker.settings import from_mapping

if TYPE_CHECKING:
    from tests.unit.settings.conftest import FaultsOf, Tables


def test_the_smallest_file_is_enough(tables: Tables) -> None:
    settings = from_mapping(tables(), {})
    assert (settings.server.port, settings.store.in_memory) == (8080, True)
    assert settings.timeout_ms(settings.crm["shop"]) == settings.lookup.late_ms


def test_everything_that_is_wrong_is_listed_at_once(faults_of: FaultsOf) -> None:
    faults = faults_of(
        {"BROKER_STORE__LEASE_MS": "soon", "BROKER_HOST": "192.0.2.1"},
        server={"prot": 80, "port": "x", "clients": {"ivr": {}}},
        lookup={"late_ms": 1},
        strore={},
        crm={"shop": {"timeout": 3}},
    )
    assert faults == [
        "BROKER_HOST: unknown variable; settings are called BROKER_<SECTION>__<KEY>",
        "strore: unknown key; did you mean store?",
        "server.port: must be a whole number",
        "server.clients.ivr: needs a key, an hmac_secret or both",
        "server.prot: unknown key; did you mean port?",
        "store.lease_ms: must be a whole number (set by BROKER_STORE__LEASE_MS)",
        "crm.shop.adapter: is missing",
        "crm.shop.timeout: unknown key; did you mean timeout_ms?",
        "lookup.late_ms: is shorter than lookup.deadline_ms",
    ]


def test_no_value_stands_in_an_error(tables: Tables) -> None:
    canary = "c4n4ry-value"
    wrong = {
        "server": {"port": canary, "host": 7, "public_url": canary, canary[:3]: canary},
        "store": {"url": canary, "prefix": canary + "!", "allow_memory": canary},
        "lookup": {"late": canary, "default_region": canary, "regions": {"+49": canary}},
        "reference": {"alphabet": canary, "length": canary},
        "tracking": {"url_template": canary, "email": {"when": canary}},
        "platform": {"driver": canary},
        "crm": {"a": {"adapter": canary}, "b": {"adapter": canary + ":X"}},
        "smtp": canary,
        "variables": {"email": canary + " x", "premium": 3},
        "templates": {"dir": canary},
        "privacy": {"log_numbers": canary, "hash_key": canary},
    }
    with pytest.raises(ConfigError) as caught:
        from_mapping(tables(**wrong), {"BROKER_CRM__C__PRIORITY": canary})
    assert len(caught.value.faults) > 15
    assert not [fault for fault in caught.value.faults if canary in fault]


def test_a_wrong_kind_of_credentials_is_told_without_its_name(
    tables: Tables, faults_of: FaultsOf
) -> None:
    driver = tables()["platform"]["driver"]
    auth = {"kind": "c4n4ry"}
    assert faults_of(platform={"driver": driver, "auth": auth}) == [
        "platform.auth.kind: must be one of 'password', 'token'"
    ]
    assert faults_of(platform={"driver": driver, "auth": {"token": "x"}}) == [
        "platform.auth.kind: is missing"
    ]
    assert faults_of(platform={"driver": driver, "auth": "c4n4ry"}) == [
        "platform.auth: must be a table"
    ]
    auth = {"kind": "password", "password": "hunter2", "usernme": "x"}
    assert faults_of(platform={"driver": driver, "auth": auth}) == [
        "platform.auth.username: is missing",
        "platform.auth.usernme: unknown key; did you mean username?",
    ]


def test_a_choice_that_a_plug_in_makes_by_itself_is_told_without_its_value(
    tables: Tables, faults_of: FaultsOf
) -> None:
    shop = tables()["crm"]["shop"]
    for size, told in (("c4n4ry", "must be one of 'small', 'large'"), (None, "is missing")):
        faults = faults_of(crm={"shop": shop | {"options": {"box": {"size": size}}}})
        assert faults == [f"crm.shop.options.box: {told}"]


def test_options_of_an_adapter_are_checked_with_the_rest(
    tables: Tables, faults_of: FaultsOf
) -> None:
    adapter = tables()["crm"]["shop"]["adapter"]
    assert faults_of(
        server={"port": -1}, crm={"shop": {"adapter": adapter, "options": {"pth": "x"}}}
    ) == [
        "server.port: must be greater than or equal to 0",
        "crm.shop.options.pth: unknown key; did you mean path?",
    ]


def test_a_plug_in_that_quotes_the_value_is_not_quoted(tables: Tables, faults_of: FaultsOf) -> None:
    shop = tables()["crm"]["shop"] | {"options": {"quoted": "c4n4ry"}}
    assert faults_of(crm={"shop": shop}) == ["crm.shop.options.quoted: is not valid"]


@pytest.mark.parametrize("value", [True, 1.5, "x", -1, None, [], {}])
def test_a_time_is_a_positive_whole_number(value: object, faults_of: FaultsOf) -> None:
    [fault] = faults_of(server={"max_wait_ms": value})
    assert fault.startswith("server.max_wait_ms: must be ")


@pytest.mark.parametrize("section", ["server", "platform", "crm", "smtp", "variables", "lookup"])
def test_a_section_that_is_no_table_is_refused(section: str, faults_of: FaultsOf) -> None:
    assert f"{section}: must be a table" in faults_of(**{section: 1})


@pytest.mark.parametrize(
    ("template", "fine"),
    [
        ("https://shop.example/track/{track_id}", True),
        ("https://shop.example/?t={track_id}", True),
        ("https://shop.example/track/", False),
        ("https://{track_id}.example/", False),
        ("https://shop.example/{track_id}/{email}", False),
        ("javascript:alert('{track_id}')", False),
    ],
)
def test_a_tracking_address_has_the_track_id_and_nothing_else(
    template: str, fine: bool, faults_of: FaultsOf
) -> None:
    tracking = {"url_template": template, "link": "direct", "email": {"when": "never"}}
    assert faults_of(tracking=tracking) == [] if fine else faults_of(tracking=tracking) != []

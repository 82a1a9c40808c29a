"""The files in `deploy/` against the broker they deploy: metrics, times, settings, pages."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from broker.settings import load

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
LAST_ANSWERS_S = 2
_SELECTED = re.compile(r"(broker_\w+)(?:\{([^}]*)\})?")
_GROUPED = re.compile(r"\bby \(([^)]*)\)")
_OF_PROMETHEUS = {"job", "instance", "le", "alertname", "severity"}


def _documented() -> dict[str, str]:
    """Metric name -> the whole row of docs/metrics.md."""
    rows = (ROOT / "docs" / "metrics.md").read_text().splitlines()
    return {row.split("`")[1]: row for row in rows if row.startswith("| `broker_")}


def _alerts() -> list[dict[str, Any]]:
    document = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def _expressions() -> Iterator[str]:
    for alert in _alerts():
        yield alert["expr"]
    for panel in json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


def _family(name: str) -> str:
    return re.sub(r"(?<=_seconds)_(bucket|count|sum)$", "", name)


@pytest.mark.parametrize("expression", sorted(set(_expressions())))
def test_what_is_watched_is_measured_with_these_labels(expression: str) -> None:
    documented = _documented()
    selected = _SELECTED.findall(expression)
    assert selected
    rows = " ".join(documented[_family(name)] for name, _ in selected)
    labels = {re.split(r"[=!]", part)[0] for _, inside in selected for part in inside.split(",")}
    for group in _GROUPED.findall(expression):
        labels |= {label.strip() for label in group.split(",")}
    for label in labels - _OF_PROMETHEUS - {""}:
        assert f"`{label}`" in rows, f"{expression}: nothing has the label {label}"


def test_every_alert_leads_to_its_section_of_the_operations_page() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    sections = set(re.findall(r"^#+ (Broker\w+)$", page, re.MULTILINE))
    assert sections == {alert["alert"] for alert in _alerts()}
    for alert in _alerts():
        assert alert["annotations"]["runbook"] == f"docs/operations.md#{alert['alert'].lower()}"


def test_every_alert_is_seen_firing_and_silent() -> None:
    document = yaml.safe_load((DEPLOY / "prometheus" / "alerts_test.yaml").read_text())
    tested = [rule for test in document["tests"] for rule in test["alert_rule_test"]]
    names = {alert["alert"] for alert in _alerts()}
    assert {rule["alertname"] for rule in tested if rule["exp_alerts"]} == names
    assert {rule["alertname"] for rule in tested if not rule["exp_alerts"]} == names


def _pod() -> dict[str, Any]:
    document = yaml.safe_load((DEPLOY / "kubernetes" / "deployment.yaml").read_text())
    pod: dict[str, Any] = document["spec"]["template"]["spec"]
    return pod


def _kubernetes_toml() -> str:
    document = yaml.safe_load((DEPLOY / "kubernetes" / "configmap.yaml").read_text())
    text: str = document["data"]["broker.toml"]
    return text


def _stop_s(server: dict[str, Any]) -> float:
    """How long a stop may take with this `[server]` table."""
    drain, grace = server.get("drain_delay_s", 2), server.get("shutdown_grace_s", 20)
    return float(drain + grace + LAST_ANSWERS_S)


def test_nothing_is_killed_before_its_drain_may_be_over() -> None:
    kubernetes = tomllib.loads(_kubernetes_toml())["server"]
    assert _pod()["terminationGracePeriodSeconds"] >= _stop_s(kubernetes)

    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    toml = tomllib.loads((DEPLOY / "compose" / "broker.toml").read_text())
    for replica in ("broker-1", "broker-2"):
        patience = compose["services"][replica]["stop_grace_period"]
        assert float(patience.removesuffix("s")) >= _stop_s(toml["server"])

    unit = (DEPLOY / "systemd" / "broker@.service").read_text()
    patience = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert [float(seconds) >= _stop_s({}) for seconds in patience] == [True]


def test_the_kubernetes_configuration_loads_with_the_secrets_of_the_example(
    tmp_path: Path,
) -> None:
    secret = yaml.safe_load((DEPLOY / "kubernetes" / "secret.example.yaml").read_text())
    for name, value in secret["stringData"].items():
        (tmp_path / name).write_text(value)
    config = tmp_path / "broker.toml"
    config.write_text(_kubernetes_toml().replace("/run/secrets/broker", str(tmp_path)))
    settings = load(config, {"BROKER_SERVER__HOST": "0.0.0.0"})  # noqa: S104 - as the image says
    assert settings.server.host == "0.0.0.0"  # noqa: S104 - a client is there
    read = {Path(path).name for path in re.findall(r'_file = "([^"]+)"', _kubernetes_toml())}
    assert read == set(secret["stringData"])


def test_the_compose_configuration_loads() -> None:
    settings = load(DEPLOY / "compose" / "broker.toml", {"IVR_KEY": "try-out-key-not-secret"})
    assert not settings.store.in_memory
    assert settings.outbound.allow_internal == ("sandbox",)  # a service beside it, not public


def test_the_unit_gives_secrets_in_the_form_that_settings_take() -> None:
    unit = (DEPLOY / "systemd" / "broker@.service").read_text()
    loaded = re.findall(r"^LoadCredential=(\w+):", unit, re.MULTILINE)
    assert re.findall(r"^Environment=BROKER_\w+_FILE=%d/(\w+)$", unit, re.MULTILINE) == loaded

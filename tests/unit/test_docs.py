"""Every route, variable, metric, error code, key and script has its line in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from broker.domain.customer import LookupState
from broker.domain.record import Outcome, Phase
from broker.domain.routing import Route
from broker.domain.variables import OPTIONAL_PROFILE, OPTIONAL_STEP, PROFILE, STEP
from broker.metrics import Metrics
from broker.stores.connection import SCRIPTS
from broker.web.auth import SCOPES
from broker.web.problems import CODES
from broker.web.routes import ROUTES

ROOT = Path(__file__).parents[2]


def _page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def _first_cells(page: str) -> set[str]:
    """What stands in backticks in the first cell of any table row."""
    rows = re.findall(r"^\| (.+?) \|", _page(page), re.MULTILINE)
    return {word for row in rows for word in re.findall(r"`([^`]+)`", row)}


def test_every_route_is_documented_and_no_other() -> None:
    served = {f"{route.method} {route.path}" for route in ROUTES}
    documented = {cell for cell in _first_cells("http.md") if cell.startswith(("GET ", "POST "))}
    assert documented == served


def test_every_error_code_is_documented_with_its_status() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d{3}) \|", _page("errors.md"), re.MULTILINE))
    assert rows == {code: str(kind.status) for code, kind in CODES.items()}


def test_every_metric_is_documented_with_its_labels() -> None:
    page = _page("metrics.md")
    documented = {name for name in _first_cells("metrics.md") if name.startswith("broker_")}
    served = {_served_name(metric) for metric in Metrics().registry.collect()}
    assert documented == served
    for row in page.splitlines():
        assert not re.match(r"\| `broker_.*\| \|$", row), "a metric without meaning"


def _served_name(metric: object) -> str:
    suffix = {"counter": "_total", "info": "_info"}.get(metric.type, "")  # type: ignore[attr-defined]
    return f"{metric.name}{suffix}"  # type: ignore[attr-defined]


@pytest.mark.parametrize("source", [*PROFILE, *STEP, *OPTIONAL_PROFILE, *OPTIONAL_STEP])
def test_every_variable_is_documented_with_its_default_name(source: str) -> None:
    names = {**PROFILE, **STEP, **OPTIONAL_PROFILE, **OPTIONAL_STEP}
    assert f"| `{source}` | `{names[source]}` |" in _page("variables.md")


@pytest.mark.parametrize("value", [*LookupState, *Route])
def test_every_lookup_state_and_route_is_explained(value: str) -> None:
    assert f"`{value}`" in _page("variables.md")


@pytest.mark.parametrize("value", [*Phase, *Outcome])
def test_every_phase_and_outcome_is_explained(value: str) -> None:
    assert str(value) in _first_cells("http.md")


def test_every_scope_is_explained() -> None:
    assert set(SCOPES) <= _first_cells("http.md")


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_is_named_in_the_store_page_and_describes_itself(script: str) -> None:
    source = (ROOT / "broker" / "stores" / "scripts" / f"{script}.lua").read_text()
    assert f"`{script}`" in _page("store.md")
    assert re.search(r"^-- KEYS", source, re.MULTILINE)
    assert re.search(r"^-- RETURN", source, re.MULTILINE)


@pytest.mark.parametrize("page", ["errors.md", "store.md", "settings.md", "metrics.md"])
def test_nothing_is_explained_twice(page: str) -> None:
    first = re.findall(r"^\| (`[^|]+`) \|", _page(page), re.MULTILINE)
    assert sorted(set(first)) == sorted(first)


def test_every_kind_of_key_is_in_the_store_page() -> None:
    kinds: set[str] = set()
    for path in (ROOT / "broker" / "stores").glob("*.py"):
        source = path.read_text()
        kinds |= set(re.findall(r'\.key\("(\w+)"[,)]', source)) - {"due", "dead"}
    kinds |= {f"{kind}:{name}" for kind in ("due", "dead") for name in ("calls", "messages")}
    documented = {cell.split(":<")[0] for cell in _first_cells("store.md")}
    assert kinds <= documented
    assert {"call", "alias", "trace", "active", "limit", "link", "used"} <= kinds

"""The page of every adapter: what it tells to write into a file can be read, and nothing lacks."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from broker.plugins import crm_adapter, options_type
from broker.sdk import HttpCrmOptions
from broker.settings import from_mapping

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted((DOCS / "adapters").glob("*.md"))
OFFERED = sorted(entry.name for entry in entry_points(group="broker.crm_adapters"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_example_of_an_adapters_page_can_be_used(page: Path) -> None:
    text = page.read_text()
    (example,) = re.findall(r"```toml\n(\[crm\..+?)```", text, re.DOTALL)
    secrets = dict.fromkeys(re.findall(r'_env = "(\w+)"', example), "secret")
    environ = secrets | {"SHOP_DSN": "sqlite:////data/crm.db"}
    tables = {"platform": {"driver": "answer"}, **tomllib.loads(example)}
    (crm,) = from_mapping(tables, environ).crm.values()
    assert crm.adapter == page.stem


@pytest.mark.parametrize("adapter", OFFERED)
def test_every_option_of_its_own_is_explained(adapter: str) -> None:
    own = set(options_type(crm_adapter(adapter)).model_fields) - set(HttpCrmOptions.model_fields)
    page = (DOCS / "adapters" / f"{adapter}.md").read_text()
    first_cells = " ".join(re.findall(r"^\| (.+?) \|", page, re.MULTILINE))
    assert own <= set(re.findall(r"`(\w+)`", first_cells))


def test_every_adapter_has_a_page_and_a_row_in_the_matrix() -> None:
    matrix = (DOCS / "adapters.md").read_text()
    assert set(OFFERED) <= {page.stem for page in PAGES}
    assert [name for name in OFFERED if f"(adapters/{name}.md)" not in matrix] == []

"""The page of every adapter: what it tells to write into a file can be read, and nothing lacks."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from typing import get_args

import pytest
from pydantic import TypeAdapter

from broker.plugins import crm_adapter, options_type
from broker.sdk import Auth, HttpCrmAdapter, HttpCrmOptions, PremiumRule
from broker.settings import from_mapping
from broker.testing.crm_kit import KeypadCrmAdapterKit
from broker.testing.crm_report import question
from broker.testing.http_crm_kit import HttpCrmAdapterKit, NoteKit, TicketKit

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


GUIDE = (DOCS / "adapters.md").read_text()
KITS = (HttpCrmAdapterKit, TicketKit, NoteKit, KeypadCrmAdapterKit)
QUESTIONS = {name for kit in KITS for name in dir(kit) if name.startswith("test_")}


def test_the_guide_lists_every_question_of_the_kit_and_no_other() -> None:
    listed = GUIDE.partition("\nThe questions:\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^- (.+)$", listed, re.MULTILINE)) == set(map(question, QUESTIONS))


def lines_of(option: str) -> list[str]:
    blocks = re.findall(r"```toml\n(.+?)```", GUIDE, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith(option)]


@pytest.mark.parametrize("line", lines_of("auth ="))
def test_every_kind_of_credentials_in_the_guide_can_be_used(line: str) -> None:
    auth = tomllib.loads(line)["auth"]
    given = {re.sub("_(env|file)$", "", key): value for key, value in auth.items()}
    assert TypeAdapter[Auth](Auth).validate_python(given).kind == auth["kind"]


def test_the_guide_shows_every_kind_of_credentials() -> None:
    kinds = {kind.model_fields["kind"].annotation for kind in get_args(get_args(Auth)[0])}
    named = {literal for kind in kinds for literal in get_args(kind)}
    assert {tomllib.loads(line)["auth"]["kind"] for line in lines_of("auth =")} == named


@pytest.mark.parametrize("line", lines_of("premium ="))
def test_every_premium_rule_in_the_guide_can_be_used(line: str) -> None:
    PremiumRule.model_validate(tomllib.loads(line)["premium"])


def test_the_guide_explains_every_public_helper_of_an_adapter() -> None:
    helpers = {name for name in vars(HttpCrmAdapter) if not name.startswith("_")}
    told = set(re.findall(r"`(?:self\.)?(\w+)", GUIDE))
    assert helpers - told == set()

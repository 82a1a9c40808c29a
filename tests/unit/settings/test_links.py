"""`[links.<name>]`: what cannot work is told at the start, with all the rest, and never later."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from broker.domain.link_targets import KINDS, App, Apple, Telegram, WhatsApp
from broker.settings import from_mapping

if TYPE_CHECKING:
    from tests.unit.settings.conftest import FaultsOf, Tables

BUSINESS = "22222222-dddd-4444-bbbb-777777777777"
WHATSAPP = {"kind": "whatsapp", "number": "+493023125000"}
APPLE = {"kind": "apple", "business_id": BUSINESS}
APP = {"kind": "app", "url": "shopapp://m/{handle}", "app_store": "123456789"}
TELEGRAM = {"kind": "telegram", "bot": "shop_bot"}


def test_links_keep_the_order_of_the_file(tables: Tables) -> None:
    links = {
        "tg": TELEGRAM
        | {"valid_from": date(2026, 1, 1), "valid_until": "2026-12-31", "label": {"de": "TG"}},
        "wa": WHATSAPP | {"words": {"de": "Hallo {handle}"}},
        "ap": APPLE,
        "app": APP,
    }
    targets = from_mapping(tables(links=links), {}).link_targets()
    assert list(targets.items()) == [
        (
            "tg",
            Telegram(
                bot="shop_bot",
                labels={"de": "TG"},
                valid_from=date(2026, 1, 1),
                valid_until=date(2026, 12, 31),
            ),
        ),
        ("wa", WhatsApp(number="+493023125000", words={"de": "Hallo {handle}"})),
        ("ap", Apple(business_id=BUSINESS)),
        ("app", App(url="shopapp://m/{handle}", app_store="123456789")),
    ]


def test_a_variable_changes_one_value_of_a_link(tables: Tables) -> None:
    environ = {"BROKER_LINKS__TG__BOT": "other_bot"}
    settings = from_mapping(tables(links={"tg": TELEGRAM}), environ)
    assert settings.link_targets() == {"tg": Telegram(bot="other_bot")}


def test_google_business_messages_is_refused_with_its_date(faults_of: FaultsOf) -> None:
    old = {"kind": "google_business", "agent": "x", "brand": {"id": 1}}
    assert faults_of(links={"gbm": old}) == [
        "links.gbm.kind: was closed by its platform on 2024-07-31"
    ]


@pytest.mark.parametrize(
    ("link", "told"),
    [
        ({"kind": "viber"}, "links.x.kind: must be one of 'messenger', 'telegram',"),
        ({}, "links.x.kind: is missing"),
        (WHATSAPP | {"numbr": "1"}, "links.x.numbr: unknown key; did you mean number?"),
        (WHATSAPP | {"number": "030 23125000"}, "links.x.number: must be a number with country"),
        (
            WHATSAPP | {"words": {"en": "{handle}", "de": "Hallo"}},
            "links.x: the words must have {handle}",
        ),
        (WHATSAPP | {"words": {"de": "ü" * 400 + "{handle}"}}, "links.x: the link has more than"),
        (WHATSAPP | {"words": {"german": "{handle}"}}, "links.x.words.german: must match"),
        (WHATSAPP | {"label": "Chat"}, "links.x.label: must be a table"),
        (TELEGRAM | {"bot": "@shop_bot"}, "links.x.bot: must match"),
        (TELEGRAM | {"words": {"en": "x"}}, "links.x.words: unknown key"),
        (TELEGRAM | {"valid_from": "soon"}, "links.x.valid_from: "),
        (
            TELEGRAM | {"valid_from": date(2026, 2, 1), "valid_until": date(2026, 1, 31)},
            "links.x: valid_until is before valid_from",
        ),
        ({"kind": "messenger", "page": "a/b"}, "links.x.page: must match"),
        (APPLE | {"business_id": "shop"}, "links.x.business_id: must match"),
        (APPLE | {"group": "a&b"}, "links.x.group: must match"),
        (APPLE | {"words": {"de": "Frage (neu)"}}, "links.x: has one of & # [ ] ( ) { } /"),
        (APPLE | {"intent": "orders"}, "links.x: intent is where the handle goes"),
        (APPLE | {"handle_in": "group", "group": "a"}, "links.x: group is where the handle goes"),
        ({"kind": "rcs", "agent": "shop"}, "links.x.agent: must match"),
        ({"kind": "chat", "url": "http://a.example/{handle}"}, "links.x.url: must be an address"),
        ({"kind": "chat", "url": "https://{handle}.example/"}, "links.x.url: must have a host"),
        ({"kind": "chat", "url": "https://a.example/"}, "links.x.url: must have {handle}"),
        ({"kind": "faq", "url": "https://a.example/{token}"}, "links.x.url: must be an address"),
        ({"kind": "faq", "url": 'https://a.example/"><b>'}, "links.x.url: must be an address"),
        ({"kind": "faq", "url": f"https://a.example/{'a' * 2000}"}, "links.x: the link has more"),
        ({"kind": "faq", "url": "https:///faq"}, "links.x.url: must have a host"),
        (APP | {"url": "javascript://a/{handle}"}, "links.x.url: must be an address"),
        (APP | {"url": "shopapp:m/{handle}"}, "links.x.url: must be an address"),
        (APP | {"app_store": "id1"}, "links.x.app_store: must match"),
        (APP | {"app_store": None}, "links.x: needs app_store, play_store or both"),
        (APP | {"play_store": "shop"}, "links.x.play_store: must match"),
    ],
)
def test_a_link_that_cannot_work_stops_the_start(
    link: dict[str, Any], told: str, faults_of: FaultsOf
) -> None:
    [fault] = faults_of(links={"x": link})
    assert fault.startswith(told)


def test_all_faults_of_all_links_are_told_at_once(faults_of: FaultsOf) -> None:
    links = {"a": TELEGRAM | {"bot": "b"}, "b": APPLE | {"business_id": "", "group": "#"}}
    assert len(faults_of(links=links)) == 3


def test_the_example_of_the_page_can_be_used(tables: Tables) -> None:
    page = (Path(__file__).parents[3] / "docs" / "links.md").read_text()
    examples = "\n".join(re.findall(r"```toml\n(.*?)```", page, re.DOTALL))
    links = tomllib.loads(examples)["links"]
    assert from_mapping(tables(links=links), {}).link_targets().keys() == links.keys()
    cells = re.findall(r"^\| (`.+?`) \|", page, re.MULTILINE)
    documented = set(re.findall(r"`(\w+)`", " ".join(cells)))
    assert documented == set(KINDS)

"""The landing page is plain HTML under a strict policy, whatever the operator calls his buttons."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from broker.usecases.landing import Choice, Opened
from broker.web.landing_page import POLICY, page

TELEGRAM = Choice("Telegram", "https://t.me/shop_bot?start=h", None)
APP = Choice("App öffnen", "shopapp://m/h?a=1&b=2", ("App Store", "https://apps.apple.com/app/id1"))


class Seen(HTMLParser):
    """The tags of a page, its links and its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str | None] = []
        self.attributes: set[str] = set()
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


def test_every_choice_is_a_link_with_its_words_and_its_store() -> None:
    seen = Seen(page(Opened((TELEGRAM, APP), None, "de")))
    assert seen.links == [TELEGRAM.link, APP.link, "https://apps.apple.com/app/id1"]
    assert [word for word in seen.words if word][-3:] == [
        "Telegram",
        "App öffnen",
        "Bei App Store laden",
    ]


@pytest.mark.parametrize(
    ("language", "tag"),
    [("de-AT", "de"), ("es_MX", "es"), ("EN", "en"), ("fr", "en"), (None, "en"), ('"><b', "en")],
)
def test_the_page_speaks_three_languages(language: str | None, tag: str) -> None:
    text = page(Opened((TELEGRAM,), None, language))
    assert f'<html lang="{tag}">' in text
    heading = {"de": "Wie möchten", "es": "¿Cómo quiere", "en": "How would"}[tag]
    assert text.count(heading) == 2, "title and heading"


@pytest.mark.parametrize(
    ("language", "words"), [("de", "Bitte"), ("es", "Responda"), ("", "Pleas")]
)
def test_without_a_choice_the_page_says_what_can_be_done(language: str, words: str) -> None:
    seen = Seen(page(Opened((), None, language)))
    assert any(word.startswith(words) for word in seen.words)
    assert seen.links == []


def test_labels_and_links_cannot_break_out() -> None:
    hostile = Choice('<script>alert("x")</script>', 'https://x.example/"><img src=y>', None)
    seen = Seen(page(Opened((hostile,), None, None)))
    assert not {"script", "img"} & set(seen.tags)
    assert seen.links == [hostile.link]
    assert '<script>alert("x")</script>' in seen.words


def test_the_policy_allows_the_one_style_and_nothing_else() -> None:
    text = page(Opened((TELEGRAM, APP), None, None))
    [style] = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert POLICY.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    seen = Seen(text)
    assert not {"script", "img", "link", "iframe", "form", "base"} & set(seen.tags)
    assert not {name for name in seen.attributes if name.startswith("on") or name == "style"}

"""Templates say what they should in every language, and are refused before they can fail a call."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.channels.templates import Templates
from broker.domain.errors import ConfigError, PermanentError
from broker.domain.messages import TRACKING

if TYPE_CHECKING:
    from pathlib import Path

LINK = "https://shop.example.com/t/abc_DEF-123?a=1&b=2"
OURS = Templates()
LANGUAGES = ("de", "en", "es")


class Page(HTMLParser):
    """The tags, links and visible text of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def written(folder: Path, **files: str) -> Path:
    """`folder` with a valid French tracking mail and `files`, `__` in whose names is a dot."""
    valid = {
        "tracking__fr__txt": "Subject: Suivi\n\n{{ link }}\n",
        "tracking__fr__html": "{{ link }}",
    }
    for name, source in (valid | files).items():
        (folder / name.replace("__", ".")).write_text(source, encoding="utf-8")
    return folder


def faults(folder: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        Templates(folder)
    return caught.value.faults


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_text_shows_the_link_exactly_once(language: str) -> None:
    mail = OURS.render(TRACKING, language, {"link": LINK, "name": "Ada"})
    assert mail.text.count(LINK) == 1
    assert mail.text.count("http") == 1
    assert "Ada" in mail.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_shows_the_link_as_its_only_button(language: str) -> None:
    page = Page(OURS.render(TRACKING, language, {"link": LINK, "name": "Ada"}).html)
    assert [attrs["href"] for tag, attrs in page.tags if tag == "a"] == [LINK]
    assert LINK not in page.text
    assert "Ada" in page.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_fetches_nothing_and_can_be_read_aloud(language: str) -> None:
    source = OURS.render(TRACKING, language, {"link": LINK}).html
    page = Page(source)
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"img", "script", "link", "style", "iframe", "object", "form"}
    assert "url(" not in source
    assert ("html", {"lang": language}) in page.tags
    assert {"title", "h1"} <= tags
    assert all(attrs.get("role") == "presentation" for tag, attrs in page.tags if tag == "table")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_tracking_mail_tells_nothing_but_the_name_and_the_link(language: str) -> None:
    without = OURS.render(TRACKING, language, {"link": LINK})
    told = {"link": LINK, "track_id": "CANARY-1", "email": "canary@example.com"}
    assert OURS.render(TRACKING, language, told) == without


@pytest.mark.parametrize("language", LANGUAGES)
def test_nobody_is_greeted_by_a_gap(language: str) -> None:
    for values in ({"link": LINK}, {"link": LINK, "name": ""}, {"link": LINK, "name": "\u2028"}):
        greeting = OURS.render(TRACKING, language, values).text.splitlines()[0]
        assert greeting in {"Hello,", "Guten Tag,", "Hola:"}


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("de", "de"),
        ("DE", "de"),
        ("de-AT", "de"),
        ("de_CH.UTF-8", "de"),
        ("es-Latn-MX", "es"),
        ("fr", "en"),
        ("German", "en"),
        ("", "en"),
        ("-", "en"),
        (None, "en"),
    ],
)
def test_the_nearest_language_is_served(asked: str | None, served: str) -> None:
    assert OURS.render(TRACKING, asked, {"link": LINK}) == OURS.render(
        TRACKING, served, {"link": LINK}
    )


def test_an_exact_language_goes_before_its_base(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        **{"tracking__de-AT__txt": "Subject: Servus\n{{ link }}"},
        **{"tracking__de-AT__html": "{{ link }}"},
    )
    templates = Templates(folder)
    assert templates.render(TRACKING, "de-at", {"link": LINK}).subject == "Servus"
    assert templates.render(TRACKING, "de_AT", {"link": LINK}).subject == "Servus"
    assert templates.render(TRACKING, "de-CH", {"link": LINK}).subject != "Servus"


def test_a_file_of_the_operator_takes_the_place_of_ours_alone(tmp_path: Path) -> None:
    folder = written(tmp_path, tracking__de__txt="Subject: Wo?\n\nHier: {{ link }}\n")
    mail = Templates(folder).render(TRACKING, "de", {"link": LINK})
    assert (mail.subject, mail.text) == ("Wo?", f"Hier: {LINK}\n")
    assert mail.html == OURS.render(TRACKING, "de", {"link": LINK}).html


def test_the_operators_layout_takes_the_place_of_ours(tmp_path: Path) -> None:
    layout = "<b>ACME</b> <a href='{{ link }}'>{% block button %}{% endblock %}</a>"
    folder = written(tmp_path, _layout__html=layout)
    page = Page(Templates(folder).render(TRACKING, "de", {"link": LINK}).html)
    assert page.text == "ACME Bestellung verfolgen"


def test_a_language_can_be_added(tmp_path: Path) -> None:
    mail = Templates(written(tmp_path)).render(TRACKING, "fr-CA", {"link": LINK})
    assert mail.subject == "Suivi"


@pytest.mark.parametrize(
    ("name", "source", "fault"),
    [
        ("tracking__de__txt", "Subject: x\n\n{{ link }}\n{% if %}", "tracking.de.txt: line 4: "),
        ("tracking__de__txt", "Hello {{ link }}", "line 1: the first line must begin with"),
        ("tracking__de__txt", "Subject:  \n{{ link }}", "tracking.de.txt: the subject is empty"),
        ("tracking__de__txt", "Subject: x\nHello", "tracking.de.txt: does not show the link"),
        ("tracking__de__html", "<p>Hello</p>", "tracking.de.html: does not show the link"),
        ("tracking__de__html", "{{ lnik }}", "tracking.de.html: 'lnik' is undefined"),
        ("tracking__de__html", "{{ link }}{% if nmae %}{% endif %}", "'nmae' is undefined"),
        ("tracking__de__html", "Hello {{ name }} {{ link }}", "'name' is undefined (may be absent"),
        ("tracking__de__html", "{{ link }}{{ ''.__class__.__mro__ }}", "unsafe"),
        ("tracking__de__html", "{{ link }}{{ 1 // 0 }}", "tracking.de.html: ZeroDivisionError"),
        ("tracking__de__html", "{% include '_none.html' %}", "tracking.de.html: _none.html"),
        ("tracking__it__txt", "Subject: x\n{{ link }}", "tracking.it.html: is missing"),
        ("trakcing__de__txt", "Subject: x\n{{ link }}", "trakcing.de.txt: is not called"),
        ("tracking__german__txt", "Subject: x\n{{ link }}", "tracking.german.txt: is not called"),
    ],
)
def test_a_faulty_template_is_named_at_start(
    tmp_path: Path, name: str, source: str, fault: str
) -> None:
    (told,) = faults(written(tmp_path, **{name: source}))
    assert fault in told


def test_all_faults_are_told_together(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        tracking__de__txt="no subject",
        tracking__en__html="{{ name }}{{ link }}",
        tracking__it__html="{{ link }}",
    )
    (folder / "tracking.es.txt").write_bytes(b"Subject: \xff\n")
    told = sorted(fault.partition(":")[0] for fault in faults(folder))
    assert told == ["tracking.de.txt", "tracking.en.html", "tracking.es.txt", "tracking.it.txt"]


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    assert faults(tmp_path / "none") == ("templates.dir is no directory",)


def test_a_template_that_fails_on_one_customer_serves_the_next(tmp_path: Path) -> None:
    source = "{{ link }}{% if name %}{{ 1 // (name|length - 4) }}{% endif %}"
    templates = Templates(written(tmp_path, tracking__en__html=source))
    with pytest.raises(PermanentError) as caught:
        templates.render(TRACKING, "en", {"link": LINK, "name": "Anna"})
    assert "Anna" not in str(caught.value)
    assert templates.render(TRACKING, "en", {"link": LINK, "name": "Ada"}).html


def test_a_subject_that_comes_out_empty_fails_the_message(tmp_path: Path) -> None:
    source = f"Subject: {{% if link != '{LINK}' %}}x{{% endif %}}\n{{{{ link }}}}"
    templates = Templates(written(tmp_path, tracking__en__txt=source))
    with pytest.raises(PermanentError, match="subject"):
        templates.render(TRACKING, "en", {"link": LINK})


def test_a_subject_is_one_line_whatever_the_template_does(tmp_path: Path) -> None:
    source = 'Subject: Where{{ "\\r\\nBcc: " }}is it?{{ "\\x00" }}\n{{ link }}'
    mail = Templates(written(tmp_path, tracking__en__txt=source)).render(
        TRACKING, "en", {"link": LINK}
    )
    assert mail.subject == "Where Bcc: is it?"


def test_an_unknown_purpose_fails_the_message() -> None:
    with pytest.raises(PermanentError):
        OURS.render("unheard_of", "en", {"link": LINK})


@pytest.mark.parametrize(
    "link",
    [
        "",
        "javascript:alert(1)",
        "data:text/html,x",
        "ftp://shop.example.com/",
        "//shop.example.com/",
        "https://",
        "https://shop.example.com/a b",
        'https://shop.example.com/"onclick=x',
        "https://shop.example.com/\r\nBcc: eve@example.net",
        "https://shop.example.com/\n",
        "https://shop.example.com/<b>",
        "https://shop.example.com/\u2028",
        "see https://shop.example.com/",
        "https://shop.example.com/" + "x" * 3000,
    ],
)
def test_only_a_web_address_is_a_link(link: str) -> None:
    with pytest.raises(PermanentError):
        OURS.render(TRACKING, "en", {"link": link})
    with pytest.raises(PermanentError):
        OURS.render(TRACKING, "en", {})


PLAIN = Page(OURS.render(TRACKING, "en", {"link": LINK, "name": "Ada"}).html)


@pytest.mark.parametrize(
    "name", ["{{ 7*7 }}", "{{7*7}}", "{% raw %}", "{0.__class__}", "${x}", "%s%n", "<b>&amp;</b>"]
)
def test_a_value_is_shown_as_it_is(name: str) -> None:
    mail = OURS.render(TRACKING, "en", {"link": LINK, "name": name})
    assert f"Hello {name}," in mail.text
    assert f"Hello {name}," in Page(mail.html).text


@given(st.text(max_size=300))
@settings(max_examples=300)
def test_no_name_changes_the_page_around_it(name: str) -> None:
    mail = OURS.render(TRACKING, "en", {"link": LINK, "name": name})
    assert Page(mail.html).tags == PLAIN.tags
    assert mail.subject == "Track your order"
    assert len(mail.text.split("\n")) == len(
        OURS.render(TRACKING, "en", {"link": LINK}).text.split("\n")
    )

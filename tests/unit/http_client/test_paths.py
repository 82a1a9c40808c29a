"""No id and no path moves a request to another resource."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from broker.domain.errors import BadInputError, ConfigError
from broker.http_client.paths import checked_base, path_of, url_of, with_query

BASE = URL("https://api.example.com:8443/crm")
TRICKS = [
    "..",
    ".",
    "../users/1",
    "a/../../agents",
    "%2e%2e",
    "%2E%2e/users",
    "..%2f",
    "x?y=1",
    "x#y",
    "x;y=1",
    "x\0",
    "x\r\nHost: evil.example",
    "x\n",
    "\uff0e\uff0e",  # full-width dots
    "\\..\\",
    "a b",
    "",
    "é",
    "a" * 65,
    "@evil.example",
]


@pytest.mark.parametrize("trick", TRICKS)
def test_an_id_that_could_move_the_path_is_refused(trick: str) -> None:
    with pytest.raises(BadInputError) as caught:
        path_of("api", "v2", "sessions", trick)
    assert caught.value.code == "invalid_id"
    assert trick == "" or trick not in str(caught.value)


@pytest.mark.parametrize(
    "path", [f"/sessions/{trick}" for trick in TRICKS if trick not in {"a" * 65, ""}]
)
def test_a_path_that_leads_elsewhere_is_refused_whoever_built_it(path: str) -> None:
    if path in {"/sessions/x;y=1", "/sessions/@evil.example"}:
        assert url_of(BASE, path).raw_path == f"/crm{path}"  # harmless after the first slash
        return
    with pytest.raises(BadInputError) as caught:
        url_of(BASE, path)
    assert caught.value.code == "invalid_id"


@pytest.mark.parametrize("path", ["//evil.example", "sessions", "@evil.example", ":99", ".evil"])
def test_a_path_cannot_change_the_host(path: str) -> None:
    with pytest.raises(BadInputError):
        url_of(BASE, path)


@given(st.text(alphabet="ab./%2eE?#@:;=~+\\\0", max_size=20) | st.text(max_size=20))
def test_whatever_is_let_through_is_the_path_itself(text: str) -> None:
    try:
        url = url_of(BASE, f"/x/{text}")
    except BadInputError:
        return
    assert url.raw_path == f"/crm/x/{text}"
    assert url.origin() == BASE.origin()
    assert not url.query_string
    assert not url.fragment


@given(st.text(max_size=20))
def test_a_parameter_arrives_as_it_is_and_without_a_plus_that_could_be_a_space(text: str) -> None:
    url = with_query(BASE, {"$filter": text})
    assert dict(url.query) == {"$filter": text}
    assert "+" not in url.raw_query_string
    assert url.raw_path == BASE.raw_path
    assert not url.fragment


def test_checked_ids_become_the_path_they_spell() -> None:
    path = path_of("api", "v2", "sessions", "1a2b-3C_4")
    assert path == "/api/v2/sessions/1a2b-3C_4"
    assert str(url_of(BASE, path)) == "https://api.example.com:8443/crm/api/v2/sessions/1a2b-3C_4"


@pytest.mark.parametrize(
    ("base", "path", "url"),
    [
        ("https://x.example", "", "https://x.example"),
        ("https://x.example/", "/a/", "https://x.example/a/"),
        ("https://x.example/crm/ ", "/a", "https://x.example/crm/a"),
        ("https://x.example/a%20b", "/..c/d..", "https://x.example/a%20b/..c/d.."),
        ("http://127.0.0.1:8080", "/a+b@c:d", "http://127.0.0.1:8080/a+b@c:d"),
    ],
)
def test_base_and_path_are_put_together(base: str, path: str, url: str) -> None:
    assert str(url_of(checked_base(base, "crm"), path)) == url


@pytest.mark.parametrize(
    "base",
    [
        "",
        "x.example",
        "ftp://x.example",
        "file:///etc/passwd",
        "https://",
        "https://user:hunter2@x.example",
        "https://x.example?key=hunter2",
        "https://x.example#hunter2",
        "https://x.example:hunter2",
    ],
)
def test_a_base_url_that_is_not_plain_stops_the_start_without_being_quoted(base: str) -> None:
    with pytest.raises(ConfigError) as caught:
        checked_base(base, "crm.shop")
    assert "crm.shop" in str(caught.value)
    assert "hunter2" not in str(caught.value)

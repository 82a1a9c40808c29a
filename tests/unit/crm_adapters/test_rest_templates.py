"""Request templates and paths into answers, as an operator writes them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from broker.domain.errors import BadInputError
from broker.testing.hostile import HOSTILE
from crm_adapters.rest import RestOptions
from crm_adapters.rest.templates import BY_PHONE, BY_REFERENCE, Template

VALUES = {"e164": "+493023125001", "digits": "493023125001", "national": "3023125001"}


def test_placeholders_are_filled_in_the_path_and_in_the_query() -> None:
    template = Template.parse("/c/{digits}?phone={e164}&q=tel:{national}&limit=3", None, BY_PHONE)
    filled = template.filled(VALUES)
    assert filled.path == "/c/493023125001"
    assert filled.params == {"phone": "+493023125001", "q": "tel:3023125001", "limit": "3"}


def test_an_escaped_query_is_not_escaped_twice() -> None:
    template = Template.parse("/c?a%20b=%2B{digits}&x=", None, BY_PHONE)
    assert template.filled(VALUES).params == {"a b": "+493023125001", "x": ""}


def test_placeholders_are_filled_at_any_depth_of_a_body_and_nothing_else_changes() -> None:
    body = {
        "filters": [{"field": "phone", "op": "in", "values": "{spellings}"}, {"v": ["{e164}"]}],
        "query": "query { customer(phone: $p) { id } }",
        "limit": 3,
        "all": False,
        "none": None,
    }
    filled = Template.parse("/search", body, BY_PHONE).filled(VALUES, ("+49 30", "030"))
    assert filled.body == {
        **body,
        "filters": [
            {"field": "phone", "op": "in", "values": ["+49 30", "030"]},
            {"v": ["+493023125001"]},
        ],
    }


@pytest.mark.parametrize("text", [*HOSTILE, "++49", "abc", "１２３"])  # noqa: RUF001
def test_a_value_that_could_change_more_than_itself_is_refused(text: str) -> None:
    template = Template.parse("/c/{reference}", None, BY_REFERENCE)
    with pytest.raises(BadInputError) as refused:
        template.filled({"reference": text})
    assert not text or text not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("/customers", None),
        ("/customers?phone={phone}", None),
        ("/customers?phone={spellings}", None),
        ("customers?phone={e164}", None),
        ("https://evil.example.com/?phone={e164}", None),
        ("/a b?phone={e164}", None),
        ("/%2e%2e/c?phone={e164}", None),
        ("/c?phone={e164}&phone={digits}", None),
        ("/c?phone={e164}#top", None),
        ("/c?phone", None),
        ("/search", {"phone": "+49"}),
        ("/search", {"phone": "{tel}"}),
        ("/search", {"{e164}": "phone"}),
    ],
)
def test_a_request_that_would_find_the_same_for_everybody_or_is_no_url_is_refused(
    url: str, body: dict[str, Any] | None
) -> None:
    with pytest.raises(ValidationError):
        RestOptions(
            base_url="https://crm.example.com", method="POST", phone_path=url, phone_body=body
        )


@pytest.mark.parametrize(
    "options",
    [
        {"phone_path": None},
        {"phone_body": {"phone": "{e164}"}},
        {"not_found": [404, 401]},
        {"not_found": [500]},
        {"results": "items[a]"},
        {"fields": {"email": "emails[*"}},
        {"fields": {"extra": {"x": "a..b"}}},
        {"fields": {"phones": ["phones[]"]}},
        {"premium": {"field": "a.b."}},
        {"region": "XX"},
        {"auth": {"kind": "bearer", "token": "t", "header": "x"}},
        {"auth": {"kind": "digest", "token": "t"}},
        {"auth": {"kind": "header", "name": "X: y", "value": "t"}},
        {"timeout": 3},
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    working = {"base_url": "https://crm.example.com", "phone_path": "/c?phone={e164}"}
    RestOptions.model_validate(working)
    with pytest.raises(ValidationError):
        RestOptions.model_validate({**working, **options})

"""No value becomes part of a query."""

from __future__ import annotations

import pytest

from broker.domain.errors import BadInputError
from broker.http_client import plain_text


def test_a_plain_literal_holds_what_needs_no_escape() -> None:
    assert plain_text("+49 (30) 1") == "'+49 (30) 1'"


@pytest.mark.parametrize("char", ["'", '"', "\\", "\n", "\x00", "\x7f"])
def test_what_would_need_an_escape_is_refused(char: str) -> None:
    with pytest.raises(BadInputError):
        plain_text(f"1{char}2")

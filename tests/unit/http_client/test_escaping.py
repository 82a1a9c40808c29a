"""No value ends its own literal, and every value arrives as it was."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker.domain.errors import BadInputError
from broker.http_client import odata_text, plain_text, soql_text, sosl_term
from broker.testing.hostile import HOSTILE

VALUES = st.text() | st.text("'\"\\{}()*?+-&|!~^:;%_\n\r\t\b\f\x00 a1", max_size=20)
SOQL_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def soql_value(literal: str) -> str:
    """What Salesforce reads; fails if the literal ends before its last character."""
    assert literal[0] == literal[-1] == "'"
    parts = re.fullmatch(r"(?:[^'\"\\\n\r\t\b\f]|\\['\"\\nrtbf])*", literal[1:-1], re.DOTALL)
    assert parts is not None
    return re.sub(r"\\(.)", lambda escape: SOQL_ESCAPES.get(escape[1], escape[1]), literal[1:-1])


@given(VALUES)
def test_no_value_ends_a_soql_literal(value: str) -> None:
    assert soql_value(soql_text(value)) == value


@given(VALUES)
def test_no_value_ends_an_odata_literal(value: str) -> None:
    literal = odata_text(value)
    assert re.fullmatch(r"'(?:[^']|'')*'", literal, re.DOTALL)
    assert literal[1:-1].replace("''", "'") == value


@given(VALUES)
def test_no_value_is_an_operator_of_a_sosl_search(value: str) -> None:
    term = sosl_term(value)
    bare = re.sub(r"\\.", "", term, flags=re.DOTALL)
    assert not set(bare) & set("?&|!{}[]()^~*:\\\"'+-")
    assert re.sub(r"\\(.)", r"\1", term, flags=re.DOTALL) == value


@given(VALUES)
@example("1000001' OR 1=1")
@example("AB-10007")
def test_a_value_that_cannot_be_quoted_is_refused_and_not_changed(value: str) -> None:
    if re.search(r"['\"\\\x00-\x1f\x7f]", value):
        with pytest.raises(BadInputError):
            plain_text(value)
    else:
        assert plain_text(value) == f"'{value}'"
        assert plain_text(value, quote='"') == f'"{value}"'


@pytest.mark.parametrize("value", HOSTILE)
def test_what_attackers_type_stays_one_literal(value: str) -> None:
    assert soql_value(soql_text(value)) == value
    assert odata_text(value).count("'") % 2 == 0

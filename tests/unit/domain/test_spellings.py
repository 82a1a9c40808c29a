"""How one CRM spells telephone numbers: an operator's patterns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from broker.domain.call import Phone
from broker.domain.spellings import Pattern, formatted, spelled

READ: TypeAdapter[str] = TypeAdapter(Pattern)
BOSTON = Phone.from_e164("+16175550123")
BERLIN = Phone.from_e164("+493023125001")


@pytest.mark.parametrize(
    ("phone", "pattern", "text"),
    [
        (BOSTON, "(***) ***-****", "(617) 555-0123"),
        (BOSTON, "***.***.****", "617.555.0123"),
        (BOSTON, "+1 (***) ***-****", "+1 (617) 555-0123"),
        (BOSTON, "1-***-***-****", "1-617-555-0123"),
        (BERLIN, "0** ********", "030 23125001"),
        (BERLIN, "0** / ********", "030 / 23125001"),
        (BERLIN, "+49 (0)** ********", "+49 (0)30 23125001"),
        (BERLIN, "(***) ***-****", "(302) 312-5001"),
    ],
)
def test_each_star_is_a_digit_of_the_national_number(phone: Phone, pattern: str, text: str) -> None:
    assert formatted(phone, READ.validate_python(pattern)) == text


@pytest.mark.parametrize(
    "pattern", ["*********", "***********", "+49 ** ********", "+44 ** ********", "+4 ***********"]
)
def test_a_number_that_does_not_fit_is_not_bent_into_shape(pattern: str) -> None:
    assert formatted(BOSTON, READ.validate_python(pattern)) is None


def test_every_pattern_that_fits_is_used_once() -> None:
    patterns = ["***-***-****", "**", "+1***-***-****", "***-***-****"]
    assert spelled(BOSTON, patterns) == ("617-555-0123", "+1617-555-0123")


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "0301234",
        "xxx-xxx",
        "*'*",
        "*%",
        "*;*",
        "+0**",
        "+1234*",
        "*+49*",
        "*" * 41,
        "*\n",
        "٣*",
    ],
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError):
        READ.validate_python(pattern)


NUMBERS = st.sampled_from(
    [
        *("+16175550123", "+493023125001", "+491701234567", "+442079460123", "+33142685300"),
        *("+390669812345", "+34912345678", "+5491123456789", "+420212345678", "+6561234567"),
    ]
)


@st.composite
def patterns(draw: st.DrawFn, phone: Phone) -> str:
    """The national number in groups, as people write it."""
    left, groups = len(phone.national), []
    while left:
        groups.append(draw(st.integers(1, left)))
        left -= groups[-1]
    separator = draw(st.sampled_from([" ", "-", ".", "/", ""]))
    text = separator.join("*" * group for group in groups)
    code = f"+{phone.digits.removesuffix(phone.national)}"
    return draw(st.sampled_from(["", code, f"{code} "])) + text


@given(st.data(), NUMBERS)
def test_a_spelled_number_reads_as_the_same_number(data: st.DataObject, e164: str) -> None:
    phone = Phone.from_e164(e164)
    text = formatted(phone, READ.validate_python(data.draw(patterns(phone))))
    assert text is not None
    assert Phone.read(text, phone.region) == phone
    assert phone.is_spelled(text)

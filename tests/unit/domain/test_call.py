"""Caller numbers as networks spell them, numbers and references as CRMs store them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.call import (
    Alphabet,
    Caller,
    Line,
    Numbering,
    Phone,
    Reference,
    ReferenceFormat,
    called_number,
    checked_id,
    fold_to_keypad,
)
from broker.domain.errors import BadInputError

BERLIN = Phone.from_e164("+493023125001")
GERMANY = Numbering("DE", {"+44": "GB", "+39": "IT", "+54": "AR", "+1": "US", "+1416": "CA"})
NATIONAL = Numbering("DE", bare="national")


def number(raw: str | None, called: str | None = None, numbering: Numbering = GERMANY) -> str:
    """The E.164 number, or why there is none."""
    parsed = numbering.parse(raw, called)
    return parsed.e164 if isinstance(parsed, Phone) else parsed


@pytest.mark.parametrize(
    "raw",
    [
        "+493023125001",
        "+49 30 23125001",
        "+49 (0)30 23125001",
        "0049 30 23125001",
        "0049 (0)30/23125001",
        "493023125001",
        "030 23125001",
        "(030) 23125001",
        "030/23125001",
        "3023125001",
        " +493023125001 ",
        "+493023125001\n",
        "tel:+49-30-23125001",
        "tel:03023125001;phone-context=+49",
        "sip:+493023125001@example.com;user=phone",
        "SIPS:493023125001@example.com:5061",
    ],
)
def test_a_caller_is_recognised_however_the_network_spells_him(raw: str) -> None:
    assert number(raw) == "+493023125001"


@pytest.mark.parametrize(
    "raw",
    [None, "", "  ", "anonymous", "Restricted", "unknown", "+", "sip:anonymous@anonymous.invalid"],
)
def test_a_caller_without_number_is_withheld(raw: str | None) -> None:
    assert number(raw) == Caller.WITHHELD


def test_a_caller_whom_the_platform_calls_anonymous_is_withheld_although_a_number_came() -> None:
    assert GERMANY.parse("+493023125001", anonymous=True) == Caller.WITHHELD


@pytest.mark.parametrize(
    "raw",
    [
        "911",
        "112",
        "0",
        "00",
        "+49",
        "11111111111",
        "sip:1001@pbx",
        "+12025550123 ext. 5",
        "+4930 23125001x",
        "+493023125001\n+493023125002",
        "+493023125001,+493023125002",
        "anonymous1",
        "+" + "4" * 60,
        "' OR '1'='1",
    ],
)
def test_what_is_no_valid_number_is_invalid_and_not_withheld(raw: str) -> None:
    assert number(raw) == Caller.INVALID


@pytest.mark.parametrize("raw", ["٠٣٠٢٣١٢٥٠٠١", "+٤٩٣٠٢٣١٢٥٠٠١", "０３０２３１２５００１", "²"])  # noqa: RUF001
def test_digits_of_other_scripts_are_no_number_but_somebody_did_call_with_one(raw: str) -> None:
    assert number(raw) == Caller.INVALID


@pytest.mark.parametrize(
    ("raw", "called", "e164"),
    [
        ("020 7946 0018", "+442079460000", "+442079460018"),
        ("020 7946 0018", "442079460000", "+442079460018"),
        ("020 7946 0018", "00442079460000", "+442079460018"),
        ("020 7946 0018", "+44 20 7946 0000", "+442079460018"),
        ("020 7946 0018", "sip:+442079460000@example.com", "+442079460018"),
        ("06 698 12345", "+390612", "+390669812345"),
        ("011 15-2345-6789", "+541140000000", "+5491123456789"),
        ("(513) 555-7611", "+15135550100", "+15135557611"),
        ("030 23125001", "+33140000000", "+493023125001"),
        ("030 23125001", None, "+493023125001"),
    ],
)
def test_a_national_number_is_read_in_the_country_that_was_called(
    raw: str, called: str | None, e164: str
) -> None:
    assert number(raw, called) == e164


@pytest.mark.parametrize(
    ("told", "called"),
    [
        ("+493023125001", "+493023125001"),
        (" 0049 30 23125001 ", "+493023125001"),
        ("(+49) 30 23125001", "+493023125001"),
        ("030 23125001", "+493023125001"),
        ("tel:+49-30-23125001", "+493023125001"),
        ("4915123456789", "+4915123456789"),
        ("358912345678", "+358912345678"),
        ("15123456789", "+15123456789"),
        ("sips:+493023125001@pbx.example", "+493023125001"),
        ("115", "115"),
        (" sales ", "sales"),
        ("sip:sales@pbx.example", "sip:sales@pbx.example"),
        (" ", None),
        ("", None),
        (None, None),
    ],
)
def test_what_was_called_is_a_number_or_what_was_told(told: str | None, called: str | None) -> None:
    assert called_number(told, "DE") == called


def test_the_longest_called_prefix_decides_the_country() -> None:
    """1300 numbers are valid in Australia only: the longer prefix must win, in any order."""
    regions = {"+61": "AU", "+6": "DE", "+612": "NZ"}
    for table in (regions, dict(reversed(regions.items()))):
        assert number("1300 975 707", "+61300", Numbering("DE", table)) == "+611300975707"


@pytest.mark.parametrize(
    ("raw", "international", "national"),
    [
        ("15135557611", "+15135557611", "+4915135557611"),
        ("493023125001", "+493023125001", "+493023125001"),
        ("3023125001", "+493023125001", "+493023125001"),
        ("+15135557611", "+15135557611", "+15135557611"),
    ],
)
def test_bare_digits_are_read_first_as_the_operator_says(
    raw: str, international: str, national: str
) -> None:
    assert number(raw) == international
    assert number(raw, numbering=NATIONAL) == national


def test_a_national_number_without_any_region_is_invalid() -> None:
    assert number("030 23125001", numbering=Numbering()) == Caller.INVALID


def test_italy_keeps_the_leading_zero_in_the_national_number() -> None:
    rome = Phone.from_e164("+390669812345")
    assert rome.national == "0669812345"
    assert "06 6981 2345" in rome.spellings
    assert rome.is_spelled("06 698 12345", "IT")


def test_argentina_spells_a_mobile_nationally_with_15_and_internationally_with_9() -> None:
    mobile = Phone.from_e164("+5491123456789")
    assert "011 15-2345-6789" in mobile.spellings
    assert mobile.is_spelled("011 15-2345-6789")
    assert mobile.is_spelled("+54 11 15 2345 6789")


@pytest.mark.parametrize(
    "text",
    [
        "+493023125001\n",
        "+٤٩3023125001",
        "+49 30 23125001",
        "+4930 23125001 ext 5",
        "+493023125001;ext=5",
        "493023125001",
        "+49",
        "",
    ],
)
def test_only_strict_e164_is_taken_as_e164(text: str) -> None:
    with pytest.raises(BadInputError) as refused:
        Phone.from_e164(text)
    assert text not in str(refused.value) or not text


def test_the_spellings_of_a_number_hold_what_crms_store_without_repeats() -> None:
    american = Phone.from_e164("+15135557611")
    assert american.spellings == (
        "+15135557611",
        "15135557611",
        "0015135557611",
        "+1 513-555-7611",
        "(513) 555-7611",
        "5135557611",
        "+1(513) 555-7611",
    )


@pytest.mark.parametrize(
    "e164",
    ["+493023125001", "+15135557611", "+390669812345", "+5491123456789", "+56221234567"],
)
def test_every_spelling_of_a_number_is_recognised_as_this_number(e164: str) -> None:
    phone = Phone.from_e164(e164)
    assert [spelling for spelling in phone.spellings if not phone.is_spelled(spelling)] == []


@pytest.mark.parametrize(
    ("e164", "stored", "region"),
    [
        ("+443023125001", "+493023125001", None),  # the same national number, another country
        ("+302310123456", "030 2310123456", "DE"),
        ("+302310123456", "030 2310123456", None),  # a trunk 0 is no beginning of +30
        ("+2035557611", "(203) 555-7611", "US"),  # Connecticut, not Alexandria
        ("+15135557611", "15135557611", "DE"),  # valid in Germany, and the file is German
        ("+493023125001", "", None),
        ("+493023125001", "n/a", None),
    ],
)
def test_a_number_of_somebody_else_is_not_taken_for_this_one(
    e164: str, stored: str, region: str | None
) -> None:
    assert not Phone.from_e164(e164).is_spelled(stored, region)


@pytest.mark.parametrize(
    ("stored", "region", "e164"),
    [
        ("030 23125001", "DE", "+493023125001"),
        ("493023125001", "DE", "+493023125001"),
        ("0049 30 23125001", None, "+493023125001"),
        ("4930 23125001", None, "+493023125001"),
        ("15135557611", "DE", "+4915135557611"),
        ("15135557611", "US", "+15135557611"),
        ("030 23125001", None, None),
        ("see notes", "DE", None),
    ],
)
def test_a_stored_number_has_one_reading(stored: str, region: str | None, e164: str | None) -> None:
    phone = Phone.read(stored, region)
    assert (phone.e164 if phone else None) == e164


@pytest.mark.parametrize(
    ("e164", "line"),
    [
        ("+491701234567", Line.MOBILE),
        ("+493023125001", Line.FIXED),
        ("+15135557611", Line.FIXED_OR_MOBILE),
        ("+18005550100", Line.TOLL_FREE),
        ("+499001234567", Line.PREMIUM_RATE),
        ("+80012345678", Line.TOLL_FREE),
    ],
)
def test_the_number_tells_what_line_it_is_as_far_as_it_can(e164: str, line: Line) -> None:
    assert Phone.from_e164(e164).line == line


@given(st.text(max_size=60))
def test_whatever_comes_as_caller_is_a_valid_number_or_a_reason(raw: str) -> None:
    parsed = GERMANY.parse(raw)
    if isinstance(parsed, Phone):
        assert Phone.from_e164(parsed.e164) == parsed
    else:
        assert parsed in Caller


@given(st.text(max_size=60))
def test_whatever_a_crm_stores_is_one_valid_number_or_none(stored: str) -> None:
    phone = Phone.read(stored, "DE")
    assert phone is None or (
        Phone.from_e164(phone.e164) == phone and phone.is_spelled(stored, "DE")
    )


@pytest.mark.parametrize("value", ["", "../x", "a/b", "a?b", "%2e", "a" * 65, "a\n", "ä", "a b"])
def test_an_id_that_could_change_a_url_is_refused(value: str) -> None:
    with pytest.raises(BadInputError) as refused:
        checked_id(value)
    assert refused.value.code == "invalid_id"


def test_letters_fold_to_the_keys_they_sit_on() -> None:
    assert fold_to_keypad("ABCDEFGHIJKLMNOPQRSTUVWXYZ-09z") == "22233344455566677778889999-099"


@pytest.mark.parametrize("raw", ["1234567", " 123 45-67# ", "*1234567", "123.4567", "1234567\n"])
def test_a_typed_reference_loses_stray_keys_and_spaces(raw: str) -> None:
    assert ReferenceFormat().parse(raw) == Reference("1234567")


@pytest.mark.parametrize(
    "raw",
    [None, "", "123456", "12345678", "123456a", "1234567'", "１２３４５６７", "12345٦٧"],  # noqa: RUF001
)
def test_what_is_no_reference_is_none(raw: str | None) -> None:
    assert ReferenceFormat().parse(raw) is None


def test_a_reference_of_letters_and_digits_is_upper_case() -> None:
    assert ReferenceFormat(alphabet=Alphabet.ALNUM).parse("ab-123 cd") == Reference("AB123CD")


@pytest.mark.parametrize("raw", ["12345ß", "ﬁ12345", "12345ı7"])  # noqa: RUF001
def test_letters_that_only_upper_case_makes_ascii_are_no_reference(raw: str) -> None:
    assert ReferenceFormat(alphabet=Alphabet.ALNUM).parse(raw) is None
    assert ReferenceFormat(alphabet=Alphabet.KEYPAD).parse(raw) is None


def test_a_keypad_reference_holds_the_keys_and_fits_every_spelling_that_shares_them() -> None:
    typed = ReferenceFormat(alphabet=Alphabet.KEYPAD).parse("22-1234 5")
    assert typed == Reference("2212345", keypad=True)
    assert [s for s in ("AB12345", "ca-12345", "2212345", "AD12345") if typed.is_spelled(s)] == [
        "AB12345",
        "ca-12345",
        "2212345",
    ]


def test_a_stored_reference_may_have_separators_but_no_other_characters() -> None:
    typed = Reference("1234567")
    assert typed.is_spelled("123-45 67")
    assert not typed.is_spelled("123/4567")
    assert not typed.is_spelled("12345678")

"""Which call it is, who calls (Phone) and what he typed (Reference)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from broker.domain.by_number import ByNumber
from broker.domain.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_NUMBER = re.compile(r"\+?\(?[0-9][0-9 ()./-]{1,40}", re.ASCII)
_DIGIT = re.compile(r"[0-9]", re.ASCII)
_COUNTRY_CODE = frozenset("123456789")
_NOISE = re.compile(r"[\s#*.-]+")
_KEYPAD = str.maketrans(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "22233344455566677778889999" * 2
)


def checked_id(value: str, name: str = "call_id") -> str:
    """`value`, fit for a URL path or a key; BadInputError `invalid_id` for anything else.

    Platforms differ in their ids (babelforce: 32 hex characters), so the alphabet is the widest
    that cannot change the meaning of a path or a key.
    """
    if _ID.fullmatch(value) is None:
        raise BadInputError(f"{name} must match [A-Za-z0-9_-]{{1,64}}", code="invalid_id")
    return value


@dataclass(frozen=True, slots=True)
class CallRef:
    """The ids of one call. They are three different things on the platform (docs/platforms)."""

    call_id: str
    session_id: str | None = None


class Line(StrEnum):
    """What kind of line a number is, as far as the number itself or a number lookup tells."""

    MOBILE = "mobile"
    FIXED = "fixed"
    FIXED_OR_MOBILE = "fixed_or_mobile"
    TOLL_FREE = "toll_free"
    PREMIUM_RATE = "premium_rate"
    VOIP = "voip"
    OTHER = "other"


_LINES = {
    PhoneNumberType.MOBILE: Line.MOBILE,
    PhoneNumberType.FIXED_LINE: Line.FIXED,
    PhoneNumberType.FIXED_LINE_OR_MOBILE: Line.FIXED_OR_MOBILE,
    PhoneNumberType.TOLL_FREE: Line.TOLL_FREE,
    PhoneNumberType.PREMIUM_RATE: Line.PREMIUM_RATE,
    PhoneNumberType.SHARED_COST: Line.PREMIUM_RATE,
    PhoneNumberType.VOIP: Line.VOIP,
}


@dataclass(frozen=True, slots=True)
class Phone:
    """A valid telephone number, built by `Numbering.parse`, `Phone.from_e164` or `Phone.read`."""

    e164: str
    """`+493023125001`"""
    digits: str
    """`493023125001`"""
    national: str
    """The national significant number without trunk prefix: `3023125001` (Italy keeps its 0)."""
    region: str
    """ISO 3166 code, `DE`; empty where a number belongs to no country."""

    @classmethod
    def from_e164(cls, text: str) -> Phone:
        """`text` must be valid E.164 with `+`; BadInputError otherwise."""
        phone = _parse(text, None) if _E164.fullmatch(text) else None
        if phone is None:
            raise BadInputError("not a valid E.164 number")
        return phone

    @classmethod
    def read(cls, stored: str, region: str | None = None) -> Phone | None:
        """A number as a CRM stores it, national spellings read in `region`; None if it is none.

        Digits without `+` or `00` are national if that is a valid number, else international.
        """
        return next(_readings(stored, region), None)

    @property
    def line(self) -> Line:
        kind = phonenumbers.number_type(phonenumbers.parse(self.e164, None))
        return _LINES.get(kind, Line.OTHER)

    @property
    def spellings(self) -> tuple[str, ...]:
        """The ways a CRM may have stored this number, most exact first, without repeats."""
        number = phonenumbers.parse(self.e164, None)
        national = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
        international = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
        return tuple(
            dict.fromkeys(
                [
                    self.e164,
                    self.digits,
                    f"00{self.digits}",
                    international,
                    national,
                    "".join(_DIGIT.findall(national)),
                    self.national,
                    f"+{number.country_code}{national}",
                ]
            )
        )

    def is_spelled(self, stored: str, region: str | None = None) -> bool:
        """Whether `stored` (a CRM's spelling) is this very number.

        National spellings are read in `region`; without one, in the country of this number.
        """
        if stored == self.e164:
            return True
        if region is None:
            return self in _readings(stored, self.region or None)
        return Phone.read(stored, region) == self


class Caller(StrEnum):
    """Why a call has no number to look up."""

    WITHHELD = "withheld"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Numbering:
    """How numbers without country code are read: the operator's `[lookup]` settings."""

    default_region: str | None = None
    regions: Mapping[str, str] = field(default_factory=dict)
    """Called-number prefix (`+44`) -> region in which a national caller number is read."""
    bare: str = "international"
    """What digits without `+` and without trunk 0 are tried as first: or `national`."""

    def parse(
        self, raw: str | None, called: str | None = None, *, anonymous: bool = False
    ) -> Phone | Caller:
        """The caller's number; `WITHHELD` if absent or only words, else `INVALID`."""
        text = _bare_user(raw)
        if anonymous or not any(char.isdigit() for char in text):
            return Caller.WITHHELD
        if _NUMBER.fullmatch(text) is None:
            return Caller.INVALID
        for attempt, region in self._readings(text, self._region(called)):
            if (phone := _parse(attempt, region)) is not None:
                return phone
        return Caller.INVALID

    def spelled(self, number: str) -> str:
        """A number as people are known by it: E.164; what is no valid number stays as it is.

        BadInputError if there is no digit in it.
        """
        if not any(char.isdigit() for char in number):
            raise BadInputError("number is no telephone number")
        phone = self.parse(number)
        return phone.e164 if isinstance(phone, Phone) else number.strip()

    def _region(self, called: str | None) -> str | None:
        if not self.regions:
            return self.default_region
        digits = "+" + "".join(_DIGIT.findall(_bare_user(called))).removeprefix("00")
        return ByNumber(self.regions, self.default_region).of(digits)

    def _readings(self, text: str, region: str | None) -> list[tuple[str, str | None]]:
        if text.startswith("+"):
            return [(text, None)]
        if text.startswith("00"):
            return [("+" + text.lstrip("0"), None), (text, region)]
        if text.startswith("0"):
            return [(text, region)]
        both = [("+" + text, None), (text, region)]
        return both if self.bare == "international" else both[::-1]


def called_number(told: str | None, home_region: str | None) -> str | None:
    """E.164 if it is a number, else as it was told: a short code, an inner line; None if nothing.

    National spellings are read in `home_region`, if digits without `+` are no international number.
    """
    text = _bare_user(told)
    phone = _parse(f"+{text}", None) if text[:1].isdigit() and text[:1] != "0" else None
    phone = phone or Phone.read(text, home_region)
    return phone.e164 if phone is not None else (told or "").strip() or None


def _bare_user(raw: str | None) -> str:
    """The user part of `tel:` and `sip:` URIs, stripped; SIP headers carry them verbatim."""
    text = (raw or "").strip()
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() in {"tel", "sip", "sips"}:
        text = rest.partition("@")[0].partition(";")[0].strip()
    return text


def _readings(stored: str, region: str | None) -> Iterator[Phone]:
    """What a CRM's spelling can mean, the likeliest first."""
    text = stored.strip()
    if text.startswith("00"):
        text = "+" + text.lstrip("0 ")
    spellings = [(text, region)]
    if text[:1] in _COUNTRY_CODE:
        spellings.append(("+" + text, None))
    for spelling, where in spellings:
        if (phone := _parse(spelling, where)) is not None:
            yield phone


def _parse(text: str, region: str | None) -> Phone | None:
    return _parsed(text, None if text.startswith("+") else region)


@lru_cache(maxsize=4096)
def _parsed(text: str, region: str | None) -> Phone | None:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    region = phonenumbers.region_code_for_number(number)
    if region is None or not phonenumbers.is_valid_number_for_region(number, region):
        return None
    national = phonenumbers.national_significant_number(number)
    digits = f"{number.country_code}{national}"
    # "001" is how the library calls what belongs to no country, such as +800.
    return Phone(f"+{digits}", digits, national, "" if region == "001" else region)


def fold_to_keypad(text: str) -> str:
    """Letters as the digits they sit on (ITU-T E.161: ABC = 2 ... WXYZ = 9)."""
    return text.translate(_KEYPAD)


class Alphabet(StrEnum):
    """What a reference is made of, and how it reaches us."""

    DIGITS = "digits"
    ALNUM = "alnum"
    KEYPAD = "keypad"
    """Letters and digits, but typed on a keypad: several references share one input."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A well-formed reference. With `keypad`, `value` holds the keys pressed, not the letters."""

    value: str
    keypad: bool = False

    @staticmethod
    def plain(text: str) -> str:
        """`text` in upper case, without spaces, `-`, `.`, `*` and `#`."""
        plain = _NOISE.sub("", text)
        # `upper()` turns other scripts into ASCII letters: "ß" into "SS", "ﬁ" into "FI".
        return plain.upper() if plain.isascii() else plain

    def is_spelled(self, stored: str) -> bool:
        """Whether a reference as the CRM stores it is what the caller typed."""
        plain = self.plain(stored)
        return (fold_to_keypad(plain) if self.keypad else plain) == self.value


@dataclass(frozen=True, slots=True)
class ReferenceFormat:
    """The operator's `[reference]` format."""

    length: int = 7
    alphabet: Alphabet = Alphabet.DIGITS

    def normalise(self, raw: str | None) -> str:
        """What was typed without stray keys and spaces, upper case, at most 64 characters."""
        text = Reference.plain(raw or "")[:64]
        return fold_to_keypad(text) if self.alphabet is Alphabet.KEYPAD else text

    def parse(self, raw: str | None) -> Reference | None:
        """The reference, or None if it cannot be one."""
        text = self.normalise(raw)
        letters = "A-Z" if self.alphabet is Alphabet.ALNUM else ""
        if re.fullmatch(rf"[0-9{letters}]{{{self.length}}}", text, re.ASCII) is None:
            return None
        return Reference(text, keypad=self.alphabet is Alphabet.KEYPAD)

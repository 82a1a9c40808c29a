"""Twilio's signature, by the vectors of its documentation and of its own libraries' tests."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from broker.domain.errors import SignatureError
from broker.domain.twilio_signature import HEADER, signed_form, twilio_signature

if TYPE_CHECKING:
    from collections.abc import Sequence

TOKEN = "12345"
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
SIGNATURE = "RSOYDt4T1cUTdK1PDd93/VVr8B8="
FIELDS = (
    ("CallSid", "CA1234567890ABCDE"),
    ("Caller", "+14158675309"),
    ("Digits", "1234"),
    ("From", "+14158675309"),
    ("To", "+18005551212"),
)
DOCUMENTED = tuple((name, value.replace("+14158675309", "+12349013030")) for name, value in FIELDS)
REPEATED = (
    ("Sid", "CA123"),
    ("SidAccount", "AC123"),
    ("Digits", "5678"),
    ("Digits", "1234"),
    ("Digits", "1234"),
)
JSON = b'{"property": "value", "boolean": true}'
JSON_HASH = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"


def form(
    signature: str,
    url: str = URL,
    fields: Sequence[tuple[str, str]] = FIELDS,
    tokens: Sequence[str] = (TOKEN,),
) -> dict[str, str]:
    headers = {HEADER: signature, "content-type": "application/x-www-form-urlencoded;charset=UTF-8"}
    return signed_form(tokens, url, headers, urlencode(fields).encode())


def json(signature: str, url: str, body: bytes = JSON) -> dict[str, str]:
    return signed_form([TOKEN], url, {HEADER: signature, "content-type": "application/json"}, body)


def test_the_examples_of_the_documentation_are_signed_as_documented() -> None:
    assert twilio_signature(TOKEN, URL, FIELDS) == SIGNATURE
    assert twilio_signature(TOKEN, URL, DOCUMENTED) == "0/KCTR6DLpKmkAf8muzZqo1nDgQ="


@pytest.mark.parametrize(
    ("url", "signature"),
    [
        (URL, SIGNATURE),
        ("https://MyCompany.com/myapp.php?foo=1&bar=2", "g9IN/x4Cft2g517EjYvEvM/W7LU="),
        ("https://MyCompany.com:1234/myapp.php?foo=1&bar=2", "PCqOZm8cnu/L6+u5i5fuEd+Iac4="),
        ("http://MyCompany.com/myapp.php?foo=1&bar=2", "XY7AlKOKL6im4yWyX84gldUrtis="),
        ("https://mycompany.com:1234/myapp.php?foo=1&bar=2", SIGNATURE),
        ("https://mycompany.com:1234/myapp.php?foo=1&bar=2", "CYn1h0gLBdNxDGkKJg6hYohgeD8="),
        ("http://mycompany.com:1234/myapp.php?foo=1&bar=2", "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
        (URL, "kvajT1Ptam85bY51eRf/AJRuM3w="),
        ("http://mycompany.com/myapp.php?foo=1&bar=2", "0ZXoZLH/DfblKGATFgpif+LLRf4="),
        ("https://user:pass@mycompany.com/myapp.php?foo=1&bar=2", "CukzLTc1tT5dXEDIHm/tKBanW10="),
        ("https://user@mycompany.com/myapp.php?foo=1&bar=2", "2YRLlVAflCqxaNicjMpJcSTgzSs="),
        ("https://user:pass@mycompany.com/myapp.php?foo=1&bar=2", "ZQFR1PTIZXF2MXB8ZnKCvnnA+rI="),
    ],
)
def test_what_twilios_own_libraries_take_is_taken(url: str, signature: str) -> None:
    assert form(signature, url) == dict(FIELDS)


def test_fields_that_come_twice_are_signed_once() -> None:
    assert form("IK+Dwps556ElfBT0I3Rgjkr1wJU=", fields=REPEATED)["Sid"] == "CA123"


@pytest.mark.parametrize(
    ("url", "signature"),
    [
        (f"{URL}&bodySHA256={JSON_HASH}", "a9nBmqA0ju/hNViExpshrM61xv4="),
        (f"https://mycompany.com/myapp.php?bodySHA256={JSON_HASH}", "y77kIzt2vzLz71DgmJGsen2scGs="),
    ],
)
def test_a_body_that_is_no_form_is_checked_by_its_hash(url: str, signature: str) -> None:
    assert sha256(JSON).hexdigest() == JSON_HASH
    assert json(signature, url) == {}
    with pytest.raises(SignatureError):
        json(signature, url, JSON + b" ")


def test_a_body_without_a_signed_hash_is_refused() -> None:
    with pytest.raises(SignatureError):
        json(twilio_signature(TOKEN, URL), URL)
    assert json(twilio_signature(TOKEN, URL), URL, b"") == {}


@pytest.mark.parametrize(
    ("signature", "url"),
    [
        ("", URL),
        ("NOT" + SIGNATURE, URL),
        ("not base64 \u738b\ud800", URL),
        (SIGNATURE, URL + "&more=1"),
        (SIGNATURE, URL.replace("https", "http")),
        (SIGNATURE, "https://[broken"),
    ],
)
def test_anything_else_is_not_from_twilio(signature: str, url: str) -> None:
    with pytest.raises(SignatureError):
        form(signature, url)


def test_a_changed_field_is_not_from_twilio() -> None:
    with pytest.raises(SignatureError):
        form(SIGNATURE, fields=[*FIELDS[:-1], ("To", "+18005551213")])
    with pytest.raises(SignatureError):
        form(SIGNATURE, fields=[*FIELDS, ("Extra", "")])


def test_while_the_token_is_changed_the_old_and_the_new_one_are_good() -> None:
    assert form(SIGNATURE, tokens=("new", TOKEN)) == dict(FIELDS)
    for tokens in ([], ["new"], ["new", "newer"]):
        with pytest.raises(SignatureError):
            form(SIGNATURE, tokens=tokens)


def test_a_body_that_is_no_text_is_refused_without_another_error() -> None:
    headers = {HEADER: SIGNATURE, "content-type": "application/x-www-form-urlencoded"}
    with pytest.raises(SignatureError):
        signed_form([TOKEN], URL, headers, b"\xff\xfe=%ff&\x00")

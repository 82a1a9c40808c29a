"""What an operator may set for an SMS channel, refused before the first message."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from broker.channels.babelforce_sms import BabelforceSmsOptions
from broker.channels.sms import TEXTS
from broker.channels.twilio import TwilioOptions
from broker.domain.errors import PermanentError
from broker.domain.sms import Alphabet, alphabet_of

ACCOUNT = "AC" + "0" * 32
TWILIO: dict[str, Any] = {
    "account_sid": ACCOUNT,
    "auth_token": "t0ken",
    "sender": "+4915735980000",
    "countries": ["DE"],
}
LINK = "https://b.example/t/x"


def twilio(**changes: Any) -> TwilioOptions:
    return TwilioOptions.model_validate({**TWILIO, **changes})


@pytest.mark.parametrize(
    "change",
    [
        {"countries": []},
        {"countries": ["Germany"]},
        {"texts": {"en": "no link"}},
        {"texts": {"en": "{link} for {name}"}},
        {"texts": {"en": "{link} {{"}},
        {"texts": {"en": "{link}\x00"}},
        {"texts": {"English": "Here: {link}"}},
        {"texts": {"en": "x" * 500 + "{link}"}},
        {"sender": "drop;table"},
        {"sender": None},
        {"messaging_service_sid": "MG" + "0" * 32},
        {"account_sid": "../x"},
        {"max_segments": 0},
    ],
)
def test_what_cannot_be_meant_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        twilio(**change)


def test_a_text_too_long_for_the_limit_stops_the_start_of_either_channel() -> None:
    too_long = {"max_segments": 1, "texts": {"fr": "x" * 120 + " {link}"}, "countries": ["FR"]}
    with pytest.raises(ValidationError, match="fr"):
        twilio(**too_long)
    auth = {"kind": "bearer", "token": "t"}
    with pytest.raises(ValidationError, match="fr"):
        BabelforceSmsOptions.model_validate({**too_long, "auth": auth})


@pytest.mark.parametrize(
    ("language", "begins"),
    [
        ("de-AT", "Danke"),
        ("de", "Danke"),
        ("ES", "Gracias"),
        ("tlh", "Thank you"),
        (None, "Thank you"),
        ("pt_BR", "Olá"),
        ("pt", "Thank you"),
    ],
)
def test_the_nearest_language_is_spoken(language: str | None, begins: str) -> None:
    options = twilio(texts={"pt-br": "Olá: {link}"})
    text = options.text(language, LINK)
    assert text.startswith(begins)
    assert LINK in text


def test_a_link_that_makes_the_text_too_long_is_not_sent() -> None:
    with pytest.raises(PermanentError):
        twilio().text("en", "https://b.example/" + "x" * 500)


@pytest.mark.parametrize("language", TEXTS)
def test_our_own_texts_cost_what_their_alphabet_allows(language: str) -> None:
    """One character outside GSM-7 would double the price of every message."""
    wanted = Alphabet.UCS2 if language == "es" else Alphabet.GSM7
    assert alphabet_of(TEXTS[language]) is wanted

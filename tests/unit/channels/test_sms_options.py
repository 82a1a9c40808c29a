"""What an operator may set for an SMS channel, refused before the first message."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from broker.channels.babelforce_sms import BabelforceSmsOptions
from broker.channels.sms import TEXTS, told_sender
from broker.channels.twilio import TwilioOptions
from broker.domain.errors import PermanentError
from broker.domain.messages import TRACKING
from broker.domain.sms import Alphabet, alphabet_of
from broker.ports import Envelope

ACCOUNT = "AC" + "0" * 32
TWILIO: dict[str, Any] = {
    "account_sid": ACCOUNT,
    "auth_token": "t0ken",
    "sender": "+4915735980000",
    "countries": ["DE"],
}
KEY = "SK" + "0" * 32
LINK = "https://b.example/t/x"


def message(language: str | None, *, text: str | None = None, link: str = LINK) -> Envelope:
    to = "+4915112345678"
    return Envelope("c1|tracking", TRACKING, to, language, {"link": link}, text=text)


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
        {"validity_s": 0},
        {"validity_s": 36_001},
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
    text = options.words(message(language))
    assert text.startswith(begins)
    assert LINK in text


def test_a_link_that_makes_the_text_too_long_is_not_sent() -> None:
    with pytest.raises(PermanentError):
        twilio().words(message("en", link="https://b.example/" + "x" * 500))


def test_words_that_are_ready_are_not_touched() -> None:
    assert twilio().words(message("de", text="Grüße {link}\n")) == "Grüße {link}\n"


@pytest.mark.parametrize("text", ["", " \n", "x" * 500, "a\x00b", "a\rb", "a\ud800b", "\x1b[2J"])
def test_words_that_no_message_can_show_are_not_sent(text: str) -> None:
    with pytest.raises(PermanentError):
        twilio().words(message("de", text=text))


def test_a_message_that_says_nothing_is_not_sent() -> None:
    with pytest.raises(PermanentError):
        twilio().words(Envelope("c1|deflection", "deflection", "+4915112345678", "de", {}))


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({}, ("t0ken",)),
        ({"api_key": KEY, "callback_token": "account-token"}, ("account-token",)),
        ({"callback_token": "old new"}, ("old", "new")),
        ({"api_key": KEY, "callbacks": False}, ()),
        ({"callbacks": False}, ()),
    ],
)
def test_callbacks_are_checked_with_what_twilio_signs_them_with(
    change: dict[str, Any], good: tuple[str, ...]
) -> None:
    assert twilio(**change).callback_tokens == good


@pytest.mark.parametrize("token", [{}, {"callback_token": " "}])
def test_callbacks_that_nobody_could_check_stop_the_start(token: dict[str, Any]) -> None:
    """The secret of an API key signs nothing."""
    with pytest.raises(ValidationError, match="callback_token"):
        twilio(api_key=KEY, **token)


@pytest.mark.parametrize("sender", ["+18005550199", "18005550199"])
def test_the_operator_is_warned_of_a_toll_free_sender(sender: str) -> None:
    """LivePerson, "IVR Deflection": "otherwise the thread will break"."""
    assert told_sender(sender) == f"{sender} (toll-free: answers may not arrive)"


@pytest.mark.parametrize("sender", ["+4915735980000", "12025550199", "ACME 800", "72345"])
def test_of_another_sender_nothing_is_said(sender: str) -> None:
    assert told_sender(sender) == sender


@pytest.mark.parametrize("language", TEXTS)
def test_our_own_texts_cost_what_their_alphabet_allows(language: str) -> None:
    """One character outside GSM-7 would double the price of every message."""
    wanted = Alphabet.UCS2 if language == "es" else Alphabet.GSM7
    assert alphabet_of(TEXTS[language]) is wanted

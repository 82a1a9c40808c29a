"""What the WhatsApp channel may be told, and what it makes of a message before it is sent."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from broker.channels.twilio import TwilioWhatsAppOptions
from broker.domain.call import Phone
from broker.domain.errors import PermanentError
from broker.domain.messages import TRACKING
from broker.ports import Envelope, VendorTemplate

CONTENT, GERMAN = "HX" + "a" * 32, "HX" + "d" * 32
TO = "+4915112345678"
OPTIONS: dict[str, Any] = {
    "account_sid": "AC" + "0" * 32,
    "auth_token": "t0ken",
    "sender": "+4915735980000",
    "countries": ["DE"],
}


def options(**changes: Any) -> TwilioWhatsAppOptions:
    return TwilioWhatsAppOptions.model_validate({**OPTIONS, **changes})


def content(envelope: Envelope, **changes: Any) -> dict[str, str]:
    return options(**changes).content(envelope)


def deflection(**changes: Any) -> Envelope:
    return Envelope("c1|deflection", "deflection", TO, "de-AT", {}, **changes)


def tracking(language: str | None = "de-AT") -> Envelope:
    return Envelope("c1|tracking", TRACKING, TO, language, {"link": "https://b.example/t/x"})


@pytest.mark.parametrize(
    "change",
    [
        {"countries": []},
        {"sender": "Shop"},
        {"sender": "whatsapp:+4915735980000"},
        {"sender": None},
        {"messaging_service_sid": "MG" + "0" * 32},
        {"tracking_templates": {"de": "order_update"}},
        {"tracking_templates": {"German": CONTENT}},
        {"api_key": "SK" + "0" * 32},
    ],
)
def test_what_cannot_be_meant_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        options(**change)


def test_an_approved_message_is_named_and_filled_in_order() -> None:
    template = VendorTemplate(CONTENT, "de", ("Ada", "a\n b \t c", '"}'))
    made = content(deflection(template=template, text="never sent", media_url="https://m"))
    assert made.keys() == {"ContentSid", "ContentVariables"}
    assert made["ContentSid"] == CONTENT
    assert orjson.loads(made["ContentVariables"]) == {"1": "Ada", "2": "a b c", "3": '"}'}


def test_each_language_has_a_content_of_its_own() -> None:
    template = VendorTemplate("order_update", GERMAN)
    assert content(deflection(template=template)) == {"ContentSid": GERMAN}
    named = VendorTemplate(CONTENT, "de")
    assert content(deflection(template=named)) == {"ContentSid": CONTENT}


def test_an_approved_message_without_variables_has_none() -> None:
    assert content(deflection(template=VendorTemplate(CONTENT))) == {"ContentSid": CONTENT}


@pytest.mark.parametrize(
    "template",
    [
        VendorTemplate("order_update"),
        VendorTemplate(CONTENT + "/.."),
        VendorTemplate(CONTENT, parameters=("Ada", " ")),
        VendorTemplate(CONTENT, parameters=("a\x00b",)),
        VendorTemplate(CONTENT, parameters=("a\ud800b",)),
    ],
)
def test_what_whatsapp_would_refuse_is_not_sent(template: VendorTemplate) -> None:
    with pytest.raises(PermanentError):
        content(deflection(template=template))


def test_free_words_go_out_only_without_a_template() -> None:
    made = content(deflection(text="Gern!", media_url="https://m.example/a.png"))
    assert made == {"Body": "Gern!", "MediaUrl": "https://m.example/a.png"}
    for text in ("", "x" * 1601, "a\x00b"):
        with pytest.raises(PermanentError):
            content(deflection(text=text))


def test_the_tracking_link_fills_the_content_of_the_nearest_language() -> None:
    known = {"en": CONTENT, "de": GERMAN}
    for language, wanted in (("de-AT", GERMAN), ("tlh", CONTENT), (None, CONTENT)):
        made = content(tracking(language), tracking_templates=known)
        assert made["ContentSid"] == wanted
        assert orjson.loads(made["ContentVariables"]) == {"1": "https://b.example/t/x"}
    only = content(tracking("en"), tracking_templates={"de": GERMAN})
    assert only["ContentSid"] == GERMAN


def test_without_a_template_a_tracking_link_cannot_be_sent() -> None:
    with pytest.raises(PermanentError, match="no template"):
        content(tracking())


@pytest.mark.parametrize(
    ("number", "refusal"),
    [
        ("+4915112345678", None),
        ("+493023125001", None),
        ("+498001234567", "toll_free"),
        ("+499001234567", "premium_rate"),
        ("+447400123456", "country"),
    ],
)
def test_people_have_whatsapp_on_fixed_lines_too(number: str, refusal: str | None) -> None:
    assert options().recipients.refusal(Phone.from_e164(number)) == refusal

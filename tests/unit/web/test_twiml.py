"""What a caller hears next, in TwiML. Verbs and attributes are those of Twilio's reference."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from broker.domain.voice import Again, Ask, Dial, HangUp, Say, Script, Verb
from broker.web.twiml import Renderer

GATHER = "https://broker.example.com/v1/twilio/gather"
STATUS = "https://broker.example.com/v1/twilio/status"
RENDERER = Renderer(GATHER, STATUS, {"de": "Polly.Vicki"})
DECLARATION = "<?xml version='1.0' encoding='utf-8'?>\n"


def rendered(*verbs: Verb, language: str = "en") -> str:
    document = RENDERER.render(Script(language, verbs)).decode()
    assert document.startswith(DECLARATION)
    return document.removeprefix(DECLARATION)


def test_a_question_waits_for_keys_and_comes_back_without_one() -> None:
    asked = Ask((Say("Wait: 5 minutes."), Say("Press 1.")), digits=1, key_s=5)
    assert rendered(asked, Again()) == (
        f'<Response><Gather action="{GATHER}" method="POST" input="dtmf" numDigits="1" timeout="5">'
        '<Say language="en-US">Wait: 5 minutes.</Say><Say language="en-US">Press 1.</Say></Gather>'
        f'<Redirect method="POST">{GATHER}</Redirect></Response>'
    )


def test_a_number_is_dialled_and_says_when_somebody_takes_it() -> None:
    assert rendered(Dial("+493023125000", 30)) == (
        f'<Response><Dial action="{STATUS}" method="POST" timeout="30">'
        f'<Number statusCallback="{STATUS}" statusCallbackMethod="POST" '
        'statusCallbackEvent="answered">+493023125000</Number></Dial></Response>'
    )


@pytest.mark.parametrize("address", ["sip:agents@pbx.example.com", "sips:agents@pbx.example.com"])
def test_a_sip_address_is_dialled_as_one(address: str) -> None:
    assert f">{address}</Sip></Dial>" in rendered(Dial(address, 30))


def test_the_end_is_a_hang_up() -> None:
    assert rendered(HangUp()) == "<Response><Hangup /></Response>"


def test_a_voice_belongs_to_its_language() -> None:
    assert '<Say language="de-DE" voice="Polly.Vicki">' in rendered(Say("Hallo"), language="de")
    assert '<Say language="es-ES">' in rendered(Say("Hola"), language="es")


@pytest.mark.parametrize(
    ("language", "spoken"),
    [("de", "de-DE"), ("en", "en-US"), ("es-mx", "es-MX"), ("fr", "fr-FR"), ("da", "da-DK")],
)
def test_a_language_is_written_as_twilio_knows_it(language: str, spoken: str) -> None:
    assert f'language="{spoken}"' in rendered(Say("x"), language=language)


def test_no_text_becomes_markup() -> None:
    hostile = '</Say><Dial>+4990012345</Dial> & "x"'
    document = RENDERER.render(Script("en", (Say(hostile),)))
    response = ET.fromstring(document)  # noqa: S314 - our own document
    assert [child.tag for child in response] == ["Say"]
    assert response[0].text == hostile

"""What a caller hears next as TwiML: https://www.twilio.com/docs/voice/twiml."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from broker.domain.voice import Again, Ask, Dial, HangUp, Say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.domain.voice import Script, Verb

_REGIONS = {"en": "US", "da": "DK", "sv": "SE", "cs": "CZ", "ja": "JP", "zh": "CN", "nb": "NO"}
"""Where the main country of a language is not called like it: `de` is `de-DE`."""


@dataclass(frozen=True, slots=True)
class Renderer:
    """Addresses that Twilio asks next, and how it speaks."""

    gather_url: str
    status_url: str
    voices: Mapping[str, str] = field(default_factory=dict)
    """Language -> Twilio's name of a voice."""

    def render(self, script: Script) -> bytes:
        response = ET.Element("Response")
        for verb in script.verbs:
            self._add(response, verb, script.language)
        document: bytes = ET.tostring(response, encoding="utf-8", xml_declaration=True)
        return document

    def _add(self, parent: ET.Element, verb: Verb, language: str) -> None:
        match verb:
            case Say(text):
                self._say(parent, text, language)
            case Ask(says, digits, key_s):
                asked = {"input": "dtmf", "numDigits": str(digits), "timeout": str(key_s)}
                gather = ET.SubElement(parent, "Gather", _then(self.gather_url) | asked)
                for say in says:
                    self._say(gather, say.text, language)
            case Dial(to, ring_s):
                ring = {"timeout": str(ring_s)}
                self._leg(ET.SubElement(parent, "Dial", _then(self.status_url) | ring), to)
            case Again():
                ET.SubElement(parent, "Redirect", method="POST").text = self.gather_url
            case HangUp():
                ET.SubElement(parent, "Hangup")

    def _say(self, parent: ET.Element, text: str, language: str) -> None:
        voice = self.voices.get(language)
        named = {"voice": voice} if voice is not None else {}
        ET.SubElement(parent, "Say", {"language": _bcp47(language)} | named).text = text

    def _leg(self, dial: ET.Element, to: str) -> None:
        """Twilio says when somebody takes it: from then on the caller is in good hands."""
        noun = "Sip" if to.startswith(("sip:", "sips:")) else "Number"
        told = {"statusCallback": self.status_url, "statusCallbackMethod": "POST"}
        ET.SubElement(dial, noun, told | {"statusCallbackEvent": "answered"}).text = to


def _then(url: str) -> dict[str, str]:
    return {"action": url, "method": "POST"}


def _bcp47(language: str) -> str:
    """`de` as Twilio writes it: `de-DE`."""
    name, _, region = language.partition("-")
    return f"{name}-{(region or _REGIONS.get(name, name)).upper()}"

"""Whether an inbound text says STOP, START or HELP: the whole text, in any of the known words."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import StrEnum

STOP_WORDS = {
    "twilio": "STOP UNSUBSCRIBE END QUIT STOPALL REVOKE OPTOUT CANCEL",
    "aws": "STOP ARRET CANCEL END OPT-OUT OPTOUT QUIT REMOVE TD UNSUBSCRIBE",
    "de": "STOPP ABMELDEN",
    "es": "BAJA ALTO PARAR",
    "fr": "ARRET ARRETER",
    "it": "FERMA",
    "nl": "AFMELDEN",
    "pt": "PARAR SAIR",
    "sv": "STOPP AVSLUTA",
}
"""By provider (Twilio's "Advanced Opt-Out", AWS' "Required opt-out keywords") and by language."""
START_WORDS = {"twilio": "START YES UNSTOP", "de": "ANMELDEN", "es": "ALTA", "nl": "AANMELDEN"}
HELP_WORDS = {"twilio": "HELP INFO", "de": "HILFE", "es": "AYUDA", "fr": "AIDE", "pt": "AJUDA"}


class Keyword(StrEnum):
    """What somebody wants who sends one of the words."""

    STOP = "stop"
    START = "start"
    HELP = "help"


def spelled(text: str) -> str:
    """As the words are compared: letters and digits only, without case and accents."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(char for char in plain if char.isalnum())


def _known(table: dict[str, str]) -> frozenset[str]:
    return frozenset(spelled(word) for words in table.values() for word in words.split())


_KNOWN = {
    Keyword.STOP: _known(STOP_WORDS),
    Keyword.START: _known(START_WORDS),
    Keyword.HELP: _known(HELP_WORDS),
}


@dataclass(frozen=True, slots=True)
class OptOutWords:
    """What the operator adds to the known words; as `spelled`."""

    stop: frozenset[str] = frozenset()
    start: frozenset[str] = frozenset()
    help: frozenset[str] = frozenset()

    def keyword(self, text: str) -> Keyword | None:
        """What this text says if it is nothing but one of the words; STOP before START."""
        said = spelled(text)
        own = {Keyword.STOP: self.stop, Keyword.START: self.start, Keyword.HELP: self.help}
        return next((wish for wish in Keyword if said in _KNOWN[wish] or said in own[wish]), None)

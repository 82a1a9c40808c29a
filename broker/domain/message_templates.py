"""What a deflection says: the operator's words per language, with nothing of a CRM in them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from broker.domain.languages import nearest, nearest_or_any

if TYPE_CHECKING:
    from collections.abc import Mapping

LINK = "link"
"""The one value that is not the operator's: where the person goes on."""
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_BRACE = re.compile(r"[{}]")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Approved:
    """A provider's own template for a message: what it is called, and what fills it."""

    name: str
    languages: Mapping[str, str] = field(default_factory=dict)
    """Ours -> how the provider spells it (`de` -> `de_DE`); empty = the name says it all."""
    parameters: tuple[str, ...] = ()
    """Names of values, in the order of the provider's placeholders."""

    def language(self, wanted: str | None) -> str | None:
        """The provider's word for the nearest language; the first one if none is near."""
        if not self.languages:
            return None
        return nearest_or_any(self.languages, wanted)


@dataclass(frozen=True, slots=True)
class Words:
    """A message ready to be sent."""

    text: str
    title: str | None = None


@dataclass(frozen=True, slots=True)
class MessageTemplate:
    """One `[deflection.templates.<name>]`. Checked with `faults` before it is used."""

    texts: Mapping[str, str]
    """Language -> words, with `{link}` and `{<value>}` in them."""
    titles: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    """The operator's own, such as `sla`; the same for everybody."""
    media_url: str | None = None
    approved: Mapping[str, Approved] = field(default_factory=dict)
    """Channel -> its provider's template."""
    links: tuple[str, ...] = ()
    """Which link targets the landing page offers; empty = all."""

    def words(self, language: str | None, link: str) -> Words:
        """The words in the nearest language: `de-AT`, else `de`, else English, else any."""
        shown = {**self.values, LINK: link}
        text = nearest_or_any(self.texts, language)
        title = nearest(self.titles, language)
        return Words(_filled(text, shown), _filled(title, shown) if title else None)

    def parameters(self, channel: str, link: str) -> tuple[str, ...]:
        """What fills the provider's template on this channel."""
        shown = {**self.values, LINK: link}
        return tuple(shown[name] for name in self.approved[channel].parameters)

    def faults(self) -> list[str]:
        """Everything that is wrong with it, one sentence each."""
        known = {*self.values, LINK}
        wrong = [
            f"the value {name!r} needs a name like sla"
            for name in self.values
            if _NAME.fullmatch(name) is None or name == LINK
        ]
        if not self.texts:
            wrong.append("has no texts")
        for language, text in [*self.texts.items(), *self.titles.items()]:
            wrong += _faults(text, language, known)
        for channel, approved in self.approved.items():
            strange = sorted(set(approved.parameters) - known)
            if strange:
                wrong.append(f"{channel}: there is no value {', '.join(strange)}")
        return wrong


def _filled(text: str, shown: Mapping[str, str]) -> str:
    """Filled in one go, so that a value's braces stay what they are."""
    return _PLACEHOLDER.sub(lambda found: shown[found[1]], text)


def _faults(text: str, language: str, known: set[str]) -> list[str]:
    asked = set(_PLACEHOLDER.findall(text))
    wrong = [f"{language}: there is no value {{{name}}}" for name in sorted(asked - known)]
    if _BRACE.search(_PLACEHOLDER.sub("", text)):
        wrong.append(f"{language}: has a brace that belongs to no value")
    if not text.replace("\n", "").isprintable():
        wrong.append(f"{language}: has a character that cannot be shown")
    return wrong


OURS = MessageTemplate(
    texts={
        "en": "You called us: go on here in writing, we have your details: {link} "
        "We answer as soon as we can. Reply STOP to get no more messages.",
        "de": "Sie haben uns angerufen: Hier geht es schriftlich weiter, Ihr Anliegen liegt uns "
        "vor: {link} Wir antworten so bald wie möglich. Mit STOP bestellen Sie ab.",
        "es": "Nos ha llamado: siga aquí por escrito, ya tenemos sus datos: {link} "
        "Respondemos en cuanto podamos. Responda BAJA para no recibir más mensajes.",
    },
    titles={
        "en": "Your call",
        "de": "Ihr Anruf",
        "es": "Su llamada",
    },
)
"""The template `deflection` of who has set up none. It says what to expect."""

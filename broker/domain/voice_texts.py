"""What the small telephone menu says, in the operator's words or in ours."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.domain.languages import spoken

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
PLACEHOLDERS = {
    "greeting": (),
    "premium": (),
    "queue": (),
    "wait": ("minutes",),
    "offer": ("key",),
    "stay": ("key",),
    "invalid": (),
    "reference": ("length",),
    "reference_wrong": (),
    "tracking": (),
    "hold": (),
    "sent": (),
    "not_sent": (),
    "no_recipient": (),
    "busy": (),
}
"""Every text, and what is filled in there."""

OURS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "greeting": "Welcome.",
        "premium": "We connect you with your personal adviser.",
        "queue": "We connect you with the next free colleague.",
        "wait": "The expected wait is {minutes} minutes.",
        "offer": "Press {key} to go on in writing: you get a message right away.",
        "stay": "Press {key} to wait for a colleague.",
        "invalid": "This key has no meaning here.",
        "reference": "Please type your reference of {length} digits.",
        "reference_wrong": "We have not found this reference.",
        "tracking": "The state of your order is on its way to you by email.",
        "hold": "One moment please, your message is being sent.",
        "sent": "You have a message. Thank you for your call, and good-bye.",
        "not_sent": "Your message could not be sent.",
        "no_recipient": "No message reaches the number you call from.",
        "busy": "Nobody is free at the moment. Please call again later. Good-bye.",
    },
    "de": {
        "greeting": "Guten Tag.",
        "premium": "Wir verbinden Sie mit Ihrer persönlichen Beratung.",
        "queue": "Wir verbinden Sie mit der nächsten freien Person.",
        "wait": "Die Wartezeit beträgt etwa {minutes} Minuten.",
        "offer": "Drücken Sie die {key}, um schriftlich weiterzumachen: "
        "Sie bekommen sofort eine Nachricht.",
        "stay": "Drücken Sie die {key}, um am Telefon zu warten.",
        "invalid": "Diese Taste ist nicht belegt.",
        "reference": "Bitte geben Sie Ihre {length}-stellige Nummer ein.",
        "reference_wrong": "Diese Nummer haben wir nicht gefunden.",
        "tracking": "Der Stand Ihrer Bestellung ist per E-Mail zu Ihnen unterwegs.",
        "hold": "Einen Moment bitte, Ihre Nachricht wird gesendet.",
        "sent": "Sie haben eine Nachricht. Vielen Dank für Ihren Anruf und auf Wiederhören.",
        "not_sent": "Die Nachricht konnte nicht gesendet werden.",
        "no_recipient": "An die Nummer, von der Sie anrufen, können wir nicht schreiben.",
        "busy": "Gerade ist niemand frei. Bitte rufen Sie später wieder an. Auf Wiederhören.",
    },
    "es": {
        "greeting": "Bienvenido.",
        "premium": "Le comunicamos con su asesor personal.",
        "queue": "Le comunicamos con el próximo agente libre.",
        "wait": "El tiempo de espera es de unos {minutes} minutos.",
        "offer": "Pulse {key} para seguir por escrito: recibirá un mensaje enseguida.",
        "stay": "Pulse {key} para esperar a un agente.",
        "invalid": "Esta opción no es válida.",
        "reference": "Marque su referencia de {length} cifras.",
        "reference_wrong": "No hemos encontrado esta referencia.",
        "tracking": "El estado de su pedido va de camino a su correo electrónico.",
        "hold": "Un momento, por favor, estamos enviando su mensaje.",
        "sent": "Ya tiene un mensaje. Gracias por su llamada y hasta pronto.",
        "not_sent": "No hemos podido enviar el mensaje.",
        "no_recipient": "No podemos escribir al número desde el que llama.",
        "busy": "Ahora mismo no hay nadie libre. Vuelva a llamar más tarde. Hasta pronto.",
    },
}


@dataclass(frozen=True, slots=True)
class Words:
    """All texts in one language."""

    language: str
    texts: Mapping[str, str]

    def say(self, name: str, **values: object) -> str:
        return _PLACEHOLDER.sub(lambda found: str(values[found[1]]), self.texts[name])


def words_in(texts: Mapping[str, Mapping[str, str]], wanted: str | None, default: str) -> Words:
    """The words in the nearest language there is: `de-AT`, else `de`, else those of `default`."""
    language = spoken({name: name for name in texts}, wanted, default) or next(iter(texts))
    return Words(language, texts[language])


def overlaid(own: Mapping[str, Mapping[str, str]]) -> dict[str, Mapping[str, str]]:
    """The operator's texts over ours, single ones too."""
    names = dict.fromkeys([*OURS, *own])
    return {name: {**OURS.get(name, {}), **own.get(name, {})} for name in names}


def faults(own: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """Language and problem of everything that cannot be said."""
    for language, texts in overlaid(own).items():
        missing = sorted(PLACEHOLDERS.keys() - texts.keys())
        if missing:
            yield language, f"lacks {', '.join(missing)}"
        for name, text in own.get(language, {}).items():
            if set(_PLACEHOLDER.findall(text)) - set(PLACEHOLDERS[name]):
                yield language, f"{name} has a value that is not there"
            elif set("{}") & set(_PLACEHOLDER.sub("", text)):
                yield language, f"{name} has a brace that belongs to no value"
            elif not text.isprintable():
                yield language, f"{name} has a character that cannot be said"

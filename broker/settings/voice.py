"""The section `[twilio_voice]`: a small telephone menu for who has none."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic evaluates it
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints

from broker.domain import voice_texts
from broker.domain.call import Alphabet
from broker.domain.voice import Menu
from broker.settings.deflection import Language  # noqa: TC001 - pydantic evaluates it
from broker.settings.faults import Fault
from broker.settings.values import ClientKey, Count, Section, several

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.settings.models import ReferenceSettings, Server

DialTarget = Annotated[
    str, StringConstraints(pattern=r"^(\+[1-9][0-9]{6,14}|sips?:[^\s<>\"]{3,255})$")
]
"""A telephone number in E.164, or a SIP address."""
TextName = Literal[
    "greeting",
    "premium",
    "queue",
    "wait",
    "offer",
    "stay",
    "invalid",
    "reference",
    "reference_wrong",
    "tracking",
    "hold",
    "sent",
    "not_sent",
    "no_recipient",
    "busy",
]
Spoken = Annotated[str, StringConstraints(min_length=1, max_length=500)]
VoiceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class VoiceSettings(Section):
    """`[twilio_voice]`."""

    auth_token: ClientKey
    premium_dial: DialTarget
    queue_dial: DialTarget | None = None
    language: Language = "en"
    wait_minutes: Count | None = None
    ring_s: Count = Field(30, ge=5, le=600)
    key_s: Count = Field(5, le=30)
    voices: Mapping[Language, VoiceName] = {}
    texts: Mapping[Language, Mapping[TextName, Spoken]] = {}

    @property
    def tokens(self) -> tuple[str, ...]:
        """Every auth token that is good now."""
        return tuple(several(self.auth_token))

    def menu(self, reference: ReferenceSettings) -> Menu:
        """What the domain decides by."""
        return Menu(
            premium_dial=self.premium_dial,
            queue_dial=self.queue_dial or self.premium_dial,
            texts=voice_texts.overlaid(self._own()),
            language=self.language,
            wait_minutes=self.wait_minutes,
            reference_length=reference.length,
            ring_s=self.ring_s,
            key_s=self.key_s,
        )

    def faults(self, server: Server, reference: ReferenceSettings) -> Iterator[Fault]:
        """What it needs of the other sections, and what cannot be said."""
        if server.public_url is None:
            yield Fault(("server", "public_url"), "is missing; Twilio signs the address it calls")
        if reference.enabled and reference.alphabet is Alphabet.ALNUM:
            problem = "has letters, which no telephone has a key for: see keypad"
            yield Fault(("reference", "alphabet"), problem)
        for language, problem in voice_texts.faults(self._own()):
            yield Fault(("twilio_voice", "texts", language), problem)
        if self.language not in voice_texts.overlaid(self._own()):
            yield Fault(("twilio_voice", "language"), "has no texts")

    def _own(self) -> dict[str, dict[str, str]]:
        return {
            name: {str(key): text for key, text in texts.items()}
            for name, texts in self.texts.items()
        }

"""What the SMS channels share: who may be written to, the words, and how long they may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from broker.channels.words import Language, checked_words
from broker.domain.languages import nearest_or_any
from broker.domain.recipients import Recipients
from broker.domain.sms import segments
from broker.sdk import Line, Options, PermanentError, Phone, Region

if TYPE_CHECKING:
    from broker.sdk import Envelope

LINK = "{link}"
TEXTS = {
    "en": "Thank you for your call. Track your order here: {link} (do not share this link)",
    "de": "Danke für Ihren Anruf. Hier sehen Sie Ihre Bestellung: {link} (bitte nicht weitergeben)",
    "es": "Gracias por su llamada. Siga su pedido aquí: {link} (no comparta este enlace)",
}
"""Every word is the operator's or ours: nothing out of a CRM is in a text message."""
_LINK_ROOM = "https://broker.example.com/t/" + "x" * 43
"""A wrapped link of a usual length, to count segments with."""
_PLACEHOLDER = re.compile(r"\{[^{}]*\}|[{}]")


def told_sender(sender: str) -> str:
    """Who sends, for `broker check`: people may not be able to answer a toll-free number."""
    phone = Phone.read(f"+{sender.removeprefix('+')}")
    toll_free = phone is not None and phone.line is Line.TOLL_FREE
    return f"{sender} (toll-free: answers may not arrive)" if toll_free else sender


def _text(value: str) -> str:
    if set(_PLACEHOLDER.findall(value)) != {LINK}:
        raise ValueError("must have {link}, and no other braces")
    if not value.replace("\n", "").isprintable():
        raise ValueError("has a character that cannot be shown")
    return value


Prefix = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{0,14}$")]
Text = Annotated[str, StringConstraints(min_length=6, max_length=1600), AfterValidator(_text)]


class SmsOptions(Options):
    """What every SMS channel can be told."""

    countries: frozenset[Region] = Field(min_length=1)
    """Whose numbers are written to: an allow-list, because premium ranges abroad pay whoever makes
    us text them."""
    prefixes: tuple[Prefix, ...] = ()
    """Beginnings of the numbers that are written to, such as `+4915`; none = all of `countries`."""
    texts: Mapping[Language, Text] = {}
    """Language -> text, in place of ours or beside them."""
    max_segments: int = Field(3, ge=1, le=10)

    @property
    def recipients(self) -> Recipients:
        return Recipients(self.countries, prefixes=self.prefixes)

    def words(self, envelope: Envelope) -> str:
        """What the message says: its own words, else the tracking link in the nearest language.

        PermanentError if that would take more than `max_segments`, or cannot be sent at all.
        """
        text = envelope.text
        if text is None:
            link = envelope.values.get("link")
            if link is None:
                raise PermanentError("the message has neither a text nor a link")
            text = nearest_or_any({**TEXTS, **self.texts}, envelope.language).replace(LINK, link)
        if segments(checked_words(text)) > self.max_segments:
            raise PermanentError(f"the text takes more than {self.max_segments} segments")
        return text

    @model_validator(mode="after")
    def _short_enough(self) -> Self:
        """Every text fits into `max_segments` with a wrapped link."""
        known = {**TEXTS, **self.texts}
        too_long = sorted(
            language
            for language, text in known.items()
            if segments(text.replace(LINK, _LINK_ROOM)) > self.max_segments
        )
        if too_long:
            raise ValueError(f"the text is longer than max_segments: {', '.join(too_long)}")
        return self

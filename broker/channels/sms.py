"""What the SMS channels share: who may be written to, the words, and how long they may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from broker.domain.recipients import Recipients
from broker.domain.sms import segments
from broker.sdk import Options, PermanentError, Region

LINK = "{link}"
FALLBACK = "en"
TEXTS = {
    "en": "Thank you for your call. Track your order here: {link} (do not share this link)",
    "de": "Danke für Ihren Anruf. Hier sehen Sie Ihre Bestellung: {link} (bitte nicht weitergeben)",
    "es": "Gracias por su llamada. Siga su pedido aquí: {link} (no comparta este enlace)",
}
"""Every word is the operator's or ours: nothing out of a CRM is in a text message."""
_LINK_ROOM = "https://broker.example.com/t/" + "x" * 43
"""A wrapped link of a usual length, to count segments with."""
_PLACEHOLDER = re.compile(r"\{[^{}]*\}|[{}]")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*", re.ASCII)


def _text(value: str) -> str:
    if set(_PLACEHOLDER.findall(value)) != {LINK}:
        raise ValueError("must have {link}, and no other braces")
    if not value.replace("\n", "").isprintable():
        raise ValueError("has a character that cannot be shown")
    return value


Text = Annotated[str, StringConstraints(min_length=6, max_length=1600), AfterValidator(_text)]


class SmsOptions(Options):
    """What every SMS channel can be told."""

    countries: frozenset[Region] = Field(min_length=1)
    """Whose numbers are written to: an allow-list, because premium ranges abroad pay whoever makes
    us text them."""
    texts: Mapping[str, Text] = {}
    """Language -> text, in place of ours or beside them."""
    max_segments: int = Field(3, ge=1, le=10)

    @field_validator("texts", mode="after")
    @classmethod
    def _languages(cls, texts: Mapping[str, str]) -> Mapping[str, str]:
        if any(_LANGUAGE.fullmatch(language) is None for language in texts):
            raise ValueError("a language is like de or pt-br")
        return texts

    @property
    def recipients(self) -> Recipients:
        return Recipients(self.countries)

    def text(self, language: str | None, link: str) -> str:
        """The words in the nearest language: `de-AT`, else `de`, else English.

        PermanentError if they would take more than `max_segments`.
        """
        text = self._chosen(language).replace(LINK, link)
        if segments(text) > self.max_segments:
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

    def _chosen(self, language: str | None) -> str:
        known = {**TEXTS, **self.texts}
        wanted = (language or FALLBACK).strip().replace("_", "-").lower()
        while wanted:
            if wanted in known:
                return known[wanted]
            wanted = wanted.rpartition("-")[0]
        return known[FALLBACK]

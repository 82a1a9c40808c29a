"""A consent: who agreed to get messages, when, how, and what he had been told."""

from __future__ import annotations

from dataclasses import dataclass

CONSENTS_KEPT_S = 3 * 365 * 86_400.0
"""Three years: the time within which a message is disputed in most countries."""


@dataclass(frozen=True, slots=True)
class Consent:
    """Proof that somebody asked to be written to. Never changed; it ends by itself."""

    number: str
    """E.164; the address, where the channel has no numbers."""
    at: float
    """Seconds since the epoch."""
    source: str
    """How it was given: `key`, `request`, `message` ..."""
    channel: str
    call_id: str | None = None
    """None if there was no call."""
    key: str | None = None
    """What was pressed."""
    prompt_version: str | None = None
    """Which wording the caller heard, as the operator names it."""
    branch: str | None = None
    """Where in the call flow."""

"""Keys that have a name already but do nothing yet, and the step that brings them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LATER = {
    "lookup.learn_phone": "learned numbers",
    "deflection": "deflection",
    "twilio_voice": "TwiML flow",
}
"""Key path (`*` is any name) -> the step that brings it; docs/settings.md shows this table."""


def step_of(path: Sequence[str]) -> str | None:
    """The step that brings the key at `path`, or None if no step does."""
    return next((step for key, step in LATER.items() if _covers(key.split("."), path)), None)


def _covers(key: Sequence[str], path: Sequence[str]) -> bool:
    return len(path) >= len(key) and all(
        part in ("*", name) for part, name in zip(key, path, strict=False)
    )

"""All that is known of a call at the moment when a channel may be offered to its caller."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

_POINTS = 1 << 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the rules look at. None = nobody knows, and no condition on it holds."""

    now: datetime
    """Aware, in any zone."""
    channels: tuple[str, ...]
    """Those that can reach this caller, the likeliest first."""
    called: str | None = None
    """The number that was dialled: E.164 with `+`, or as the platform told it if it is none."""
    caller: str | None = None
    """E.164 with `+`; None also if it is withheld."""
    branch: str | None = None
    reason: str | None = None
    ewt_seconds: float | None = None
    """The wait that is expected for the next agent."""
    agents_available: int | None = None
    prompts_heard: int = 0
    open: bool | None = None
    """Whether the platform says that the line is open."""
    premium: bool | None = None
    tags: tuple[str, ...] = ()
    language: str | None = None
    """The customer's, as the CRM has it: `de`, `de-AT`."""
    preferred_channel: str | None = None
    first_call: bool | None = None
    """Whether this caller's first call in the configured window."""
    deflected_before: bool | None = None
    calls_now: int | None = None
    """How many calls are live."""
    share_point: float = 0.0
    """Where the call stands between 0 and 1: see `share_point`."""


def share_point(call_id: str) -> float:
    """A number in [0, 1) that is always the same for a call, and evenly spread over all calls."""
    return int.from_bytes(blake2b(call_id.encode(), digest_size=8).digest()) / _POINTS

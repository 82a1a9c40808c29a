"""When a call's caller may be offered a channel: its situation for the rules, and what it keeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from broker.domain.call import called_number
from broker.domain.deflection import Wish
from broker.domain.evolve import evolve
from broker.domain.figures import Figures
from broker.domain.messages import DEFLECTION
from broker.domain.offers import ALREADY_DEFLECTED, CALL_OVER
from broker.domain.people import caller_of
from broker.domain.record import Offered, show_again
from broker.domain.situation import Situation, share_point

if TYPE_CHECKING:
    from broker.domain.deflection import Deflection
    from broker.domain.offers import Rules
    from broker.domain.record import Record


@dataclass(frozen=True, slots=True)
class Asked:
    """What the call flow knows when it asks; None = it did not say."""

    branch: str | None = None
    reason: str | None = None
    ewt_seconds: float | None = None
    agents_available: int | None = None
    prompts_heard: int | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """What is the same for all calls of a moment."""

    now: float
    """Seconds since the epoch."""
    figures: Figures = field(default_factory=Figures)
    calls_now: int | None = None


def offer_for(
    record: Record, asked: Asked, moment: Moment, rules: Rules, deflection: Deflection
) -> Offered:
    """What the rules say of this call; never an offer of what cannot be had any more."""
    if record.over is not None:
        return Offered(offer=False, rule=CALL_OVER)
    if record.message(DEFLECTION) is not None:
        return Offered(offer=False, rule=ALREADY_DEFLECTED)
    return rules.decide(situation(record, asked, moment, deflection))


def situation(record: Record, asked: Asked, moment: Moment, deflection: Deflection) -> Situation:
    """The call as the rules see it: what was asked with goes before what the platform tells."""
    customer, figures = record.trusted, moment.figures
    called = called_number(record.data.to, deflection.home_region)
    places = deflection.places(record, Wish(by="offer", branch=asked.branch))
    heard, wait, agents = asked.prompts_heard, asked.ewt_seconds, asked.agents_available
    return Situation(
        now=datetime.fromtimestamp(moment.now, UTC),
        channels=tuple(dict.fromkeys(place.channel for place in places)),
        called=called,
        caller=caller_of(record),
        branch=asked.branch,
        reason=asked.reason,
        ewt_seconds=figures.ewt_seconds if wait is None else wait,
        agents_available=figures.agents_available if agents is None else agents,
        prompts_heard=_prompts(record) if heard is None else heard,
        open=figures.is_open(called),
        premium=customer.premium if customer is not None else None,
        tags=customer.tags if customer is not None else (),
        language=deflection.language(record),
        preferred_channel=customer.preferred_channel if customer is not None else None,
        first_call=record.first_call,
        deflected_before=record.deflected_before,
        calls_now=moment.calls_now,
        share_point=share_point(record.id),
    )


def offered(record: Record, offer: Offered, idle_at: float) -> Record:
    """The call keeps what was offered last; the session shows it, if that is something else."""
    if record.over is not None:
        return record
    alive = evolve(record, idle_at=idle_at)
    return alive if record.offered == offer else show_again(evolve(alive, offered=offer))


def _prompts(record: Record) -> int:
    """What he has heard at least: one prompt for each reference and each key he pressed."""
    return record.tries + record.invalid_choices + (record.choice is not None)

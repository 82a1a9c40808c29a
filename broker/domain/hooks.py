"""What the platform is told of a call without having asked: to the agent, and to its own record."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - plug-in authors read the annotations
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.domain.record import Record

MESSAGE_LIMIT = 250
"""Characters that an agent is shown in one line."""


class Hook(StrEnum):
    SCREEN_POP = "screen_pop"
    LOG_BACK = "log_back"


class HookResult(StrEnum):
    """What became of one attempt; each hook has one at most."""

    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """The answer was lost: it may have arrived. Nobody repeats it."""
    DROPPED = "dropped"
    """Too many were waiting."""


@dataclass(frozen=True, slots=True)
class ScreenPop:
    """Whose call an agent is getting. Holds personal data, for him alone."""

    agent_id: str
    call_id: str
    message: str
    """One line to read, 1 to MESSAGE_LIMIT characters."""
    data: Mapping[str, str | bool]
    """`call_id`, `customer_id`, `lookup`, `route`, and where known `name`, `premium`,
    `record_url`."""


@dataclass(frozen=True, slots=True)
class CallReport:
    """How a call ended with us. Holds nothing of the customer."""

    call_id: str
    data: Mapping[str, str | int]
    """`outcome`, `references` (how many were typed), and where there are any `reason`, `lookup`,
    `route`, `message.<purpose>` (its state), `disposition`."""


def screen_pop(record: Record, agent_id: str) -> ScreenPop | None:
    """What the agent is shown; None if nobody knows for sure who is calling, or the call is over.

    A caller whose reference named somebody else than his number is not known for sure.
    """
    customer = record.customer
    if customer is None or record.contradicted or record.over is not None:
        return None
    data: dict[str, str | bool | None] = {
        "call_id": record.id,
        "customer_id": customer.id,
        "name": customer.name,
        "premium": customer.premium,
        "record_url": customer.record_url,
        **_shown(record),
    }
    words = [customer.name, "premium" if customer.premium else None, customer.id]
    message = " · ".join(word for word in words if word)[:MESSAGE_LIMIT]
    known = {key: value for key, value in data.items() if value is not None}
    return ScreenPop(agent_id, record.id, message, known)


def call_report(record: Record) -> CallReport:
    """How the call ended, for the platform's record of it."""
    data: dict[str, str | int | None] = {
        "outcome": str(record.outcome),
        "reason": record.reason,
        "references": record.tries,
        "disposition": record.disposition,
        **_shown(record),
        **{f"message.{message.purpose}": str(message.state) for message in record.messages},
    }
    known = {key: value for key, value in data.items() if value is not None}
    return CallReport(record.id, known)


def _shown(record: Record) -> dict[str, str]:
    """How the lookup ended and where the call was advised to go."""
    step = record.shown
    values = (step.lookup, step.route) if step is not None else (None, None)
    pairs = zip(("lookup", "route"), values, strict=True)
    return {name: str(value) for name, value in pairs if value is not None}

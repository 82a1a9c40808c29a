"""All that is known of one call, by kind: what the rules of the judge look at."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tests.chaos.history import Answered, Call, Refused, Seen, Sent, Undelivered, Wrote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.chaos.history import Event, Request


@dataclass(frozen=True)
class Facts:
    """The events of one call by kind, and what follows from them."""

    call: Call
    events: tuple[Event, ...]
    healed_at: float

    @cached_property
    def writes(self) -> list[Wrote]:
        return [event for event in self.events if isinstance(event, Wrote)]

    @cached_property
    def sent(self) -> list[Sent]:
        return [event for event in self.events if isinstance(event, Sent)]

    @cached_property
    def refused(self) -> list[Refused | Undelivered]:
        """What definitely did not arrive, said at once or later."""
        return [event for event in self.events if isinstance(event, Refused | Undelivered)]

    def most_out(self, purpose: str) -> int:
        """How many messages of this purpose were out at the same time, undelivered ones aside."""
        return max(self._out(purpose), default=0)

    def out(self, purpose: str) -> int:
        """How many are out in the end."""
        return [0, *self._out(purpose)][-1]

    def _out(self, purpose: str) -> Iterator[int]:
        steps = (
            {Sent: 1, Undelivered: -1}.get(type(event), 0)
            for event in self.events
            if getattr(event, "purpose", None) == purpose
        )
        return itertools.accumulate(steps)

    @cached_property
    def seen(self) -> list[Seen]:
        return [event for event in self.events if isinstance(event, Seen)]

    @cached_property
    def last(self) -> Mapping[str, Any] | None:
        """The latest thing a broker said of it."""
        return self.seen[-1].view if self.seen else None

    @cached_property
    def outcome(self) -> str | None:
        return self.last["outcome"] if self.last is not None else None

    @cached_property
    def messages(self) -> Mapping[str, Mapping[str, Any]]:
        """Purpose -> message, as a broker last said."""
        return {m["purpose"]: m for m in self.last["messages"]} if self.last is not None else {}

    def taken(self, *requests: Request) -> list[float]:
        """When requests of these kinds were answered with a 2xx."""
        return [
            event.at
            for event in self.events
            if isinstance(event, Answered)
            and event.request in requests
            and event.status // 100 == 2
        ]

    @cached_property
    def accepted(self) -> bool:
        return bool(self.taken("start", "reference", "deflections"))

    @cached_property
    def session(self) -> dict[str, Any]:
        """What stands in the session at the end."""
        return self.session_at(math.inf)

    def session_at(self, at: float) -> dict[str, Any]:
        """What stood in it then."""
        content: dict[str, Any] = {}
        for write in self.writes:
            if write.at <= at:
                content |= write.variables
        return content

    @cached_property
    def found_at(self) -> list[float]:
        """When the session was written to with the customer."""
        return [write.at for write in self.writes if write.variables.get("ivr.lookup") == "found"]

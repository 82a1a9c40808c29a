"""What must hold when a message is handed over, and what a provider's refusal means for later."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from broker.domain.call import Phone
from broker.domain.caps import Caps
from broker.domain.guards import Guards, opt_out_marks
from broker.domain.messages import TRACKING
from broker.domain.people import caller_of, people_reached

if TYPE_CHECKING:
    from broker.domain.messages import Message
    from broker.domain.quiet_hours import QuietHours
    from broker.domain.record import Record


@dataclass(frozen=True, slots=True)
class SendRules:
    """Nobody who has opted out is written to, nobody too often, and nobody at night."""

    caps: Caps = field(default_factory=Caps)
    home_region: str | None = None
    """Where a CRM's national numbers are read, if the caller's country is not known."""
    quiet_hours: QuietHours | None = None
    interrupts: bool = False
    """Whether somebody who is talking to us on a channel may be moved to one again."""

    def guards(self, record: Record, message: Message, to: str) -> Guards:
        """What goes with the mark that `message` is being handed over to `to`.

        On each channel only the first hand-over counts against the caps: another one follows what
        was not taken.
        """
        people = people_reached(record, to, self.home_region)
        new = message.purpose != TRACKING and message.attempts == 0
        return Guards(
            people,
            strangers=people if new and not self.interrupts else (),
            caps=self.caps.of(to, message.channel) if message.begins else (),
        )

    def opt_out(self, record: Record, to: str, at: float) -> Guards:
        """What keeps whoever is reached at `to` from being written to again, on any channel."""
        return Guards(marks=opt_out_marks(people_reached(record, to, self.home_region), at))

    def quiet_until(self, record: Record, message: Message, to: str, now: float) -> float | None:
        """When `to` may be written to on this channel, if that is not now.

        What is no number, such as a push token, is where the caller's number is.
        """
        hours = self.quiet_hours
        if hours is None or not hours.concern(message.channel, to):
            return None
        return hours.until(now, Phone.read(to if to.startswith("+") else caller_of(record) or ""))

    def goes_around(self, message: Message) -> bool:
        """Whether a message that nobody wants to hear now goes to its next channel instead.

        Not if all of those are quiet too, nor if this one may have taken it already.
        """
        hours = self.quiet_hours
        if hours is None or hours.then == "delay" or message.doubtful:
            return False
        return any(not hours.concern(place.channel, place.to) for place in message.then)

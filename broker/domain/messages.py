"""One thing to send for a call: its states and when the tracking message is due."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.domain.recipients import Recipients
    from broker.domain.record import Record

TRACKING = "tracking"
"""The purpose of the message with the order's tracking link."""
EMAIL = "email"
"""The channel that `[smtp]` sets up."""

_MOST_DOUBLINGS = 30


class MessageState(StrEnum):
    """How far a message got. It only moves forward, except back to `queued` for a retry."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    REPLIED = "replied"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SUPPRESSED = "suppressed"
    EXPIRED = "expired"

    @property
    def pending(self) -> bool:
        return self in {MessageState.QUEUED, MessageState.SENDING}

    @property
    def dead(self) -> bool:
        """Whether an operator should look at it."""
        return self is MessageState.FAILED or self is MessageState.UNKNOWN

    @property
    def arrived(self) -> bool:
        """Whether the channel took it."""
        return self in {
            MessageState.SENT,
            MessageState.DELIVERED,
            MessageState.READ,
            MessageState.REPLIED,
        }


@dataclass(frozen=True)
class Message:
    """What has become of one message of a call. At most one per call and purpose."""

    purpose: str
    channel: str
    queued_at: float
    due_at: float
    """When the next attempt may start."""
    state: MessageState = MessageState.QUEUED
    attempts: int = 0
    """Hand-overs begun, this one included."""
    reason: str | None = None
    provider_id: str | None = None
    doubtful: bool = False
    """An answer was lost on the way here: the channel may have taken it already."""


class Sender(StrEnum):
    """Who sends the tracking email: doubling it is the mistake this setting prevents."""

    BROKER = "broker"
    PLATFORM = "platform"


class When(StrEnum):
    """When the tracking email is sent."""

    AUTO = "auto"
    ON_REQUEST = "on_request"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Tracking:
    """The operator's `[tracking]` settings, as far as they decide whether there is a message."""

    url_template: str | None = None
    when: When = When.AUTO
    sent_by: Sender = Sender.BROKER
    channel: str = EMAIL
    """Whose name the message carries: `email`, or a `[channels.<name>]`."""
    recipients: Recipients | None = None
    """Whom that channel writes to by telephone number; None = by email address."""
    or_email: bool = False
    """Whether a customer without such a number gets an email instead."""

    def place(self, record: Record) -> tuple[str, str] | None:
        """Channel and address for the tracking message of this call; None if there is none."""
        names = (self.channel, EMAIL) if self.or_email else (self.channel,)
        places = ((name, self.address(record, name)) for name in names)
        return next(((name, to) for name, to in places if to), None)

    def address(self, record: Record, channel: str) -> str | None:
        """Where `channel` reaches the customer of this call: an E.164 number, or an email.

        None also for a channel that is not the configured one any more: nobody knows what it takes.
        """
        if channel == self.channel and self.recipients is not None:
            phone = self.recipients.choose(record)
            return phone.e164 if phone is not None else None
        if record.customer is None or channel not in {self.channel, EMAIL}:
            return None
        return record.customer.email

    @property
    def refusal(self) -> str | None:
        """Why no tracking message is ever sent by us, as an error code; None if it may be."""
        if self.url_template is None or self.when is When.NEVER:
            return "switched_off"
        return "sent_by_platform" if self.sent_by is Sender.PLATFORM else None


@dataclass(frozen=True, slots=True)
class Backoff:
    """When a message that was definitely not taken is tried again, in seconds."""

    first_s: float = 2.0
    longest_s: float = 300.0
    give_up_s: float = 1800.0
    """After this long in the queue it has failed: nobody waits for an older tracking link."""

    def next_due(self, message: Message, now: float, retry_after: float | None) -> float | None:
        """When to try again, or None to give up. The channel may wish for more time, not less."""
        doublings = min(max(0, message.attempts - 1), _MOST_DOUBLINGS)
        wait = min(self.longest_s, self.first_s * 2.0**doublings)
        due = now + max(wait, retry_after or 0.0)
        return due if due - message.queued_at <= self.give_up_s else None

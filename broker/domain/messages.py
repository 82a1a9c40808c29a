"""One thing to send for a call: where it goes, its states, and when the tracking message is due."""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003 - the store's codec reads the annotations
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.domain.recipients import Recipients
    from broker.domain.record import Record

TRACKING = "tracking"
"""The purpose of the message with the order's tracking link."""
DEFLECTION = "deflection"
"""The purpose of the message that moves a caller to a channel, by his consent."""
ABANDONED = "abandoned"
"""The purpose of the message to a caller who gave up waiting, by an earlier consent."""
EMAIL = "email"
"""The channel that `[smtp]` sets up."""

FREE_FORM_S = 86_400.0
"""After somebody wrote: so long WhatsApp takes free words to him."""
_OURS = re.compile(r"[mhp][0-9a-f]{31}", re.ASCII)
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


class ReceiptState(StrEnum):
    """What a receipt says became of a message."""

    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    """Definitely not delivered, and it never will be."""


class EntryState(StrEnum):
    """What became of something that is to be written into a CRM."""

    WANTED = "wanted"
    KEPT = "kept"
    FAILED = "failed"


@dataclass(frozen=True)
class CrmEntry:
    """A ticket or a note in a CRM."""

    crm: str
    """By its configured name."""
    state: EntryState | None = None
    """None = not yet: the message is not sent, the call not over."""
    since: float = 0.0
    due_at: float = 0.0
    """When it is tried next."""
    id: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class Place:
    """Where a message may go: a channel, and what it reaches the person by."""

    channel: str
    to: str
    """E.164 number, email address or push token; personal data."""


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
    """Hand-overs begun, this one included, on whatever channel."""
    reason: str | None = None
    provider_id: str | None = None
    doubtful: bool = False
    """An answer was lost on the way here: the channel may have taken it already."""
    to: str | None = None
    """Whom it reaches on this channel; None for a tracking message, which looks when it is sent."""
    then: tuple[Place, ...] = ()
    """Where it goes if this channel definitely fails, in this order. It never goes back."""
    earlier: int = 0
    """Hand-overs on the channels before this one."""
    moves: int = 0
    """How often it went on to its next place; of one that did under version 3, not counted."""
    first_at: float | None = None
    """When the first hand-over on this channel began."""
    template: str | None = None
    """By its configured name; None = the channel's, else the global one."""
    language: str | None = None
    handle: str | None = None
    """Stands for the context on the other channel; whoever has it may ask for that with a key."""
    context: Mapping[str, str] = field(default_factory=dict)
    """What travels along, as the automation gave it: `user.<key>`, `ticket.<key>` or plain."""
    branch: str | None = None
    talked_at: float | None = None
    """When the person last answered it."""
    silent_after_s: float | None = None
    """How long it may be `sent` without a word of what became of it; None = for ever."""
    silent_at: float | None = None
    """When that is over on this channel; None = never, or there is no next one."""
    ticket: CrmEntry | None = None
    """In which it is followed up once it is sent; None = there is none to be opened."""

    @property
    def begins(self) -> bool:
        """Whether the next hand-over is the first one on its channel."""
        return self.attempts == self.earlier

    @property
    def silence_ends(self) -> float | None:
        """When its next channel gets its turn, if nothing is heard of it until then."""
        return self.silent_at if self.state is MessageState.SENT else None

    @property
    def next_at(self) -> float | None:
        """When something has to be done for it; None = now, by whoever finds it so."""
        if self.silence_ends is not None:
            return self.silence_ends
        return self.due_at if self.due_at > self.queued_at else None


def is_ours(any_id: str) -> bool:
    """Whether it looks like an id that is made here: of a message, a handle, a provider's id."""
    return _OURS.fullmatch(any_id) is not None


def message_id(call_id: str, purpose: str) -> str:
    """The id of a call's message; another call or purpose has another one."""
    return "m" + sha256(f"{call_id}|{purpose}".encode()).hexdigest()[:31]


def hand_over_key(call_id: str, message: Message) -> str:
    """The same for every hand-over at one place, another one at the next.

    Two of its channels may lead to one receiver, who takes each key once.
    """
    key = f"{call_id}|{message.purpose}"
    return f"{key}|{message.moves + 1}" if message.moves else key


def handle_alias(handle: str) -> str:
    """By what a call is found that a handle belongs to: who reads the store cannot go back."""
    return "h" + sha256(handle.encode()).hexdigest()[:31]


def provider_alias(channel: str, provider_id: str) -> str:
    """By what a call is found whose message the provider of `channel` calls so."""
    return "p" + sha256(f"{channel}|{provider_id}".encode()).hexdigest()[:31]


def reply_alias(channel: str, sender: str) -> str:
    """By what a call is found whose message somebody answers on `channel` without naming it."""
    return "r" + sha256(f"{channel}|{sender}".encode()).hexdigest()[:31]


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
    """This long after its first attempt it has failed: nobody waits for an older link."""
    move_on_s: float = 8.0
    """The same where there is another channel to go to: a caller may be waiting."""

    def next_due(self, message: Message, now: float, retry_after: float | None) -> float | None:
        """When to try again, or None to give up. The channel may wish for more time, not less."""
        doublings = min(max(0, message.attempts - 1), _MOST_DOUBLINGS)
        wait = min(self.longest_s, self.first_s * 2.0**doublings)
        due = now + max(wait, retry_after or 0.0)
        began = message.first_at or message.queued_at
        longest = self.move_on_s if message.then else self.give_up_s
        return due if due - began <= longest else None

"""The small telephone menu: where a caller stands in it, and what he hears next."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from broker.domain.deflection import DEFLECT, INVALID, NO_RECIPIENT, QUEUE, STAY, Wish
from broker.domain.messages import DEFLECTION, TRACKING, MessageState
from broker.domain.offering import Asked
from broker.domain.routing import Route
from broker.domain.voice_texts import OURS, words_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.domain.deflection import Deflection
    from broker.domain.record import Record
    from broker.domain.voice_texts import Words

WITHHELD = frozenset({"+266696687", "+7378742833", "+2562533", "+8656696", "+86282452253"})
"""What Twilio names as the caller where there is no number: ANONYMOUS, RESTRICTED, BLOCKED,
UNKNOWN and UNAVAILABLE, as they are spelled on a keypad."""
ANSWERED, UNANSWERED = "answered", "unanswered"
ABANDONED, DEFLECTED = "abandoned", "deflected"
"""How a call of the menu ended on the phone: its disposition."""
_LOST = {MessageState.FAILED, MessageState.SUPPRESSED, MessageState.EXPIRED}


@dataclass(frozen=True, slots=True)
class Say:
    text: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Keys are waited for while `says` is heard, and `key_s` seconds after it."""

    says: tuple[Say, ...]
    digits: int
    key_s: int


@dataclass(frozen=True, slots=True)
class Dial:
    to: str
    ring_s: int


@dataclass(frozen=True, slots=True)
class Again:
    """Ask the broker how it stands now, without a key."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """The call ends."""


Verb = Say | Ask | Dial | Again | HangUp


@dataclass(frozen=True, slots=True)
class Script:
    """What the platform does next with the caller, in this order."""

    language: str
    verbs: tuple[Verb, ...]


class Spot(StrEnum):
    """Where a caller stands. It follows from the call's record alone."""

    PREMIUM = "premium"
    REFERENCE = "reference"
    OFFER = "offer"
    HOLD = "hold"
    """His message is on its way: he hangs up only when it is sent."""
    SENT = "sent"
    QUEUE = "queue"


@dataclass(frozen=True, slots=True)
class Menu:
    """The operator's `[twilio_voice]`, as far as it decides."""

    premium_dial: str
    queue_dial: str
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: OURS)
    language: str = "en"
    """Of a caller for whom nobody knows a better one."""
    wait_minutes: int | None = None
    reference_length: int = 7
    ring_s: int = 30
    key_s: int = 5
    hold_s: float = 20.0
    """How long a caller waits for his message before he gets back his place in the queue."""

    def spot(self, record: Record, rules: Deflection, now: float) -> Spot:
        """Where the caller of `record` stands."""
        message = record.message(DEFLECTION)
        if message is not None and message.state.arrived:
            return Spot.SENT
        if message is not None:
            soon = max(message.due_at, now) - message.queued_at < self.hold_s
            return Spot.HOLD if message.state.pending and soon else Spot.QUEUE
        route = record.shown.route if record.shown is not None else None
        if record.choice in {STAY, QUEUE, NO_RECIPIENT}:
            return Spot.QUEUE
        if route in {Route.PREMIUM, Route.REFERENCE}:
            return Spot(str(route))
        return Spot.OFFER if deflect_key(record, rules) is not None else Spot.QUEUE

    def asked(self, record: Record) -> Asked:
        """What the rules are told: the greeting, every question and every round is a prompt."""
        wait_s = self.wait_minutes * 60.0 if self.wait_minutes is not None else None
        heard = 1 + record.tries + record.invalid_choices
        return Asked(ewt_seconds=wait_s, prompts_heard=heard)

    def words(self, record: Record | None = None, rules: Deflection | None = None) -> Words:
        """In the caller's language, as far as it is known and somebody has put it into words."""
        his = rules.language(record) if record is not None and rules is not None else None
        return words_in(self.texts, his, self.language)

    def to_queue(self, words: Words) -> Script:
        """Whatever happened: he gets to a person, and hears nothing of it."""
        dial = Dial(self.queue_dial, self.ring_s)
        return Script(words.language, (Say(words.say("queue")), dial))

    def nobody_free(self, words: Words) -> Script:
        return Script(words.language, (Say(words.say("busy")), HangUp()))


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the menu: the caller as he stands now, and how he came here."""

    menu: Menu
    rules: Deflection
    record: Record
    now: float
    greets: bool = False
    """Whether the call has just come in."""
    typed: bool = False
    """Whether he pressed something."""

    @property
    def words(self) -> Words:
        return self.menu.words(self.record, self.rules)

    def script(self) -> Script:
        """What he hears and what is done with him."""
        following = {
            Spot.PREMIUM: self._premium,
            Spot.REFERENCE: self._reference,
            Spot.OFFER: self._offer,
            Spot.HOLD: self._hold,
            Spot.SENT: self._sent,
            Spot.QUEUE: self._queue,
        }[self.menu.spot(self.record, self.rules, self.now)]
        greeting = (self._say("greeting"),) if self.greets else ()
        return Script(self.words.language, (*greeting, *following()))

    def _say(self, name: str, **values: object) -> Say:
        return Say(self.words.say(name, **values))

    def _premium(self) -> tuple[Verb, ...]:
        return self._say("premium"), Dial(self.menu.premium_dial, self.menu.ring_s)

    def _reference(self) -> tuple[Verb, ...]:
        length = self.menu.reference_length
        wrong = (self._say("reference_wrong"),) if self.typed and self.record.tries else ()
        asked = self._say("reference", length=length)
        return Ask((*wrong, asked), length, 2 * self.menu.key_s), Again()

    def _offer(self) -> tuple[Verb, ...]:
        wrong = (self._say("invalid"),) if self.typed and self.record.choice == INVALID else ()
        says = (*self._tracked(), *wrong, *self._wait(), *self._choices())
        return Ask(says, 1, self.menu.key_s), Again()

    def _tracked(self) -> tuple[Say, ...]:
        """An email is on its way: said once, before he has chosen anything."""
        mail = self.record.message(TRACKING)
        news = mail is not None and mail.state not in _LOST and self.record.choice is None
        return (self._say("tracking"),) if news and (self.greets or self.typed) else ()

    def _wait(self) -> tuple[Say, ...]:
        offered, minutes = self.record.offered, self.menu.wait_minutes
        if offered is not None and offered.text:
            return (Say(offered.text),)
        return (self._say("wait", minutes=minutes),) if minutes is not None else ()

    def _choices(self) -> tuple[Say, ...]:
        offer = self._say("offer", key=deflect_key(self.record, self.rules))
        stay = next((key for key, action in self.rules.keys.items() if action == STAY), None)
        return (offer,) if stay is None else (offer, self._say("stay", key=stay))

    def _hold(self) -> tuple[Verb, ...]:
        return self._say("hold"), Again()

    def _sent(self) -> tuple[Verb, ...]:
        return self._say("sent"), HangUp()

    def _queue(self) -> tuple[Verb, ...]:
        message = self.record.message(DEFLECTION)
        lost = message is not None and message.state in _LOST
        sorry = (self._say("not_sent"),) if lost else self._tracked()
        if self.record.choice == NO_RECIPIENT:
            sorry = (self._say("no_recipient"),)
        return (*sorry, *self.menu.to_queue(self.words).verbs)


def hung_up(record: Record) -> str:
    """How the call of a caller ended who has hung up: to go on in writing, or for nothing."""
    message = record.message(DEFLECTION)
    return ABANDONED if message is None or message.state in _LOST else DEFLECTED


def deflect_key(record: Record, rules: Deflection) -> str | None:
    """The key that moves this caller to a channel; None if there is none that reaches him."""
    if not rules.on or (record.offered is not None and not record.offered.offer):
        return None
    for key, action in rules.keys.items():
        kind, _, channel = action.partition(":")
        wish = Wish(by=f"key:{key}", channel=channel or None)
        if kind == DEFLECT and len(key) == 1 and rules.places(record, wish):
            return key
    return None

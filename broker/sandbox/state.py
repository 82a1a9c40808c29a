"""All that one sandbox remembers: calls with their sessions, sent messages, tokens, faults."""

from __future__ import annotations

import itertools
import secrets
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from broker.sandbox.callbacks import Callbacks
from broker.sandbox.faults import FaultPlan, Faults
from broker.sandbox.personas import Fixture, digits_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from broker.sandbox.personas import Persona
    from broker.sandbox.twilio_callbacks import Taken

KEPT = 10_000
"""How many calls, standalone sessions and messages are remembered; the oldest go first."""
TOKEN_TTL_S = 43_200
"""Twelve hours, as the platform's help center says."""


def new_id() -> str:
    """An id as the platform sends it: 32 hexadecimal characters, no hyphens."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Write:
    """One attempt to change a session."""

    at_ms: int
    """Milliseconds since the session began."""
    via: Literal["sessions", "calls"]
    variables: Mapping[str, Any]
    """What was kept of it: `calls` keeps `app.` only, an ended session nothing."""
    kept: bool


@dataclass(slots=True)
class Session:
    """The variable store of a live call, or a standalone one."""

    id: str = field(default_factory=new_id)
    created: float = field(default_factory=time.time)
    last_access: float = field(default_factory=time.time)
    data: dict[str, Any] = field(default_factory=dict)
    ends: float = float("inf")
    """Epoch seconds of the hang-up; it may lie ahead."""
    writes: list[Write] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        return time.time() < self.ends

    def touch(self) -> None:
        self.last_access = time.time()

    def merge(self, variables: Mapping[str, Any], via: Literal["sessions", "calls"]) -> None:
        """Keep `variables` beside the others; after the hang-up nothing is kept."""
        now = time.time()
        kept = {
            key: value
            for key, value in variables.items()
            if self.valid and (via == "sessions" or key.startswith("app."))
        }
        self.data.update(kept)
        at_ms = round((now - self.created) * 1000)
        self.writes.append(Write(at_ms, via, kept, kept=bool(kept)))


@dataclass(slots=True)
class Call:
    """One inbound call, with three different ids."""

    from_: str | None
    """None: withheld."""
    to: str
    session: Session
    id: str = field(default_factory=new_id)
    conversation_id: str = field(default_factory=new_id)
    finish_reason: str = "hangup"
    events: list[dict[str, Any]] = field(default_factory=list)
    """What was added to the conversation, oldest first."""

    @property
    def over(self) -> bool:
        return not self.session.valid

    def hang_up(self, reason: str) -> bool:
        """Whether there was still something to end."""
        if self.over:
            return False
        self.session.ends = time.time()
        self.finish_reason = reason
        return True


class Calls:
    """The calls and all sessions, oldest first."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}
        self._sessions: dict[str, Session] = {}
        self._conversations: dict[str, Call] = {}

    def __iter__(self) -> Iterator[Call]:
        return iter(self._calls.values())

    def add(self, call: Call) -> None:
        self._calls[call.id] = call
        self._conversations[call.conversation_id] = call
        self.add_session(call.session)
        if len(self._calls) > KEPT:
            oldest = self._calls.pop(next(iter(self._calls)))
            self._sessions.pop(oldest.session.id, None)
            self._conversations.pop(oldest.conversation_id)

    def add_session(self, session: Session) -> None:
        self._sessions[session.id] = session
        if len(self._sessions) > 2 * KEPT:
            self._sessions.pop(next(iter(self._sessions)))

    def get(self, call_id: str) -> Call | None:
        return self._calls.get(call_id)

    def conversation(self, conversation_id: str) -> Call | None:
        return self._conversations.get(conversation_id)

    def session(self, session_id: str) -> Session | None:
        return self._sessions.get(session_id)


@dataclass(frozen=True, slots=True)
class Sent:
    """One message that reached one recipient."""

    kind: Literal["email", "sms", "webhook", "push", "whatsapp", "adereso"]
    to: str
    content: Mapping[str, Any]
    id: str = field(default_factory=new_id)
    sent_at: float = field(default_factory=time.time)

    def is_to(self, recipient: str) -> bool:
        """Whether `recipient` is this one; letter case, `+` and spaces do not matter."""
        if self.kind in {"sms", "whatsapp", "adereso"}:
            return digits_of(self.to) == digits_of(recipient)
        return self.to.lower() == recipient.strip().lower()


class NumberPool:
    """Fresh caller numbers: a random start, then one after the other through the range."""

    def __init__(self) -> None:
        self._next: dict[str, itertools.count[int]] = {}

    def take(self, persona: Persona) -> str:
        suffixes = persona.suffixes
        start = itertools.count(secrets.randbelow(len(suffixes)))
        turn = next(self._next.setdefault(persona.name, start))
        return persona.number(suffixes[turn % len(suffixes)])


@dataclass(slots=True)
class SandboxState:
    """The memory of one sandbox; two sandboxes share nothing."""

    fixture: Fixture = field(default_factory=Fixture)
    faults: Faults = field(default_factory=Faults)
    calls: Calls = field(default_factory=Calls)
    outbox: deque[Sent] = field(default_factory=lambda: deque(maxlen=KEPT))
    numbers: NumberPool = field(default_factory=NumberPool)
    tokens: dict[str, float] = field(default_factory=dict)
    """Issued platform token -> epoch second of its end."""
    opted_out: set[str] = field(default_factory=set)
    """Numbers that have texted STOP to the sandbox's Twilio sender."""
    conversations: set[str] = field(default_factory=set)
    """Numbers, as digits, that have written to the sandbox's WhatsApp number."""
    callbacks: Callbacks = field(default_factory=Callbacks)
    twilio_sent: dict[str, Taken] = field(default_factory=dict)
    """Recipient as Twilio names him -> the last message to him."""
    webhooks: dict[str, str] = field(default_factory=dict)
    """Idempotency key -> id of the message that was taken under it."""

    def issue_token(self) -> str:
        now = time.time()
        self.tokens = {token: ends for token, ends in self.tokens.items() if ends > now}
        token = secrets.token_urlsafe(24)
        self.tokens[token] = now + TOKEN_TTL_S
        return token

    def reset(self) -> None:
        """Forget calls, messages and faults.

        Issued tokens, used-up numbers and callback addresses stay.
        """
        self.calls = Calls()
        self.outbox.clear()
        self.webhooks.clear()
        self.opted_out.clear()
        self.conversations.clear()
        self.twilio_sent.clear()
        self.faults.set(FaultPlan())

"""One run of one step: its lease, its age, the CRMs being asked, the session being found."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.domain.call import Phone
from broker.domain.customer import LookupState
from broker.domain.errors import BrokerError, CallEndedError, SessionNotFoundError
from broker.domain.people import hashed
from broker.domain.record import ANSWER, Session
from broker.timing import time_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from broker.domain.call import Reference, ReferenceFormat
    from broker.domain.customer import Answer
    from broker.domain.record import Record, Step
    from broker.ports import CallPlatform, Clock, History, Lease, Note, Seen, Variable
    from broker.usecases.book import Book
    from broker.usecases.lookup import Asking, Lookup

_SEEN_WITHIN_S = 0.05
"""What earlier calls tell is read beside the lookup; nobody waits for it much longer."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds from the receipt of a step: the operator's `[lookup]` and `[platform]` settings."""

    lookup_s: float = 1.5
    late_s: float = 5.0
    """How long the CRMs are listened to after `lookup_s` is over; `lookup_s` = not at all."""
    write_s: float = 3.5
    useful_s: float = 60.0


class Run:
    """Lives as long as this replica holds the step; `close` it."""

    def __init__(  # noqa: PLR0913, PLR0917 - all of it is what a run is made of
        self,
        lease: Lease,
        book: Book,
        clock: Clock,
        lookup: Lookup,
        platform: CallPlatform,
        references: ReferenceFormat,
        deadlines: Deadlines,
        history: History | None = None,
        window_s: float = 0.0,
    ) -> None:
        self.lease = lease
        self.call_id = lease.call_id
        self.name = lease.name
        self._received_at = lease.record.step(lease.name).received_at
        self._book = book
        self._clock = clock
        self._lookup = lookup
        self._platform = platform
        self._references = references
        self._deadlines = deadlines
        self.taken_over = lease.epoch > 1
        self.said_timeout = False
        """Whether `timeout` was written without the ledger's knowledge, while that was away."""
        self.unnoted = False
        """Whether a session write was begun here that the ledger does not know of."""
        self.began_at = self.age() if self.taken_over else 0.0
        """The step's age when this replica began; a takeover listens as long as the first did."""
        self._asking: Asking | None = None
        self._session = lease.record.session or _given(lease.record)
        self._finding: asyncio.Task[Session] | None = None
        self._history = history
        self._window_s = window_s
        self._seeing: asyncio.Task[Seen] | None = None

    @property
    def step(self) -> Step:
        return self.lease.record.step(self.name)

    def age(self) -> float:
        """Seconds since the step was received, on every replica alike."""
        return self._clock.time() - self._received_at

    def age_ms(self) -> int:
        return round(self.age() * 1000)

    def start(self) -> None:
        """Begin to find the session, beside the lookup, if somebody has to be asked."""
        if self._session is None:
            within = self._deadlines.lookup_s
            finding = self._platform.find_session(self.lease.record.ref, within=within)
            self._finding = asyncio.create_task(finding, name="find session")

        number = self.step.value if not self.step.is_reference else None
        if self._history is not None and number is not None and self.step.lookup is None:
            noting = self._history.note_call(hashed(number), self.call_id, self._window_s)
            self._seeing = asyncio.create_task(noting, name="note the call")

    async def seen(self) -> Seen | None:
        """What is known of the caller's earlier calls; None if nobody knows, or not in time."""
        if self._seeing is None:
            return None
        try:
            with time_limit(_SEEN_WITHIN_S):
                return await asyncio.shield(self._seeing)
        except (BrokerError, TimeoutError):
            return None

    @property
    def asking(self) -> Asking:
        """The CRMs, asked from the first look on."""
        if self._asking is None:
            within = max(0.0, self._deadlines.lookup_s - self.age())
            self._asking = self._lookup.ask_for(self.call_id, self.name, self._query(), within)
        return self._asking

    def _query(self) -> Phone | Reference:
        value = self.step.value or ""
        if not self.step.is_reference:
            return Phone.from_e164(value)
        reference = self._references.parse(value)
        if reference is None:
            raise LookupError("a malformed reference is not looked up")
        return reference

    @property
    def listens(self) -> bool:
        """Whether a late hit may still come and would be written."""
        step, deadlines = self.step, self._deadlines
        if step.lookup is not LookupState.TIMEOUT or step.preset is not None:
            return False
        if deadlines.late_s <= deadlines.lookup_s:
            return False
        if self.lease.record.over is not None or self.lease.record.customer is not None:
            return False
        return self._asking is None or self._asking.listening

    async def session(self) -> Session:
        """The call's session. CallEndedError: no such call. SessionNotFoundError: unknown."""
        if self._session is not None:
            return self._session
        if self._finding is None:
            raise SessionNotFoundError("nobody was asked for the session")
        try:
            self._session = await asyncio.shield(self._finding)
        except CallEndedError:
            raise
        except Exception as error:  # foreign code: a driver must not end a call
            raise SessionNotFoundError("the session could not be found out") from error
        return self._session

    async def known_session(self, within: float) -> Session | None:
        """The same, if it can be had in time."""
        if self._session is not None:
            return self._session
        try:
            with time_limit(within):
                return await self.session()
        except (BrokerError, TimeoutError):
            return None

    async def save(self, change: Callable[[Record], Record], notes: Sequence[Note] = ()) -> Record:
        return await self._book.save(self.call_id, change, self.lease, notes)

    def notes(self) -> list[Note]:
        """What the CRMs answered since the last time."""
        return self._asking.notes() if self._asking is not None else []

    def summary(self) -> Mapping[str, Variable]:
        """Per CRM how it answered, for the log."""
        if self._asking is None:
            return {}
        told = {answer.crm: _in_short(answer) for answer in self._asking.answers}
        return {crm.name: told.get(crm.name, "late") for crm in self._lookup.crms}

    async def close(self) -> None:
        """Leave nothing running."""
        if self._asking is not None:
            await self._asking.stop()
        for task in (self._finding, self._seeing):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


def _in_short(answer: Answer) -> str:
    cached = "" if answer.age_s is None else " cached"
    return f"{answer.state} {answer.ms}ms{cached}"


def _given(record: Record) -> Session | None:
    """The session that the automation named, or none at all: its answer is enough."""
    if record.data.by_answer:
        return Session(record.id, ANSWER)
    named = record.data.session_id
    return Session(named, "given") if named is not None else None

"""Our durable memory of calls, and who works on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from broker.domain.guards import Guards
    from broker.domain.record import Record

Note = Mapping[str, Any]
"""One line of a call's trace: `at` (epoch seconds), `event`, and facts without personal data."""

SUSPECT_TRIES = 4
"""Work taken over so often may be what kills replicas: each runs one such at a time, so that no
other dies with it until it is given up."""


@dataclass(slots=True)
class Lease:
    """Work of one call that this replica holds: a step (`step:number`), `message:tracking`, `idle`.

    `record` is the newest version this replica has seen; the ledger keeps it fresh.
    """

    call_id: str
    work: str
    epoch: int
    """Raised by every claim to the time in ms: the fence of every later change by this lease."""
    record: Record
    revision: int
    expires: float
    """On this process' monotonic clock."""
    tries: int = 0
    """How often it was taken over from a replica that did not finish it."""
    nonce: str = ""
    """Of the accept: tells this record from one that was accepted anew under the same id."""

    @property
    def known(self) -> Known:
        return Known(self.record, self.revision, self.nonce)

    @property
    def member(self) -> str:
        return f"{self.call_id}|{self.work}"

    @property
    def name(self) -> str:
        """`number`, `reference-1`, `tracking`: the work without its kind."""
        return self.work.partition(":")[2]


@dataclass(frozen=True, slots=True)
class Known:
    """A record as the ledger had it: what is changed on it need not be read again."""

    record: Record
    revision: int
    nonce: str
    """Of the accept: see `Lease`."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of a change: the record before and after it, and the work it created here."""

    before: Record
    record: Record
    leases: tuple[Lease, ...] = ()


@dataclass(frozen=True, slots=True)
class Due:
    """What one set of work holds: `calls` or `messages`."""

    held: int
    overdue_s: float
    """Of the oldest."""
    dead: int
    """Dead letters."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Work that was given up: `step:number`, `message:tracking`."""

    call_id: str
    work: str
    since: float
    record: Record | None
    """None if it is forgotten, or nobody can read it."""

    @property
    def id(self) -> str:
        """What an operator types: nothing in it means anything to a shell."""
        return f"{self.call_id}/{self.work}"


@dataclass(frozen=True, slots=True)
class Erased:
    """How much was erased of a person."""

    calls: int
    links: int
    cached: int = 0
    """Answers of CRMs."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a call stands among the live calls: by the time it came, then by its id."""

    received_ms: int
    """Since the epoch. Many calls may share one millisecond."""
    call_id: str

    @classmethod
    def of(cls, record: Record) -> Position:
        return cls(round(record.received_at * 1000), record.id)


class Ledger(ABC):
    """Our durable memory. Every method is one atomic step and safe to repeat.

    All raise StoreUnavailableError if the store cannot be reached in time: then nothing was
    promised, although it may have happened.
    """

    @abstractmethod
    async def accept(self, record: Record, notes: Sequence[Note] = ()) -> Saved:
        """Keep a new call with its work, leased to this replica.

        If the call, or its session, is known already, the known record comes back unchanged but
        for the new aliases, without leases. UnknownCallError if it was erased.
        """

    @abstractmethod
    async def read(self, any_id: str) -> Known | None:
        """A call by its id or any alias, for whoever means to change it."""

    async def find(self, any_id: str) -> Record | None:
        """The same, for whoever only looks."""
        known = await self.read(any_id)
        return known.record if known is not None else None

    @abstractmethod
    async def update(
        self,
        call: str | Known,
        change: Callable[[Record], Record],
        lease: Lease | None = None,
        notes: Sequence[Note] = (),
        *,
        guards: Guards | None = None,
    ) -> Saved:
        """Apply a pure `change`; it may run more than once, on whatever is the newest record.

        With a `lease` what that knows comes before `call`, an id or what was read.
        `notes` go to the call's trace in the same step. So do `guards`, which may forbid it; with
        them a change that changes nothing does nothing at all.

        ForbiddenSendError: `guards` forbid it. Nothing was saved or counted.
        UnknownCallError: no such record. FencedError: `lease` was taken over by another replica.
        A record that the store has lost, or holds in an older state, is brought back by a lease.
        """

    @abstractmethod
    async def claim(self, limit: int, suspects: int = 1) -> Sequence[Lease]:
        """Due work of anybody, now leased to this replica.

        Of what was taken over `SUSPECT_TRIES` times at most `suspects`; the rest waits a little.
        """

    @abstractmethod
    async def renew(self, leases: Sequence[Lease]) -> Sequence[Lease]:
        """Hold on to `leases`, also if the store lost them; those of others now come back."""

    @abstractmethod
    async def release(self, leases: Sequence[Lease]) -> None:
        """Give work back at once, so that another replica need not wait for the lease to end."""

    @abstractmethod
    async def active(self, limit: int, after: Position | None = None) -> Sequence[Record]:
        """Calls that are not over, newest first, beyond `after`; fewer than `limit` = the last."""

    @abstractmethod
    async def live_calls(self) -> int:
        """How many calls are not over."""

    @abstractmethod
    async def trace(self, call_id: str) -> Sequence[Note]:
        """What happened to the call, oldest first."""

    @abstractmethod
    async def due(self) -> Mapping[str, Due]:
        """What the sets `calls` and `messages` hold."""

    @abstractmethod
    async def dead_letters(self) -> Sequence[DeadLetter]:
        """All of them, oldest first."""

    @abstractmethod
    async def drop_dead(self, letter: DeadLetter) -> bool:
        """It is no dead letter any more, and nothing else changes; False if it was none."""

    @abstractmethod
    async def erase(self, identity: str) -> Erased:
        """Forget every call, link and counter of a person: an E.164 number or a normal address.

        An erased call stays unknown, whatever a replica still remembers of it. Many atomic steps;
        after a StoreUnavailableError some are done, and a repeat does the rest.
        """

    @abstractmethod
    async def ping(self) -> None:
        """StoreUnavailableError if the ledger cannot keep its promise now."""


class JobStarter(ABC):
    """Runs leased work in this process, at once."""

    @abstractmethod
    def start(self, leases: Sequence[Lease]) -> None: ...

    @abstractmethod
    def cancel(self, call_id: str, work: str) -> None:
        """Stop this work if it runs in this process, but not if it is what calls this."""

    @abstractmethod
    def changed(self, record: Record) -> None:
        """Wake whoever waits for this call."""

    @abstractmethod
    async def wait(
        self, call_id: str, reached: Callable[[Record], bool], seconds: float
    ) -> Record | None:
        """The call's record once it has `reached` here; None when it is time to look for it."""

"""The sockets of the broker: what the use cases need from the outside, one page of contracts."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from broker.domain.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from broker.domain.call import CallRef, Phone, Reference
    from broker.domain.customer import Customer
    from broker.domain.hooks import CallReport, ScreenPop
    from broker.domain.recipients import Recipients
    from broker.domain.record import Record, Session
    from broker.domain.references import Limit
    from broker.domain.shadow import Comparison, Difference, Tally

Variable = str | bool | int

_store_patience: ContextVar[float | None] = ContextVar("store_patience", default=None)


def store_answers_within(seconds: float | None) -> None:
    """From now on the current task gives the store `seconds` in all; None = as long as it takes.

    A caller is waiting for whoever sets this. Work that a request starts does not inherit it.
    """
    _store_patience.set(None if seconds is None else time.monotonic() + seconds)


def store_patience(most: float) -> float:
    """Seconds that the next answer of the store is waited for, at most `most`."""
    until = _store_patience.get()
    return most if until is None else max(0.001, min(most, until - time.monotonic()))


Note = Mapping[str, Any]
"""One line of a call's trace: `at` (epoch seconds), `event`, and facts without personal data."""

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def set_deadline(seconds: float) -> None:
    """The current task has `seconds` left; whoever it calls can ask with `time_left`."""
    _deadline.set(time.monotonic() + seconds)


def time_left(default: float) -> float:
    """Seconds until the current lookup is cancelled, at least 1 ms; `default` outside of one.

    For what must know its time beforehand, such as a database's statement timeout.
    """
    deadline = _deadline.get()
    return default if deadline is None else max(0.001, deadline - time.monotonic())


class Options(BaseModel):
    """Base of what an operator may set for a plug-in; a wrong or unknown key stops the start.

    A plug-in names its own as `options_type` and is built as `Plugin(options, http)`, where `http`
    is an aiohttp session of its own that keeps to `[outbound]`. It opens nothing while it is built.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Clock(ABC):
    """Time as the use cases see it."""

    @abstractmethod
    def time(self) -> float:
        """Seconds since the epoch, as the store counts them: the same on every replica."""

    @abstractmethod
    def monotonic(self) -> float:
        """Seconds that never jump; only differences mean something, only in this process."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class CallNote:
    """How one call ended, as a line on the customer's record in the CRM."""

    call_id: str
    customer_id: str
    outcome: str
    """`premium`, `messaged` ...: see docs/variables.md."""
    began_at: float
    """Seconds since the epoch."""
    text: str
    """What a person reads."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket to be opened in a CRM, once for each `reference`."""

    reference: str
    """Ours, stable over retries, `[A-Za-z0-9_-]{1,64}`; it stands in the ticket, so that it can be
    found again."""
    subject: str
    text: str
    customer_id: str | None = None


@dataclass(frozen=True, slots=True)
class TicketRef:
    """A ticket as the CRM knows it."""

    id: str
    url: str | None = None


class CrmAdapter(ABC):
    """A system of record that can be asked who a person is. An adapter does; it never decides.

    Empty = asked, and nobody is there. Two records = return both. An exception = could not ask:
    TemporaryError, PermanentError or ConfigError. Every `await` may be the last one: the broker
    cancels at the deadline, so nothing may be left open.
    """

    options_type: type[Options]
    """What `[crm.<name>] options` is read into."""
    folds_reference = False
    """Whether a reference typed on a keypad (`Reference.keypad`) can be looked up."""

    @abstractmethod
    async def find_by_phone(self, phone: Phone) -> Sequence[Customer]: ...

    @abstractmethod
    async def find_by_reference(self, reference: Reference) -> Sequence[Customer]: ...

    async def record_outcome(self, note: CallNote) -> None:  # noqa: ARG002 - for who has it
        """Add a note to the customer's record; again for the same call changes nothing.

        TemporaryError, PermanentError: it is not there, or nobody knows. PermanentError also if the
        CRM has no place for it, as for all who leave this out.
        """
        raise PermanentError("this CRM takes no notes")

    async def create_ticket(self, ticket: Ticket) -> TicketRef:  # noqa: ARG002 - for who has it
        """Open a ticket, or find the one that was opened with the same reference.

        TemporaryError, PermanentError: as for `record_outcome`.
        """
        raise PermanentError("this CRM takes no tickets")

    async def ping(self) -> str:
        """One short sentence of what was reached, for `broker check`; raises if it cannot work."""
        return "loaded"

    async def aclose(self) -> None:  # noqa: B027 - most adapters own nothing
        """Release what the adapter opened itself. May be called twice."""


class CallPlatform(ABC):
    """The phone system that owns the call and its session."""

    options_type: type[Options]
    """What `[platform]` is read into, without `driver` and `deadline_ms`."""
    writes_out = True
    """False if the HTTP answer itself is the delivery and nothing is written."""
    pops_screens = False
    """Whether agents are shown who is calling, by `pop_screen`; a driver's options may decide."""
    logs_back = False
    """Whether the platform's own record of a call gets its outcome, by `log_back`."""

    @abstractmethod
    async def find_session(self, call: CallRef, *, within: float) -> Session:
        """The call's session, in at most `within` seconds; asked if the automation named none.

        Falls back to guessing if the platform does not answer; CallEndedError if the platform
        says that there is no such call.
        """

    @abstractmethod
    async def write(
        self, session: Session, variables: Mapping[str, Variable], *, within: float
    ) -> None:
        """Set `variables` in the live session and leave all others; idempotent.

        CallEndedError: the session is over. SessionNotFoundError: a guessed id was wrong.
        TemporaryError, PermanentError: not written. Retries once at most, inside `within`.
        """

    async def pop_screen(self, pop: ScreenPop, *, within: float) -> None:  # noqa: ARG002 - see above
        """Show it to the agent. It is asked for once, and nothing is sent twice.

        AnswerLostError: it may have been shown. TemporaryError, PermanentError: it was not.
        """
        raise PermanentError("this platform shows agents nothing")

    async def log_back(self, report: CallReport, *, within: float) -> None:  # noqa: ARG002 - see above
        """Put it into the platform's record of the call; promise and errors as `pop_screen`."""
        raise PermanentError("this platform takes no outcomes")

    async def ping(self) -> str:
        """One short sentence of what was reached, for `broker check`; raises if it cannot work."""
        return "nothing to reach"

    async def probe_session(self) -> str:
        """Create a session of its own, write, read back; for `broker check --live`."""
        return "no session to write to"

    async def aclose(self) -> None:  # noqa: B027 - not every platform owns something
        """Release what the driver opened itself. May be called twice."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message as a channel gets it. `texts` are rendered by the channel's templates."""

    reference: str
    """Ours, stable over retries: the provider's idempotency key or Message-ID comes from it."""
    purpose: str
    to: str
    language: str | None
    values: Mapping[str, str]
    """What a template may show: `name`, `link`, `track_id`; a missing value is absent."""


class Channel(ABC):
    """A way to send a message. It sends once; retries and states are the broker's."""

    options_type: type[Options]
    """What `[channels.<name>]` is read into, without `driver` and `lost_answer`."""
    recipients: Recipients | None = None
    """Whom it writes to by telephone number; None = it writes to email addresses."""
    keyed = False
    """Whether the provider takes `Envelope.reference` as an idempotency key: however often it gets
    the same one, also at the same time, it sends one message and answers alike. Then a lost answer
    is cleared up by sending again, and never ends as `unknown` while the provider can be asked."""

    @abstractmethod
    async def send(self, envelope: Envelope, *, within: float) -> str | None:
        """The provider's message id, once the provider has taken it.

        TemporaryError: definitely not taken, try again. PermanentError: never will be;
        OptedOutError: because the recipient wants no messages.
        AnswerLostError: handed over, but the answer never came.
        """

    async def ping(self) -> str:
        """One short sentence of what was reached, for `broker check`; raises if it cannot work."""
        return "loaded"

    async def aclose(self) -> None:  # noqa: B027 - not every channel owns something
        """Release what the channel opened itself. May be called twice."""


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
    def member(self) -> str:
        return f"{self.call_id}|{self.work}"

    @property
    def name(self) -> str:
        """`number`, `reference-1`, `tracking`: the work without its kind."""
        return self.work.partition(":")[2]


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
    async def find(self, any_id: str) -> Record | None:
        """The record of a call, by its id or any alias."""

    @abstractmethod
    async def update(
        self,
        call_id: str,
        change: Callable[[Record], Record],
        lease: Lease | None = None,
        notes: Sequence[Note] = (),
    ) -> Saved:
        """Apply a pure `change`; it may run more than once, on whatever is the newest record.

        `notes` go to the call's trace in the same step.

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


class Counters(ABC):
    """Counts that all replicas share, each with its own end."""

    @abstractmethod
    async def reserve(self, limits: Sequence[Limit]) -> Limit | None:
        """Count one in all of `limits`, or in none: the first that is used up comes back."""

    @abstractmethod
    async def refund(self, limits: Sequence[Limit]) -> None:
        """Take one back in each."""

    @abstractmethod
    async def first_use(self, key: str, content: str, ttl_s: float) -> bool:
        """Whether `key` is new or was used with this very `content` before."""


@dataclass(frozen=True, slots=True)
class Link:
    """Where a tracking link leads. It outlives the call."""

    target: str
    expires_at: float


class Links(ABC):
    """Tracking links by the hash of their token: who reads the store cannot follow them."""

    @abstractmethod
    async def keep(self, token_hash: str, link: Link, call_id: str) -> None:
        """Keep a link of this call; UnknownCallError if the call was erased."""

    @abstractmethod
    async def find(self, token_hash: str) -> Link | None:
        """The link, or None if unknown or expired."""


class ShadowBook(ABC):
    """What came of the comparisons with CRMs in shadow mode, of all replicas together.

    All raise StoreUnavailableError. A comparison that could not be noted is missing, no more.
    """

    @abstractmethod
    async def note(self, crm: str, call_id: str, step: str, seen: Comparison) -> None:
        """Count it, and keep it beside its call if it is telling and the call is still known."""

    @abstractmethod
    async def tally(self, crm: str) -> Tally: ...

    @abstractmethod
    async def differences(self, crm: str) -> Sequence[Difference]:
        """The latest, newest first; those of calls that are forgotten or erased are gone."""

    @abstractmethod
    async def forget(self, crm: str) -> None:
        """Count from nothing again."""


@dataclass(frozen=True, slots=True)
class SharedToken:
    """A bearer token that one replica fetched for all."""

    text: str = field(repr=False)
    life_s: float
    """How long it was good when it came; infinite if the server did not say."""
    left_s: float


class TokenStore(ABC):
    """Tokens that all replicas share, by names without credentials.

    All raise StoreUnavailableError: then whoever needs a token fetches one for himself.
    """

    @abstractmethod
    async def find(self, name: str) -> SharedToken | None: ...

    @abstractmethod
    async def keep(self, name: str, token: SharedToken) -> None:
        """Share it until its life is over."""

    @abstractmethod
    async def reserve(self, name: str, owner: str, seconds: float) -> bool:
        """Whether `owner` is the one who fetches now; others wait for at most so many seconds."""

    @abstractmethod
    async def release(self, name: str, owner: str) -> None:
        """`owner` is done, whatever came of it."""


class RateLimiter(ABC):
    """How often one dependency may be asked, by all replicas together."""

    @abstractmethod
    async def take(self, within: float) -> float:
        """Seconds until the caller's turn; more than `within` = none was taken.

        A turn that was taken is used up, also if the caller does nothing with it.
        StoreUnavailableError: nobody knows.
        """

    @abstractmethod
    async def pause(self, seconds: float) -> None:
        """Nobody's turn comes for so long. StoreUnavailableError: not everybody knows."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a CRM said of a number some time ago."""

    customers: tuple[Customer, ...]
    age_s: float


@dataclass(frozen=True, slots=True)
class Recalled:
    """A look into the cache."""

    kept: Kept | None
    at: float
    """When it was, by the store: what is asked from now on is as new as this."""


class CustomerCache(ABC):
    """What CRMs said of numbers, for all replicas. All raise StoreUnavailableError.

    What was asked before a change or an erasure is never kept after it, however late it comes.
    """

    @abstractmethod
    async def recall(self, crm: str, phone: Phone) -> Recalled: ...

    @abstractmethod
    async def keep(
        self,
        crm: str,
        phone: Phone,
        customers: tuple[Customer, ...],
        *,
        asked_at: float,
        ttl_s: float,
    ) -> bool:
        """Keep what this CRM said; False if something newer is known.

        `asked_at` comes from `recall`.
        """

    @abstractmethod
    async def drop_number(self, crm: str, e164: str) -> int:
        """Forget whom this CRM knows by a number; how many entries there were."""

    @abstractmethod
    async def drop_customer(self, crm: str, customer_id: str) -> int:
        """Forget one customer of this CRM, by whatever number he called."""

    @abstractmethod
    async def erase(self, identity: str) -> int:
        """Forget a person in all CRMs: an E.164 number or a normal address."""


class TierWords(ABC):
    """What CRMs call the tiers that nobody mapped. All raise StoreUnavailableError."""

    @abstractmethod
    async def count(self, crm: str, seen: Mapping[str, int]) -> None:
        """Each word was `seen` so often. Only so many different words of one CRM are kept."""

    @abstractmethod
    async def of(self, crm: str) -> Mapping[str, int]:
        """Each word of this CRM, and how often it was seen in the last days."""


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

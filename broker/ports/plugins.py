"""What a plug-in implements: a CRM, a platform, a channel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from broker.domain.errors import BadInputError, PermanentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.domain.call import CallRef, Line, Phone, Reference
    from broker.domain.customer import Customer
    from broker.domain.figures import Figures
    from broker.domain.hooks import CallReport, ScreenPop
    from broker.domain.messages import ReceiptState
    from broker.domain.opt_outs import Keyword
    from broker.domain.recipients import Recipients
    from broker.domain.record import Session

Variable = str | bool | int


class Options(BaseModel):
    """Base of what an operator may set for a plug-in; a wrong or unknown key stops the start.

    A plug-in names its own as `options_type` and is built as `Plugin(options, http)`, where `http`
    is an aiohttp session of its own that keeps to `[outbound]`. It opens nothing while it is built.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


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
    tells_figures = False
    """Whether it knows how busy the agents are and what is open, by `figures`."""

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

    async def figures(self, *, within: float) -> Figures:  # noqa: ARG002 - see above
        """How things stand now; what it cannot tell is None and said in `missing`.

        Asked every few seconds at most. TemporaryError, PermanentError: it tells nothing at all.
        """
        raise PermanentError("this platform tells no figures")

    async def ping(self) -> str:
        """One short sentence of what was reached, for `broker check`; raises if it cannot work."""
        return "nothing to reach"

    async def probe_session(self) -> str:
        """Create a session of its own, write, read back; for `broker check --live`."""
        return "no session to write to"

    async def aclose(self) -> None:  # noqa: B027 - not every platform owns something
        """Release what the driver opened itself. May be called twice."""


@dataclass(frozen=True, slots=True)
class VendorTemplate:
    """A message that the provider has approved beforehand, and what fills it."""

    name: str
    """The vendor's own: a template name (WhatsApp, Adereso), a content SID (Twilio)."""
    language: str | None = None
    """As the vendor spells it, `de` or `en_US`; None where its name says it. For Twilio, which has
    a content for each language, its SID."""
    parameters: tuple[str, ...] = ()
    """For its placeholders, in their order."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message as a channel gets it. Tracking messages are put into words by the channel."""

    reference: str
    """Ours, stable over retries on this channel: the provider's idempotency key or Message-ID
    comes from it."""
    purpose: str
    to: str
    """E.164, an email address, or a push token: whatever `Channel.reaches` says."""
    language: str | None
    values: Mapping[str, str]
    """What a template may show: `name`, `link`, `track_id`; a missing value is absent."""
    text: str | None = None
    """The words, ready to be sent; None for a tracking message."""
    title: str | None = None
    """The heading where a channel has one: a push message, an email's subject."""
    template: VendorTemplate | None = None
    media_url: str | None = None
    data: Mapping[str, str] = field(default_factory=dict)
    """The context, for a channel that carries it to the other side without showing it."""
    receipt_url: str | None = None
    """Where receipts of this very attempt are to be sent; None = the channel cannot be told."""
    receipt_reference: str | None = None
    """Comes back with every receipt of this attempt, where the provider carries such a thing;
    `[A-Za-z0-9_.-]{1,64}`, and it is a part of `receipt_url` already."""


@dataclass(frozen=True, slots=True)
class Callback:
    """What a provider sent to `/v1/channels/{name}/callback`, as it came."""

    method: str
    url: str
    """The whole address the provider called, as the operator's `public_url` spells it."""
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    """Names in small letters."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a provider says became of a message."""

    state: ReceiptState
    provider_id: str | None = None
    reference: str | None = None
    """`Envelope.receipt_reference`, if it came back."""
    reason: str | None = None
    """Why it failed, in one word that has no personal data: `30006`, `131026`."""
    opted_out: bool = False
    """Whether it failed because the recipient wants no messages: none is sent on any channel then,
    as after `OptedOutError`."""
    recipient: str | None = None
    """Who has opted out, as the channel knows him: E.164 where it is a number."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """What a person wrote to us on a channel."""

    sender: str
    """Who wrote, as the channel knows him: E.164 where it is a number."""
    text: str
    provider_id: str
    """Of this very message: it may come twice."""
    in_reply_to: str | None = None
    """The provider's id of the message it answers, where the channel says so."""
    keyword: Keyword | None = None
    """What the provider knows it to be, whatever the words; None = they tell."""


@dataclass(frozen=True, slots=True)
class CallbackRead:
    """What stood in a callback, and how the provider wants to be answered (always 200)."""

    receipts: tuple[Receipt, ...] = ()
    inbound: tuple[Inbound, ...] = ()
    answer: str = ""
    content_type: str = "text/plain"


class Channel(ABC):
    """A way to send a message. It sends once; retries and states are the broker's."""

    options_type: type[Options]
    """What `[channels.<name>]` is read into, without `driver` and `lost_answer`."""
    recipients: Recipients | None = None
    """Whom it writes to by telephone number; None = it does not."""
    reaches: Literal["phone", "email", "push"] = "email"
    """What `Envelope.to` has to be. With `recipients` it is a phone number."""
    keyed = False
    """Whether the provider takes `Envelope.reference` as an idempotency key: however often it gets
    the same one, also at the same time, it sends one message and answers alike. Then a lost answer
    is cleared up by sending again, and never ends as `unknown` while the provider can be asked."""
    needs_template = False
    """Whether it sends nothing but a `VendorTemplate` to who has not written first."""
    calls_back = False
    """Whether its provider sends callbacks, which `read_callback` understands."""

    @abstractmethod
    async def send(self, envelope: Envelope, *, within: float) -> str | None:
        """The provider's message id, once the provider has taken it.

        TemporaryError: definitely not taken, try again. PermanentError: never will be;
        OptedOutError: because the recipient wants no messages.
        AnswerLostError: handed over, but the answer never came.
        """

    def read_callback(self, callback: Callback) -> CallbackRead:  # noqa: ARG002 - for who has it
        """What the provider tells us. SignatureError: it is not from him. Pure: no waiting.

        Anybody may send up to 3 MiB: check the signature before anything that takes time.
        BadInputError: signed, but nothing this channel knows.
        """
        raise BadInputError("this channel takes no callbacks", code="unknown_channel")

    async def check(self, templates: Sequence[VendorTemplate]) -> Sequence[str]:  # noqa: ARG002 - see above
        """What is wrong with the approved messages that settings name, a sentence for each fault.

        For the start, so that nobody finds out at night. Of `parameters` only the number counts.
        Errors as of `ping`. Empty also where the provider cannot be asked.
        """
        return ()

    async def ping(self) -> str:
        """One short sentence of what was reached, for `broker check`; raises if it cannot work."""
        return "loaded"

    async def aclose(self) -> None:  # noqa: B027 - not every channel owns something
        """Release what the channel opened itself. May be called twice."""


class NumberLookup(ABC):
    """Somebody who knows what kind of line a number is, where the number itself does not tell."""

    options_type: type[Options]
    """What `[number_lookup]` is read into, without what the broker itself does."""

    @abstractmethod
    async def line_of(self, phone: Phone, *, within: float) -> Line | None:
        """The line in at most `within` seconds; None = asked, and nobody knows.

        TemporaryError, PermanentError: could not ask. The broker keeps what it is told.
        """

    async def ping(self) -> str:
        """One short sentence of what was reached, for `broker check`; raises if it cannot work."""
        return "loaded"

    async def aclose(self) -> None:  # noqa: B027 - not every driver owns something
        """Release what the driver opened itself. May be called twice."""

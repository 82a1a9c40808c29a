"""Moving a caller to a message channel: what a key means, and whom which channel reaches."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from broker.domain.by_number import ByNumber
from broker.domain.call import Phone, called_number
from broker.domain.context import ContextRules
from broker.domain.customer import one_email
from broker.domain.errors import BadInputError
from broker.domain.evolve import evolve
from broker.domain.message_templates import OURS, MessageTemplate
from broker.domain.messages import DEFLECTION, CrmEntry, Message, Place, handle_alias
from broker.domain.people import caller_of
from broker.domain.record import add_alias, show_again
from broker.domain.sending import queue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from broker.domain.customer import Customer
    from broker.domain.recipients import Recipients
    from broker.domain.record import Record

Reach = Literal["phone", "email", "push"]
GLOBAL_TEMPLATE = "deflection"
DEFLECT = "deflect"
"""The action that moves the caller; `deflect:<channel>` names the channel."""
STAY = "stay"
TRACK = "tracking"
INVALID = "invalid"
QUEUE = "queue"
"""What the caller gets who pressed invalid keys too often: his place in the queue."""
NO_RECIPIENT = "no_recipient"
APP_ACTIVE_AT = "app_active_at"
"""The `extra` field in which a CRM tells when the customer last used the app."""
PUSH_TOKENS = 3
"""Of one customer; he has hardly more devices."""


_TEMPLATES = {GLOBAL_TEMPLATE: OURS}


@dataclass(frozen=True, slots=True)
class Reaching:
    """One configured channel: whom it reaches, and by what."""

    reaches: Reach
    recipients: Recipients | None = None
    """Which numbers it writes to, where it reaches people by number."""
    template: str | None = None
    """The template of who asks for none."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A place in the call flow with keys, channels or words of its own."""

    keys: Mapping[str, str] = field(default_factory=dict)
    """Key -> action: `deflect`, `deflect:<channel>`, `stay`, `tracking`."""
    channels: tuple[str, ...] = ()
    template: str | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    """What its messages carry along: `team`, `skill` ..."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A deflection that was consented to."""

    by: str
    """How: `key:1`, `flow`, `api:<client>`, `abandoned`."""
    channel: str | None = None
    template: str | None = None
    branch: str | None = None
    to: str | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    purpose: str = DEFLECTION


@dataclass(frozen=True, slots=True)
class Deflection:
    """The operator's `[deflection]` settings, as far as they decide. Without channels it is off."""

    order: tuple[str, ...] = ()
    reach: Mapping[str, Reaching] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    branches: Mapping[str, Branch] = field(default_factory=dict)
    template: str = GLOBAL_TEMPLATE
    templates: Mapping[str, MessageTemplate] = field(
        default_factory=lambda: {GLOBAL_TEMPLATE: OURS}
    )
    languages: ByNumber[str] = field(default_factory=ByNumber)
    """By called number, for callers whose own language is not known."""
    invalid_choices: int = 3
    prompt_version: str = "1"
    ticket_crm: str | None = None
    """The CRM that opens a ticket for every deflection that was sent; None = there are none."""
    remember_s: float = 30 * 86_400.0
    """How long it is remembered that somebody was moved to a channel."""
    push_active_s: float = 30 * 86_400.0
    """Nobody is pushed to who has not used the app for so long."""
    first_call_s: float = 48 * 3600.0
    """The window of the frequency rule."""
    fallback_after_s: float | None = None
    """A message of which so long nothing was heard goes to its next channel; None = never."""
    home_region: str | None = None
    carries: ContextRules = field(default_factory=ContextRules)

    @property
    def on(self) -> bool:
        return bool(self.order)

    def action(self, branch: str | None, key: str) -> str | None:
        """What this key does here; None if it is not bound."""
        own = self._branch(branch).keys
        return (own or self.keys).get(key)

    def check(self, wish: Wish) -> None:
        """BadInputError `switched_off`, `unknown_channel` or `unknown_template`."""
        if not self.on:
            raise BadInputError("deflection is switched off", code="deflection_off")
        if wish.channel is not None and wish.channel not in self.reach:
            raise BadInputError("there is no such channel", code="unknown_channel")
        if wish.template is not None and wish.template not in self.templates:
            raise BadInputError("there is no such template", code="unknown_template")

    def template_of(self, message: Message) -> MessageTemplate | None:
        """The wished one, else its branch's, its channel's, the global one."""
        reaching = self.reach.get(message.channel)
        names = (
            message.template,
            self._branch(message.branch).template,
            reaching.template if reaching is not None else None,
            self.template,
        )
        return self.templates.get(next(name for name in names if name))

    def places(self, record: Record, wish: Wish) -> tuple[Place, ...]:
        """Where the message may go, the first choice first; empty if it reaches nobody.

        A wished channel comes first and the others follow, in their order; so does the one that
        the customer prefers.
        """
        order = self._branch(wish.branch).channels or self.order
        customer = record.trusted
        preferred = customer.preferred_channel if customer is not None else None
        first = [wish.channel] if wish.channel is not None else []
        if preferred is not None and preferred in order:
            first.append(preferred)
        return tuple(
            Place(name, to)
            for name in dict.fromkeys([*first, *order])
            for to in self._addresses(self.reach[name], record, wish)
        )

    def only_mobile(self, channel: str) -> bool:
        """Whether what this channel sends reaches mobile lines only."""
        rules = self.reach[channel].recipients
        return rules is not None and not rules.any_line

    def context(self, wish: Wish) -> dict[str, str]:
        """What the message carries along: its branch's words under the wish's own."""
        return {**self._branch(wish.branch).context, **wish.context}

    def language(self, record: Record) -> str | None:
        customer = record.trusted
        if customer is not None and customer.language:
            return customer.language
        return self.languages.of(called_number(record.data.to, self.home_region))

    def _branch(self, name: str | None) -> Branch:
        return self.branches.get(name or "", _NO_BRANCH)

    def _addresses(self, reaching: Reaching, record: Record, wish: Wish) -> Iterable[str]:
        """What one channel reaches this person by: at most one number or address."""
        customer = record.trusted
        if reaching.reaches == "push":
            return self._devices(customer, record.received_at)
        if reaching.reaches == "email":
            told = wish.to if wish.to is not None and "@" in wish.to else None
            address = told or (customer.email if customer is not None else None)
            return (address,) if address and one_email(address) == address else ()
        numbers = self._numbers(record, customer, wish)
        rules = reaching.recipients
        fit = (n for n in numbers if rules is None or rules.refusal(n) is None)
        first = next(fit, None)
        return (first.e164,) if first is not None else ()

    def _devices(self, customer: Customer | None, now: float) -> tuple[str, ...]:
        """Of somebody who has used the app lately, as far as his CRM tells."""
        if customer is None:
            return ()
        used_at = _moment(customer.extra.get(APP_ACTIVE_AT))
        if used_at is not None and used_at < now - self.push_active_s:
            return ()
        return customer.push_tokens[:PUSH_TOKENS]

    def _numbers(self, record: Record, customer: Customer | None, wish: Wish) -> Iterator[Phone]:
        """The one that was told, else the calling number, else those on file."""
        caller = Phone.read(caller_of(record) or "")
        region = (caller.region if caller is not None else None) or self.home_region
        if wish.to is not None:
            told = Phone.read(wish.to, region)
            if told is not None:
                yield told
            return
        if caller is not None:
            yield caller
        for stored in customer.phones if customer is not None else ():
            if (phone := Phone.read(stored, region)) is not None:
                yield phone


_NO_BRANCH = Branch()


def _moment(text: str | None) -> float | None:
    """Seconds since the epoch of what a CRM says: ISO 8601, or seconds; None if it is neither."""
    try:
        return float(text or "")
    except ValueError:
        pass
    try:
        told = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return (told if told.tzinfo is not None else told.replace(tzinfo=UTC)).timestamp()


def deflect(
    record: Record,
    wish: Wish,
    rules: Deflection,
    *,
    places: tuple[Place, ...],
    handle: str,
    now: float,
) -> Record:
    """The message is queued for the first of `places`; once per call and purpose."""
    if record.message(wish.purpose) is not None or not places:
        return record
    message = Message(
        wish.purpose,
        places[0].channel,
        queued_at=now,
        due_at=now,
        to=places[0].to,
        then=places[1:],
        template=wish.template,
        language=rules.language(record),
        handle=handle,
        context=rules.context(wish),
        branch=wish.branch,
        silent_after_s=rules.fallback_after_s,
        ticket=CrmEntry(rules.ticket_crm) if rules.ticket_crm is not None else None,
    )
    return queue(add_alias(record, handle_alias(handle)), message)


def chose(record: Record, choice: str, rules: Deflection) -> Record:
    """The caller pressed a key. Too many invalid ones, and he gets his place in the queue."""
    invalid = record.invalid_choices + (choice == INVALID)
    if choice == INVALID and invalid >= rules.invalid_choices:
        choice = QUEUE
    return show_again(evolve(record, choice=choice, invalid_choices=invalid))

"""What a CRM knows about a person, and how the answers of several CRMs become one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any

from broker.domain.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from broker.domain.call import Phone

TEXT_LIMIT = 256
"""Characters kept of any text a CRM sends: the longest a session variable may be."""
LEARNED = "learned"
"""The reason of a lookup by number that ended with whom a reference typed before led to."""
MATCHES_READ = 100
"""Records read of one answer; more is a search gone wrong, and nobody guesses among them."""
_EMAIL = re.compile(r"[^\s@<>,;:\"()\[\]\\]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", re.ASCII)


@dataclass(frozen=True)
class Customer:
    """One record of one CRM. Leave out what the CRM does not know; never send it empty."""

    id: str
    email: str | None = None
    premium: bool | None = None
    """None = nobody mapped this customer's tier; that is not the same as False."""
    track_id: str | None = None
    phones: tuple[str, ...] = ()
    """As stored. Where given, the broker checks them against the caller's number."""
    name: str | None = None
    language: str | None = None
    preferred_channel: str | None = None
    push_tokens: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    record_url: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)
    unmapped_tier: str | None = None
    """The CRM's word for a tier that the `premium` option does not know; counted, never written."""


class LookupState(StrEnum):
    """How a lookup ended; the value of `ivr.lookup`."""

    FOUND = "found"
    NOT_FOUND = "not_found"
    AMBIGUOUS = "ambiguous"
    TIMEOUT = "timeout"
    ERROR = "error"
    WITHHELD = "withheld"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one CRM said. `customers` is empty unless `state` is found or ambiguous."""

    crm: str
    state: LookupState
    customers: tuple[Customer, ...] = ()
    priority: int = 100
    ms: int = 0
    reason: str | None = None
    age_s: float | None = None
    """How old it is, if it was told before and came from the cache."""


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one question to one CRM."""

    state: LookupState
    customers: tuple[Customer, ...] = ()
    reason: str | None = None
    age_s: float | None = None

    @classmethod
    def of(cls, customers: tuple[Customer, ...], **more: Any) -> Told:
        """The CRM knows these: nobody, one person or several."""
        if len(customers) > 1:
            return cls(LookupState.AMBIGUOUS, customers, **more)
        found = LookupState.FOUND if customers else LookupState.NOT_FOUND
        return cls(found, customers, **more)

    @property
    def answered(self) -> bool:
        """Whether the CRM could be asked."""
        return self.state not in {LookupState.TIMEOUT, LookupState.ERROR}


@dataclass(frozen=True, slots=True)
class LookupResult:
    """What all CRMs together said. `customer` is set if and only if `state` is found."""

    state: LookupState
    customer: Customer | None = None
    source: str | None = None
    """The CRM whose record leads."""
    reason: str | None = None


def clean(text: object) -> str | None:
    """`text` without control and direction characters, at most TEXT_LIMIT; None if nothing left."""
    if not isinstance(text, str):
        return None
    if text.isascii() and text.isprintable():
        return " ".join(text.split())[:TEXT_LIMIT] or None
    kept = "".join(" " if c in "\t\r\n" else c for c in text if _printable(c) or c in "\t\r\n")
    return " ".join(kept.split())[:TEXT_LIMIT] or None


def _printable(char: str) -> bool:
    return unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def one_email(text: object) -> str | None:
    """`text` if it is exactly one plain address, else None (two addresses are no address)."""
    if not isinstance(text, str):
        return None
    stripped = text.strip()
    if len(stripped) > TEXT_LIMIT or not stripped.isprintable():
        return None
    return stripped if _EMAIL.fullmatch(stripped) else None


def normal_email(text: str | None) -> str | None:
    """The form in which two addresses are compared."""
    return text.strip().casefold() if text else None


def checked(record: object) -> Customer:
    """The customer with every field of its declared type; PermanentError for what is none.

    A CRM's answer is untrusted: texts lose control characters, an email that is not one address
    and a premium that is not a boolean become None.
    """
    if not isinstance(record, Customer):
        raise PermanentError("the adapter returned something that is no Customer")
    identity = clean(str(record.id)) if record.id is not None else None
    if identity is None:
        raise PermanentError("the adapter returned a customer without id")
    extra = record.extra if isinstance(record.extra, Mapping) else {}
    return Customer(
        id=identity,
        email=one_email(record.email),
        premium=record.premium if isinstance(record.premium, bool) else None,
        track_id=clean(record.track_id),
        phones=_texts(record.phones),
        name=clean(record.name),
        language=clean(record.language),
        preferred_channel=clean(record.preferred_channel),
        push_tokens=_texts(record.push_tokens),
        tags=_texts(record.tags),
        record_url=clean(record.record_url),
        extra={str(key)[:64]: text for key, value in extra.items() if (text := clean(value))},
        unmapped_tier=clean(record.unmapped_tier),
    )


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, tuple | list):
        return ()
    return tuple(text for value in values[:MATCHES_READ] if (text := clean(value)))


def has_number(customer: Customer, phone: Phone, region: str | None = None) -> bool:
    """Whether one of the customer's numbers is `phone`; one who lists no numbers is believed.

    Numbers without country code are read in `region`, by default in the caller's country.
    """
    return not customer.phones or any(phone.is_spelled(p, region) for p in customer.phones)


def matches(records: Iterable[object], phone: Phone | None = None) -> tuple[Customer, ...]:
    """The distinct customers among `records` that really have `phone`.

    Searches are over-inclusive: a record that lists numbers, none of them this one, is dropped. A
    record that lists none is believed. PermanentError for rubbish and for more than MATCHES_READ
    records. At most two customers are returned, since two are already ambiguous.
    """
    read = list(islice(records, MATCHES_READ + 1))
    if len(read) > MATCHES_READ:
        raise PermanentError(f"more than {MATCHES_READ} records came: the search is too wide")
    found: dict[str, Customer] = {}
    for record in read:
        customer = checked(record)
        if phone and not has_number(customer, phone):
            continue
        found.setdefault(customer.id, customer)
    return tuple(found.values())[:2]


@dataclass(frozen=True, slots=True)
class Folding:
    """How answers of several CRMs are folded: the operator's `[lookup]` settings."""

    conflict: str = "ambiguous"
    """`ambiguous` or `priority`: what happens when two CRMs name two persons."""
    same_person_key: str | None = None
    """A customer field or `extra` key which, besides the email, says that two are one."""

    def same_person(self, one: Customer, other: Customer) -> bool:
        mail = normal_email(one.email)
        if mail is not None and mail == normal_email(other.email):
            return True
        key = self.same_person_key
        if key is None:
            return False
        value = value_of(one, key)
        return value is not None and value == value_of(other, key)

    def fold(self, answers: Sequence[Answer], asked: int) -> LookupResult:
        """One result of all `answers` so far, of `asked` CRMs; who did not answer timed out.

        Precedence: ambiguous > found > timeout > error > not_found.
        """
        ordered = sorted(answers, key=lambda answer: (answer.priority, answer.crm))
        if any(answer.state is LookupState.AMBIGUOUS for answer in ordered):
            return LookupResult(LookupState.AMBIGUOUS, reason="several_customers")
        hits = [answer for answer in ordered if answer.state is LookupState.FOUND]
        if hits:
            return self._merge(hits)
        states = {answer.state for answer in ordered}
        if len(ordered) < asked or LookupState.TIMEOUT in states:
            return LookupResult(LookupState.TIMEOUT)
        if LookupState.ERROR in states:
            return LookupResult(LookupState.ERROR, reason="crm_unavailable")
        return LookupResult(LookupState.NOT_FOUND)

    def _merge(self, hits: Sequence[Answer]) -> LookupResult:
        first = hits[0]
        merged = first.customers[0]
        for hit in hits[1:]:
            other = hit.customers[0]
            if self.same_person(merged, other):
                merged = _filled(merged, other)
            elif self.conflict != "priority":
                return LookupResult(LookupState.AMBIGUOUS, reason="crms_disagree")
        return LookupResult(LookupState.FOUND, customer=merged, source=first.crm)


def value_of(customer: Customer, name: str) -> Any:
    """A profile field by name, or `extra.<key>`; None if it has no value."""
    if name.startswith("extra."):
        return customer.extra.get(name.removeprefix("extra."))
    if name in CUSTOMER_FIELDS:
        return getattr(customer, name)
    return customer.extra.get(name)


def _filled(leading: Customer, other: Customer) -> Customer:
    """`leading`, its gaps filled from `other`."""
    gaps = {
        name: getattr(other, name)
        for name in CUSTOMER_FIELDS
        if name not in {"id", "extra"} and getattr(leading, name) in (None, ())
    }
    return replace(leading, **gaps, extra={**other.extra, **leading.extra})


CUSTOMER_FIELDS = frozenset(f.name for f in fields(Customer))

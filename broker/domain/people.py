"""Whose data a call holds: the numbers and addresses by which a person can ask to be erased."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from broker.domain.call import Phone
from broker.domain.customer import normal_email, one_email
from broker.domain.errors import BadInputError
from broker.domain.record import NUMBER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from broker.domain.call import Numbering
    from broker.domain.customer import Customer
    from broker.domain.messages import Message
    from broker.domain.record import Record


def hashed(identity: str) -> str:
    """What stands for a person in the store's keys: of an E.164 number or a normal address."""
    return sha256(identity.encode()).hexdigest()[:32]


def identity_at(to: str) -> str | None:
    """Who is reached at `to`, as he is told apart; None for a push token, which tells nobody."""
    if "@" in to:
        return normal_email(to)
    return to if to.startswith("+") else None


def caller_of(record: Record) -> str | None:
    """The caller's number in E.164, also of a call that began with its reference."""
    looked_up = next((s.value for s in record.steps if s.name == NUMBER and s.value), None)
    told = record.data.from_
    return looked_up or (told if told and told.startswith("+") else None)


def people_of(record: Record, home_region: str | None) -> tuple[str, ...]:
    """Everybody whose data is in `record`, hashed.

    That is the caller, by number or by what came in its place, the customer, by address and
    numbers, whoever is written to, and whom he proved to be on another channel. National spellings
    are read in the caller's country, else in `home_region`.
    """
    caller = caller_of(record)
    told = (record.data.from_ or "").strip()
    numbers = {n for n in (caller, told) if n and any(char.isdigit() for char in n)}
    known_by: set[str] = set()
    if record.customer is not None:
        known = Phone.read(caller) if caller else None
        known_by = _identities(record.customer, known.region if known else home_region)
    written_to = {place for m in record.messages for place in _places(m)}
    elsewhere = {one.person for one in record.identities if one.person is not None}
    everybody = numbers | known_by | written_to | elsewhere
    return tuple(sorted(hashed(identity) for identity in everybody))


def _places(message: Message) -> Iterator[str]:
    """The numbers and addresses a message may go to; push tokens are told by nobody."""
    for to in (message.to, *(place.to for place in message.then)):
        if to is not None and (identity := identity_at(to)) is not None:
            yield identity


def people_behind(
    phone: Phone, customers: Iterable[Customer], home_region: str | None
) -> tuple[str, ...]:
    """Whose data it is that a CRM told of `phone`, hashed: his who calls, and the customers'."""
    region = phone.region or home_region
    known = (_identities(customer, region) for customer in customers)
    return tuple(sorted(hashed(identity) for identity in {phone.e164}.union(*known)))


def people_named(
    numbers: Iterable[str], emails: Iterable[str], numbering: Numbering
) -> tuple[str, ...]:
    """Whom an operator names, hashed. BadInputError for what is no valid number or address."""
    identities = set()
    for number in numbers:
        phone = numbering.parse(number)
        if not isinstance(phone, Phone):
            raise BadInputError("a number is no valid telephone number")
        identities.add(phone.e164)
    for email in emails:
        address = normal_email(one_email(email))
        if address is None:
            raise BadInputError("an email is no email address")
        identities.add(address)
    return tuple(sorted(hashed(identity) for identity in identities))


def people_reached(record: Record | None, to: str, home_region: str | None) -> tuple[str, ...]:
    """Who is written to at `to` about this call, if any, hashed by all that is known of him.

    The customer's other addresses are his too if `to` is one of his, or no number and no address
    (a push token), or the number that a CRM found him by. Anybody else's number stands for itself.
    """
    identity = identity_at(to)
    reached = {identity} if identity else set()
    if record is not None and record.customer is not None:
        caller = caller_of(record)
        known = Phone.read(caller) if caller else None
        his = _identities(record.customer, known.region if known else home_region)
        if identity is None or identity in his or _found_by(record, identity):
            reached |= his
    return tuple(sorted(hashed(one) for one in reached))


def _found_by(record: Record, number: str) -> bool:
    return any(step.owns_number and step.value == number for step in record.steps)


def _identities(customer: Customer, region: str | None) -> set[str]:
    phones = (Phone.read(stored, region) for stored in customer.phones)
    email = normal_email(customer.email)
    return {phone.e164 for phone in phones if phone is not None} | ({email} if email else set())

"""Whose data a call holds: the numbers and addresses by which a person can ask to be erased."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from broker.domain.call import Phone
from broker.domain.customer import normal_email
from broker.domain.record import NUMBER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker.domain.customer import Customer
    from broker.domain.record import Record


def hashed(identity: str) -> str:
    """What stands for a person in the store's keys: of an E.164 number or a normal address."""
    return sha256(identity.encode()).hexdigest()[:32]


def caller_of(record: Record) -> str | None:
    """The caller's number in E.164, also of a call that began with its reference."""
    looked_up = next((s.value for s in record.steps if s.name == NUMBER and s.value), None)
    told = record.data.from_
    return looked_up or (told if told and told.startswith("+") else None)


def people_of(record: Record, home_region: str | None) -> tuple[str, ...]:
    """Everybody whose data is in `record`, hashed.

    That is the caller, by number or by what came in its place, and the customer, by address and
    numbers. National spellings are read in the caller's country, else in `home_region`.
    """
    caller = caller_of(record)
    told = (record.data.from_ or "").strip()
    numbers = {n for n in (caller, told) if n and any(char.isdigit() for char in n)}
    known_by: set[str] = set()
    if record.customer is not None:
        known = Phone.read(caller) if caller else None
        known_by = _identities(record.customer, known.region if known else home_region)
    return tuple(sorted(hashed(identity) for identity in numbers | known_by))


def people_behind(
    phone: Phone, customers: Iterable[Customer], home_region: str | None
) -> tuple[str, ...]:
    """Whose data it is that a CRM told of `phone`, hashed: his who calls, and the customers'."""
    region = phone.region or home_region
    known = (_identities(customer, region) for customer in customers)
    return tuple(sorted(hashed(identity) for identity in {phone.e164}.union(*known)))


def _identities(customer: Customer, region: str | None) -> set[str]:
    phones = (Phone.read(stored, region) for stored in customer.phones)
    email = normal_email(customer.email)
    return {phone.e164 for phone in phones if phone is not None} | ({email} if email else set())

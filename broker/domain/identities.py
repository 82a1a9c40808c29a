"""Whom a person is known as on other channels: joined when the handle comes back from there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.domain.call import Phone
from broker.domain.customer import clean, normal_email, one_email
from broker.domain.evolve import evolve
from broker.domain.whatsapp_ids import number_of

if TYPE_CHECKING:
    from broker.domain.record import Record

MOST = 10
"""Of one call: a handle that is passed around must not gather people."""
_WORD = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
_BY_NUMBER = frozenset({"phone", "whatsapp"})


@dataclass(frozen=True)
class Identity:
    """One name of a person on one kind of channel. Build it with `Identity.read`."""

    kind: str
    """`phone`, `whatsapp`, `email`, or the other channel's own word: `telegram`, `messenger`."""
    value: str
    """E.164 for the first two, a normal address for the third; personal data."""

    @classmethod
    def read(cls, kind: str, value: str) -> Identity | None:
        """None if it is none. A WhatsApp id is a number without its plus, or an older one."""
        if _WORD.fullmatch(kind) is None:
            return None
        if kind in _BY_NUMBER:
            number = number_of(value) if kind == "whatsapp" else f"+{value.removeprefix('+')}"
            phone = Phone.read(number)
            return cls(kind, phone.e164) if phone is not None else None
        text = normal_email(one_email(value)) if kind == "email" else clean(value)
        return cls(kind, text) if text is not None else None

    @property
    def person(self) -> str | None:
        """By what he can ask to be erased or opt out; None if by nothing that we could check."""
        return self.value if self.kind in _BY_NUMBER or self.kind == "email" else None


def joined(record: Record, identity: Identity) -> Record:
    """`record` with the person known by `identity` too; a repeat changes nothing.

    From then on an erasure or an opt-out by that number or address finds the call.
    """
    if identity in record.identities or len(record.identities) >= MOST:
        return record
    return evolve(record, identities=(*record.identities, identity))

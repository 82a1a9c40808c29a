"""How long what a CRM said of a number may be told again without asking, field by field."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from broker.domain.customer import Customer

_EMPTY: dict[str, Any] = {
    "email": None,
    "premium": None,
    "track_id": None,
    "phones": (),
    "name": None,
    "language": None,
    "preferred_channel": None,
    "push_tokens": (),
    "tags": (),
    "record_url": None,
    "extra": {},
}
"""Every field that has an age, and what it holds if it has no value. An id has none."""
AGING = frozenset(_EMPTY)
_ROUTING = ("premium", "email", "track_id")
"""What decides the route of who is not premium; there it counts also what he did not have."""


@dataclass(frozen=True, slots=True)
class CacheRules:
    """The operator's `[crm.<name>] cache`, in seconds."""

    found_s: float
    """One customer is told again for so long."""
    not_found_s: float
    """Nobody, and several people."""
    fields: Mapping[str, float] = field(default_factory=dict)
    """Fields that may be older than `found_s`."""

    def oldest(self, name: str) -> float:
        """How old this field may be when it is told."""
        return self.fields.get(name, self.found_s)

    def keep_s(self, customers: tuple[Customer, ...]) -> float:
        """How long this answer is of any use; 0 = not at all."""
        if len(customers) != 1:
            return self.not_found_s
        return max(self.found_s, *self.fields.values()) if self.fields else self.found_s

    def fresh(self, customers: tuple[Customer, ...], age_s: float) -> bool:
        """Whether nobody has to be asked."""
        return age_s < (self.found_s if len(customers) == 1 else self.not_found_s)

    def complete(self, customers: tuple[Customer, ...], age_s: float) -> bool:
        """Whether the answer may be told while it is asked for anew: no field is too old.

        Whoever is not premium may have got a track id since, or an email: that ages as well.
        """
        if len(customers) != 1 or any(self._too_old(customers[0], age_s)):
            return False
        return customers[0].premium is True or all(age_s < self.oldest(f) for f in _ROUTING)

    def rest(self, customers: tuple[Customer, ...], age_s: float) -> tuple[Customer, ...]:
        """What may be told if the CRM cannot be heard: the customer without what is too old.

        Empty unless that tells at least whether he is premium, or his address.
        """
        if len(customers) != 1:
            return ()
        dropped = {name: _EMPTY[name] for name in self._too_old(customers[0], age_s)}
        left = replace(customers[0], **dropped)
        return () if left.premium is None and left.email is None else (left,)

    def _too_old(self, customer: Customer, age_s: float) -> Iterator[str]:
        for name, empty in _EMPTY.items():
            if getattr(customer, name) != empty and age_s >= self.oldest(name):
                yield name

"""Where the call should go. Only advice: the IVR moves the call."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from broker.domain.customer import LookupState

if TYPE_CHECKING:
    from broker.domain.customer import Customer


class Route(StrEnum):
    """The value of `ivr.route`."""

    PREMIUM = "premium"
    SELF_SERVICE = "self_service"
    STANDARD = "standard"
    REFERENCE = "reference"


@dataclass(frozen=True, slots=True)
class Routing:
    """The operator's `[reference]` settings, as far as they steer the call."""

    reference_enabled: bool = True
    tries_per_call: int = 3

    def found(self, customer: Customer) -> Route:
        if customer.premium is True:
            return Route.PREMIUM
        if customer.premium is False and customer.email and customer.track_id:
            return Route.SELF_SERVICE
        return Route.STANDARD

    def number_failed(self, state: LookupState) -> Route:
        """After a number that led to no customer."""
        if state is LookupState.ERROR or not self.reference_enabled:
            return Route.STANDARD
        return Route.REFERENCE

    def reference_failed(self, state: LookupState, tries: int) -> Route:
        """After a reference that led to no customer; `tries` counts this one."""
        if state is LookupState.NOT_FOUND and tries < self.tries_per_call:
            return Route.REFERENCE
        return Route.STANDARD

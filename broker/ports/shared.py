"""What replicas share besides calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.domain.call import Line, Phone
    from broker.domain.customer import Customer
    from broker.domain.references import Limit
    from broker.domain.shadow import Comparison, Difference, Tally


class Counters(ABC):
    """Counts that all replicas share, each with its own end."""

    @abstractmethod
    async def reserve(self, limits: Sequence[Limit]) -> Limit | None:
        """Count one in all of `limits`, or in none: the first that is used up comes back."""

    @abstractmethod
    async def refund(self, limits: Sequence[Limit]) -> None:
        """Take one back in each."""

    @abstractmethod
    async def counted(self, limit: Limit) -> int:
        """How much stands in it now."""

    @abstractmethod
    async def first_use(self, key: str, content: str, ttl_s: float) -> bool:
        """Whether `key` is new or was used with this very `content` before."""

    @abstractmethod
    async def first_said(self, key: str, value: str, ttl_s: float) -> str:
        """What was said first under `key` in the last `ttl_s` seconds: `value`, if nothing was."""


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


@dataclass(frozen=True, slots=True)
class KnownLine:
    """What a number lookup said; None = it did not know."""

    line: Line | None


class LineBook(ABC):
    """What number lookups said of numbers, for all replicas. All raise StoreUnavailableError."""

    @abstractmethod
    async def recall(self, phone: Phone) -> KnownLine | None:
        """What was said, or None if nobody was asked lately."""

    @abstractmethod
    async def keep(self, phone: Phone, line: Line | None, ttl_s: float) -> None: ...

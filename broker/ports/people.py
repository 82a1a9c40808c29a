"""What replicas know of people for longer than a call: opt-outs, consents, earlier calls, numbers.

A person is a hash here: see `broker.domain.people`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from broker.domain.consents import Consent
    from broker.domain.learned import Learned


class OptOuts(ABC):
    """Who wants no messages, on any channel. They outlive an erasure: nothing else stops us.

    All raise StoreUnavailableError. Once `stop` has returned, no message to them is begun any more:
    the mark before each send looks in the same atomic step.
    """

    @abstractmethod
    async def stop(self, people: Sequence[str], at: float) -> None:
        """Nobody of `people`, all hashes of one person, is written to from now on."""

    @abstractmethod
    async def start(self, people: Sequence[str]) -> None:
        """They may be written to again."""

    @abstractmethod
    async def stopped(self, people: Sequence[str]) -> bool:
        """Whether any of `people` wants no messages."""


class Consents(ABC):
    """Who agreed to be written to; written by `Ledger.update`. All raise StoreUnavailableError."""

    @abstractmethod
    async def has(self, person: str, since: float) -> bool:
        """Whether this person agreed at `since` or later."""

    @abstractmethod
    def export(self, since: float = 0.0) -> AsyncIterator[Consent]:
        """Every consent given at `since` or later: all of one person, then of the next."""


class Talks(ABC):
    """Who has written to us lately, on which channel. All raise StoreUnavailableError."""

    @abstractmethod
    async def spoke(self, channel: str, people: Sequence[str], seconds: float) -> None:
        """From now on free words reach `people`, hashes of one person, for so long."""

    @abstractmethod
    async def open_for(self, channel: str, person: str) -> float:
        """For how many seconds free words still reach him there; 0 = they do not."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a person when he calls."""

    first_in_window: bool
    """Whether he did not call within the window before this call."""
    deflected_before: bool
    """Whether an earlier call of his was deflected."""


class History(ABC):
    """Earlier calls of a person."""

    @abstractmethod
    async def note_call(self, person: str, call_id: str, window_s: float) -> Seen:
        """Note this call, which begins the window anew; a repeat for the same call tells the same.

        StoreUnavailableError: nobody knows.
        """


class LearnedNumbers(ABC):
    """Whose reference was typed from a number that no CRM knew. All raise StoreUnavailableError."""

    @abstractmethod
    async def recall(self, person: str) -> Learned | None:
        """What is known of this number; None if nothing is, or different customers use it."""

    @abstractmethod
    async def learn(self, person: str, learned: Learned | None, call_id: str, ttl_s: float) -> bool:
        """Keep it as long as `ttl_s` from now; False if it is not kept.

        None, or another customer than is known: nothing is known of the number any more, nor
        learned for so long. Nothing is kept of a call that was erased, and an erasure of whoever
        that call was about forgets the number.
        """

    @abstractmethod
    async def forget(self, person: str, learned: Learned) -> None:
        """It is not true any more. What somebody else has learned meanwhile stays."""

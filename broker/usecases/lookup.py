"""Ask all CRMs at once under one deadline, and keep listening for who is late."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from broker.domain.call import Phone
from broker.domain.customer import LEARNED, Answer, LookupResult, LookupState, Told, matches
from broker.domain.errors import BrokerError
from broker.ports import set_deadline
from broker.presence import Presence
from broker.timing import time_limit

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from broker.domain.call import Reference
    from broker.domain.customer import Customer, Folding
    from broker.metrics import Metrics
    from broker.ports import Clock, CrmAdapter, Note
    from broker.usecases.cache import CachedCrm
    from broker.usecases.learn import Learner
    from broker.usecases.shadow import Shadows
    from broker.usecases.tiers import UnmappedTiers

STOP_WITHIN_S = 1.0
MAX_CONCURRENCY = 20
"""Lookups of one CRM at the same time, if nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class Crm:
    """One configured system of record."""

    name: str
    adapter: CrmAdapter
    priority: int = 100
    timeout_s: float = 5.0
    turns: asyncio.Semaphore = field(default_factory=partial(asyncio.Semaphore, MAX_CONCURRENCY))
    """One for each lookup that may be under way at the same time, in this process."""
    cache: CachedCrm | None = None


@dataclass(frozen=True, slots=True)
class Lookup:
    """Knows all CRMs. Whatever one of them does becomes a state of its answer."""

    crms: Sequence[Crm]
    folding: Folding
    clock: Clock
    metrics: Metrics
    presence: Presence = field(default_factory=Presence)
    shadows: Shadows | None = None
    tiers: UnmappedTiers | None = None
    learner: Learner | None = None
    """Whom numbers lead to that no CRM knows; None = to nobody."""

    def ask(self, query: Phone | Reference, within: float = math.inf) -> Asking:
        """Start asking; the caller must `stop` the asking it gets.

        `within` seconds are left until the lookup's deadline: an answer that a CRM gave before
        has to do then.
        """
        return Asking(self, query, within)

    def ask_for(self, call_id: str, step: str, query: Phone | Reference, within: float) -> Asking:
        """The same for a step of a call, which the shadows follow, and with what was learned."""
        asking = self.ask(query, within)
        if self.learner is not None and isinstance(query, Phone):
            asking.add_learned(self.learner.who(query, self))
        if self.shadows is not None:
            self.shadows.follow(asking, call_id, step)
        return asking

    async def answer_of(self, crm: Crm, query: Phone | Reference, within: float) -> Answer:
        """What one CRM says within its time, or has said; never raises but for being cancelled."""
        began = self.clock.monotonic()
        ask = partial(self._told, crm, query)
        if crm.cache is not None and isinstance(query, Phone):
            told = await crm.cache.answer(query, ask, within)
        else:
            told = await ask()
        return Answer(
            crm.name,
            told.state,
            told.customers,
            crm.priority,
            round((self.clock.monotonic() - began) * 1000),
            told.reason,
            told.age_s,
        )

    async def _told(self, crm: Crm, query: Phone | Reference) -> Told:
        """What the CRM says now."""
        began = self.clock.monotonic()
        told = await self._asked(crm, query)
        self.metrics.crm_lookup(crm.name, told.state).observe(self.clock.monotonic() - began)
        return told

    async def _asked(self, crm: Crm, query: Phone | Reference) -> Told:
        """Waiting for a turn is part of the CRM's time."""
        set_deadline(crm.timeout_s)
        asked = False
        try:
            with time_limit(crm.timeout_s):
                async with crm.turns:
                    asked = True
                    customers = await _find(crm.adapter, query)
        except TimeoutError:
            if not asked:
                return Told(LookupState.TIMEOUT, reason="crm_busy")
            self.presence.failed(f"crm.{crm.name}", "no answer in time")
            return Told(LookupState.TIMEOUT, reason="crm_timeout")
        except asyncio.CancelledError:
            if _cancelled():
                raise
            return Told(LookupState.ERROR, reason="CancelledError")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code: a CRM must not end a call
            kind = type(error).__name__
            detail = str(error) if isinstance(error, BrokerError) else kind
            self.presence.failed(f"crm.{crm.name}", detail)
            return Told(LookupState.ERROR, reason=kind)
        self.presence.answered(f"crm.{crm.name}")
        self._count_tiers(crm, customers)
        return Told.of(customers)

    def _count_tiers(self, crm: Crm, customers: Sequence[Customer]) -> None:
        for customer in customers:
            if self.tiers is not None and customer.unmapped_tier is not None:
                self.tiers.saw(crm.name, customer.unmapped_tier)


class Asking:
    """All CRMs being asked one thing."""

    def __init__(self, lookup: Lookup, query: Phone | Reference, within: float) -> None:
        self._lookup = lookup
        self._query = query
        self._within = within
        self._tasks = [
            asyncio.create_task(self.answer_of(crm), name=f"ask {crm.name}") for crm in lookup.crms
        ]
        self._learned: asyncio.Task[Answer | None] | None = None
        self._noted: list[Answer] = []

    def add_learned(self, who: Coroutine[None, None, Answer | None]) -> None:
        """One more answer, which counts as soon as all CRMs have said that they know nobody."""
        self._learned = asyncio.create_task(who, name="ask for what was learned")

    async def answer_of(self, crm: Crm) -> Answer:
        """What this CRM says to what is asked here; it need not be one of those that count."""
        return await self._lookup.answer_of(crm, self._query, self._within)

    @property
    def listening(self) -> bool:
        """Whether a customer was found, or may still be by somebody who has not answered."""
        return bool(self._pending()) or self.result().state is LookupState.FOUND

    @property
    def answers(self) -> list[Answer]:
        return [task.result() for task in self._tasks if task.done() and not task.cancelled()]

    def notes(self) -> list[Note]:
        """The answers since the last time, for the call's trace."""
        now = self._lookup.clock.time()
        told = [*self.answers, *self._remembered()]
        new = [answer for answer in told if not any(answer is known for known in self._noted)]
        self._noted = told
        return [{"at": now, "event": "crm_answered", **_fact(answer)} for answer in new]

    def result(self) -> LookupResult:
        """The same, or whom a number leads to that nobody knows, as far as that was learned."""
        for answer in self._remembered():
            return LookupResult(answer.state, answer.customers[0], answer.crm, LEARNED)
        return self.told()

    def told(self) -> LookupResult:
        """What the answers so far mean; who has not answered counts as timed out."""
        return self._lookup.folding.fold(self.answers, asked=len(self._tasks))

    def _remembered(self) -> list[Answer]:
        """What was learned, if that counts now: late it is as if nothing was."""
        if self._learned is None or not self._learned.done() or self._learned.cancelled():
            return []
        answer = self._learned.result()
        counts = answer is not None and self.told().state is LookupState.NOT_FOUND
        return [answer] if answer is not None and counts else []

    def _pending(self) -> list[asyncio.Task[Any]]:
        """Whose answer may still change the result."""
        pending: list[asyncio.Task[Any]] = [task for task in self._tasks if not task.done()]
        if pending or self._learned is None or self._learned.done():
            return pending
        return [self._learned] if self.told().state is LookupState.NOT_FOUND else []

    async def until(self, seconds: float) -> LookupResult:
        """The result once everybody answered, or after `seconds`."""
        ends, left = self._lookup.clock.monotonic() + seconds, seconds
        while pending := self._pending():
            await asyncio.wait(pending, timeout=max(0.0, left))
            left = ends - self._lookup.clock.monotonic()
            if left <= 0:
                break
        return self.result()

    async def hit_until(self, seconds: float) -> LookupResult:
        """The result as soon as one more customer is found, at the latest after `seconds`."""
        ends = self._lookup.clock.monotonic() + seconds
        while self.result().state is not LookupState.FOUND:
            pending = self._pending()
            left = ends - self._lookup.clock.monotonic()
            if not pending or left <= 0:
                break
            await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        return self.result()

    async def stop(self) -> None:
        """Cancel who still works. One that ignores it is left behind, not waited for."""
        asked = self._tasks if self._learned is None else [*self._tasks, self._learned]
        pending = [task for task in asked if not task.done()]
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending, timeout=STOP_WITHIN_S)


async def _find(adapter: CrmAdapter, query: Phone | Reference) -> tuple[Customer, ...]:
    if isinstance(query, Phone):
        return matches(await adapter.find_by_phone(query), query)
    return matches(await adapter.find_by_reference(query))


def _fact(answer: Answer) -> dict[str, Any]:
    """What a call's trace tells of an answer."""
    fact = {
        "crm": answer.crm,
        "lookup": answer.state,
        "ms": answer.ms,
        "reason": answer.reason,
    }
    if answer.age_s is not None:
        fact["cached_s"] = round(answer.age_s, 1)
    return fact


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

"""Answer from what a CRM said before, as far as it is young enough, and ask it anew behind."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from broker.domain.customer import Told
from broker.domain.errors import StoreUnavailableError
from broker.ports import Kept

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from broker.domain.caching import CacheRules
    from broker.domain.call import Phone
    from broker.metrics import Metrics
    from broker.ports import Clock, CustomerCache, Recalled

    Ask = Callable[[], Awaitable[Told]]

ANSWER_BY = 0.9
"""Of the time until the lookup's deadline: then what is kept has to do."""
_STOP_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class _Question:
    """What the CRM is being asked about one number."""

    answer: asyncio.Future[Told]
    task: asyncio.Task[None]
    """Goes on after the answer, until that is kept."""

    async def answered(self, within: float | None = None) -> bool:
        """Whether it is answered in time. Whoever is cancelled here cancels nothing."""
        await asyncio.wait([self.answer], timeout=within)
        return self.answer.done()


class CachedCrm:
    """One CRM behind its cache. Callers of one number share one question in this process.

    A question that was begun is finished, also if nobody waits for its answer any more: the CRM
    has the work already.
    """

    def __init__(
        self, name: str, rules: CacheRules, cache: CustomerCache, clock: Clock, metrics: Metrics
    ) -> None:
        self._name = name
        self._rules = rules
        self._cache = cache
        self._clock = clock
        self._count = metrics.cached
        self._questions: dict[Phone, _Question] = {}

    async def answer(self, phone: Phone, ask: Ask, within: float) -> Told:
        """What the CRM says or has said; `within` seconds are left until the lookup's deadline."""
        answer_by = self._clock.monotonic() + within * ANSWER_BY
        recalled = await self._recalled(phone)
        kept = recalled.kept if recalled is not None else None
        if kept is not None and self._rules.fresh(kept.customers, kept.age_s):
            return self._told(kept, "hit")
        shared = phone in self._questions
        question = self._question(phone, ask, recalled)
        if kept is not None:
            if self._rules.complete(kept.customers, kept.age_s):
                return self._told(kept, "stale")
            if rest := self._rules.rest(kept.customers, kept.age_s):
                left = answer_by - self._clock.monotonic()
                return await self._told_or(question, left, Kept(rest, kept.age_s))
        result = "unavailable" if recalled is None else "shared" if shared else "miss"
        self._count(self._name, result).inc()
        await question.answered()
        return question.answer.result()

    async def aclose(self) -> None:
        """Keep what is answered, and give up the rest. May be called twice."""
        questions = list(self._questions.values())
        for question in questions:
            if not question.answer.done():
                question.task.cancel()
        if questions:
            await asyncio.wait([question.task for question in questions], timeout=_STOP_WITHIN_S)

    async def _recalled(self, phone: Phone) -> Recalled | None:
        try:
            return await self._cache.recall(self._name, phone)
        except StoreUnavailableError:
            return None

    def _told(self, kept: Kept, result: str) -> Told:
        self._count(self._name, result).inc()
        return Told.of(kept.customers, age_s=kept.age_s)

    async def _told_or(self, question: _Question, within: float, rest: Kept) -> Told:
        """What the CRM says within that time, else the `rest` of what it said before."""
        told = question.answer.result() if await question.answered(max(0.0, within)) else None
        if told is not None and told.answered:
            self._count(self._name, "miss").inc()
            return told
        return replace(self._told(rest, "late"), reason=told.reason if told else "crm_late")

    def _question(self, phone: Phone, ask: Ask, recalled: Recalled | None) -> _Question:
        """The one that is under way, or a new one."""
        question = self._questions.get(phone)
        if question is None:
            answer: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
            asking = self._asking(phone, ask, answer, recalled.at if recalled else None)
            task = asyncio.create_task(asking, name=f"ask {self._name} for all")
            question = self._questions[phone] = _Question(answer, task)
        return question

    async def _asking(
        self, phone: Phone, ask: Ask, answer: asyncio.Future[Told], asked_at: float | None
    ) -> None:
        try:
            told = await ask()
            answer.set_result(told)
            if asked_at is not None and told.answered:
                await self._keep(phone, told, asked_at)
        finally:
            del self._questions[phone]
            answer.cancel()  # nothing, if it is there

    async def _keep(self, phone: Phone, told: Told, asked_at: float) -> None:
        if ttl_s := self._rules.keep_s(told.customers):
            with suppress(StoreUnavailableError):
                await self._cache.keep(
                    self._name, phone, told.customers, asked_at=asked_at, ttl_s=ttl_s
                )

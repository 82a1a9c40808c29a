"""Numbers that no CRM knows: remember whose reference was typed from one, and ask for it again."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from broker.domain.customer import LEARNED
from broker.domain.errors import StoreUnavailableError
from broker.domain.learned import lesson_of
from broker.domain.people import hashed

if TYPE_CHECKING:
    from broker.domain.call import Phone, ReferenceFormat
    from broker.domain.customer import Answer
    from broker.domain.learned import Lesson
    from broker.domain.record import Record
    from broker.ports import LearnedNumbers
    from broker.usecases.lookup import Lookup

WAITING = 200
"""More than that are not learned: the store needs such time for calls."""
STOP_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Learner:
    """Learns in tasks of its own, when a call is over. What the store does not take is lost."""

    numbers: LearnedNumbers
    references: ReferenceFormat
    kept_s: float
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    async def who(self, phone: Phone, lookup: Lookup) -> Answer | None:
        """The customer of the reference that was typed from this number; None if nobody knows.

        He is asked for in the CRM that knew him, which may take as long as it always may. What is
        not true any more is forgotten.
        """
        person = hashed(phone.e164)
        try:
            learned = await self.numbers.recall(person)
        except StoreUnavailableError:
            return None
        crm = next((crm for crm in lookup.crms if learned and crm.name == learned.crm), None)
        reference = self.references.parse(learned.reference) if learned else None
        if learned is None or crm is None or reference is None:
            return None
        answer = await lookup.answer_of(crm, reference, crm.timeout_s)
        if (true := learned.still_true(answer, reference)) is False:
            with suppress(StoreUnavailableError):
                await self.numbers.forget(person, learned)
        return replace(answer, reason=LEARNED) if true else None

    def call_over(self, record: Record) -> None:
        """The call has its outcome: learn from it, once."""
        lesson = lesson_of(record)
        if lesson is None or len(self._running) >= WAITING:
            return
        task = asyncio.create_task(self._learn(lesson, record.id), name="learn a number")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _learn(self, lesson: Lesson, call_id: str) -> None:
        with suppress(StoreUnavailableError):
            await self.numbers.learn(hashed(lesson.number), lesson.learned, call_id, self.kept_s)

    async def aclose(self) -> None:
        """Wait a moment for what is being learned."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=STOP_WITHIN_S)
        for task in self._running:
            task.cancel()

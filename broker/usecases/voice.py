"""A call that the broker itself leads through a small menu, one webhook after the other."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from broker.domain.deflection import QUEUE, chose
from broker.domain.evolve import evolve
from broker.domain.voice import (
    ANSWERED,
    UNANSWERED,
    HangUp,
    Script,
    Spot,
    Turn,
    hung_up,
)
from broker.ports import store_answers_within

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.domain.progress import Policy
    from broker.domain.record import Record
    from broker.domain.voice import Menu
    from broker.ports import Clock, Counters
    from broker.usecases.book import Book
    from broker.usecases.deflect import Deflect
    from broker.usecases.finish import Finish
    from broker.usecases.identify import CallStarted, Identify
    from broker.usecases.offer import Offers
    from broker.usecases.watch import Watch

HOLD_S = 8.0
"""How long one webhook waits for a message. Twilio gives it 15 s, a connection included."""
STORE_S = 2.0
"""How long the store may take: the caller hears nothing meanwhile, but nobody refuses him."""
REPEATS_S = 600.0
"""How long it is known that a webhook was answered."""
_TAKEN = {"completed", "answered"}
_OVER = {"completed", "busy", "failed", "no-answer", "canceled"}
_TALKING = "in-progress"


@dataclass(frozen=True, slots=True)
class Voice:
    """Where a caller stands is in his record, so any replica takes any webhook, also twice."""

    book: Book
    identify: Identify
    deflect: Deflect
    finish: Finish
    watch: Watch
    counters: Counters
    clock: Clock
    policy: Policy
    menu: Menu
    lookup_s: float
    """How long a caller waits for the CRMs before he hears anything."""
    offers: Offers | None = None
    """Who decides whether he is offered a channel; without rules everybody is whom one reaches."""

    async def on_ring(self, event: CallStarted) -> Script:
        """The call comes in, for the first time or once more."""
        record = await self.identify.on_call_start(event)
        if record is None:
            return self.menu.to_queue(self.menu.words())
        record = await self._waited(record, _settled, self.lookup_s)
        return self._turn(await self._by_the_rules(record), greets=True)

    async def on_keys(
        self, event: CallStarted, keys: str | None, delivery: str | None = None
    ) -> Script:
        """He pressed `keys`, or nothing in time.

        The same `delivery` again changes nothing: he hears how it stands.
        """
        record = await self.watch.find(event.call_id)
        if record is None:
            return await self.on_ring(event)
        if await self._is_new(delivery):
            record = await self._pressed(event, record, keys)
        record = await self._waited(record, _settled, self.lookup_s)
        if self._spot(record) is Spot.HOLD:
            record = await self._waited(record, self._need_not_hold, HOLD_S)
        return self._turn(await self._by_the_rules(record), typed=keys is not None)

    async def on_dialled(
        self, call_id: str, dialled: str, delivery: str | None = None, *, gone: bool
    ) -> Script:
        """The leg to a person has ended; `gone` says that the caller has hung up."""
        record = await self.watch.find(call_id)
        if dialled in _TAKEN or gone or record is None:
            await self._ended(record, ANSWERED if dialled in _TAKEN else None)
            return Script(self.menu.language, (HangUp(),))
        if record.over is None and await self._is_new(delivery):
            record = await self._unanswered(record)
        if record.over is not None:
            return self.menu.nobody_free(self.menu.words(record, self.policy.deflection))
        return self._turn(record)

    async def _unanswered(self, record: Record) -> Record:
        """Premium callers wait for anybody then; for the others the call is over."""
        other = self.menu.premium_dial != self.menu.queue_dial
        if other and self._spot(record) is Spot.PREMIUM:
            change = partial(chose, choice=QUEUE, rules=self.policy.deflection)
            return await self.book.save(record.id, change)
        return await self._ended(record, UNANSWERED) or record

    async def on_status(self, call_id: str, parent_id: str | None, status: str) -> None:
        """A leg of the call has got so far: the caller's own, or the one to a person."""
        if parent_id is not None and status == _TALKING:
            await self._ended(await self.watch.find(parent_id), ANSWERED)
        elif parent_id is None and status in _OVER:
            await self._ended(await self.watch.find(call_id), None)

    async def _ended(self, record: Record | None, how: str | None) -> Record | None:
        """The call is over for us; the first who says so is believed."""
        if record is None:
            return None
        return await self.finish.on_end(record.id, how or hung_up(record))

    async def _pressed(self, event: CallStarted, record: Record, keys: str | None) -> Record:
        spot = self._spot(record)
        if spot is Spot.REFERENCE:
            known, _ = await self.identify.on_reference(event, keys)
            return known or record
        if spot is Spot.OFFER:
            return (await self.deflect.on_choice(record.id, keys or "", None)).record
        return record

    async def _waited(
        self, record: Record, reached: Callable[[Record], bool], seconds: float
    ) -> Record:
        """The call as soon as `reached`. What the store is asked then has its own time."""
        record = await self.watch.until(record, reached, seconds)
        store_answers_within(STORE_S)
        return record

    async def _by_the_rules(self, record: Record) -> Record:
        """The record with what the rules say now, where the caller could be offered a channel."""
        unasked = evolve(record, offered=None)
        if self.offers is None or record.over is not None or self._spot(unasked) is not Spot.OFFER:
            return record
        asked = self.menu.asked(record)
        return (await self.offers.on_offer(record.id, asked))[0]

    async def _is_new(self, delivery: str | None) -> bool:
        if delivery is None:
            return True
        mine = secrets.token_hex(8)
        return await self.counters.first_said(f"voice:{delivery}", mine, REPEATS_S) == mine

    def _spot(self, record: Record) -> Spot:
        return self.menu.spot(record, self.policy.deflection, self.clock.time())

    def _need_not_hold(self, record: Record) -> bool:
        return self._spot(record) is not Spot.HOLD

    def _turn(self, record: Record, *, greets: bool = False, typed: bool = False) -> Script:
        rules, now = self.policy.deflection, self.clock.time()
        return Turn(self.menu, rules, record, now, greets, typed).script()


def _settled(record: Record) -> bool:
    return all(step.answered for step in record.steps)

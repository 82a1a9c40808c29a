"""Offer a caller a channel, or not: when the call flow asks, and by itself after a lookup."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from broker.domain.deflection import Wish
from broker.domain.errors import StoreUnavailableError, UnknownCallError
from broker.domain.evolve import evolve
from broker.domain.figures import Figures
from broker.domain.offering import Asked, Moment, offer_for, offered

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.domain.offers import Rules
    from broker.domain.progress import Policy
    from broker.domain.record import Offered, Record
    from broker.ports import Clock
    from broker.usecases.book import Book
    from broker.usecases.figures import LiveFigures

    Change = Callable[[Record], Record]

_TOLD = {"min_ewt_seconds": "ewt_seconds", "max_agents_available": "agents_available"}
"""A condition that goes by live figures -> where the call flow may tell them itself."""


@dataclass(frozen=True, slots=True)
class Offers:
    """Asks the rules that are in force."""

    book: Book
    clock: Clock
    policy: Policy
    rules: Callable[[], Rules]
    figures: LiveFigures

    async def on_offer(self, any_id: str, asked: Asked) -> tuple[Record, Offered]:
        """The call, and what its caller is offered now; asked again, it may be something else.

        UnknownCallError; BadInputError `deflection_off`.
        """
        self.policy.deflection.check(Wish(by="check"))
        known = await self.book.ledger.read(any_id)
        if known is None or known.record.standalone:
            raise UnknownCallError("no record of this call")
        record = known.record
        rules = self.rules()
        moment = await self._moment(rules, asked)
        offer = offer_for(record, asked, moment, rules, self.policy.deflection)
        if record.over is not None:
            return record, offer
        note = {
            "at": moment.now,
            "event": "offer_asked",
            "branch": asked.branch,
            "offer": offer.offer,
            "rule": offer.rule,
            "missing": list(moment.figures.missing),
        }
        idle_at = moment.now + self.policy.idle_s
        change = partial(offered, offer=offer, idle_at=idle_at)
        saved = await self.book.save(known, change, notes=[note])
        return saved, offer

    def prepare(self) -> None:
        """A lookup begins: ask for figures meanwhile, if the rules may need them."""
        if self._needs_figures(self.rules(), Asked()):
            self.figures.ask()

    async def after(self, change: Change) -> Change:
        """`change`, which decides a step, and the offer that follows from it; in one write."""
        rules, asked = self.rules(), Asked()
        moment = await self._moment(rules, asked)

        def both(record: Record) -> Record:
            changed = change(record)
            if changed is record or changed.over is not None:
                return changed
            offer = offer_for(changed, asked, moment, rules, self.policy.deflection)
            return evolve(changed, offered=offer)

        return both

    async def _moment(self, rules: Rules, asked: Asked) -> Moment:
        """Nobody waits for what no rule asks for."""
        figures, calls_now = Figures(), None
        if self._needs_figures(rules, asked):
            figures = await self.figures.now()
        if "min_calls_now" in rules.asks_for:
            with suppress(StoreUnavailableError):
                calls_now = await self.book.ledger.live_calls()
        return Moment(self.clock.time(), figures, calls_now)

    @staticmethod
    def _needs_figures(rules: Rules, asked: Asked) -> bool:
        untold = {key for key, told in _TOLD.items() if getattr(asked, told) is None}
        return not rules.asks_for.isdisjoint(untold | {"open"})

"""What people write to us: STOP, START, and answers, found by our own words before the number."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from broker.domain.errors import UnknownCallError
from broker.domain.guards import Guards, conversation_marks
from broker.domain.handles import handles_in
from broker.domain.messages import (
    FREE_FORM_S,
    MessageState,
    handle_alias,
    message_id,
    provider_alias,
    reply_alias,
)
from broker.domain.opt_outs import Keyword
from broker.domain.people import hashed, people_reached
from broker.domain.references import Limit
from broker.domain.sending import answered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.domain.messages import Message
    from broker.domain.opt_outs import OptOutWords
    from broker.domain.record import Record
    from broker.metrics import Metrics
    from broker.ports import Clock, Counters, Inbound, OptOuts, Talks
    from broker.usecases.book import Book

KNOWN_AGAIN_S = 30 * 86_400.0
"""How long a message that somebody wrote is known when it comes again; Meta repeats for a week."""
log = structlog.get_logger("broker.reply")


@dataclass(frozen=True, slots=True)
class Replies:
    """Takes what people write. A message that comes twice is taken once."""

    book: Book
    clock: Clock
    metrics: Metrics
    counters: Counters
    opt_outs: OptOuts
    talks: Talks
    words: OptOutWords
    look_back_s: float = 86_400.0
    """An answer that comes later is nobody's."""
    home_region: str | None = None

    async def on_message(self, channel: str, told: Inbound) -> None:
        """Errors of the store pass: nothing was promised, and a repeat does what is missing."""
        name = hashed(f"{channel}|{told.provider_id}")
        once = Limit(f"inbound:{name}", 1, KNOWN_AGAIN_S)
        if await self.counters.counted(once):
            outcome = "repeated"
        else:
            outcome = await self._taken(channel, told)
            await self.counters.reserve([once])
        self.metrics.inbound.labels(channel, outcome).inc()
        log.info("inbound", channel=channel, outcome=outcome)

    async def _taken(self, channel: str, told: Inbound) -> str:
        found = await self._find(channel, told)
        people = self._people(told, found)
        keyword = told.keyword or self.words.keyword(told.text)
        if keyword is Keyword.STOP:
            await self.opt_outs.stop(people, self.clock.time())
            return "stop"
        himself = self._himself(told, found)
        if keyword is Keyword.START and await self.opt_outs.stopped(himself):
            await self.opt_outs.start(himself)
            return "start"
        # YES is Twilio's word for START; from somebody who never said STOP it is an answer.
        await self._opened(channel, told, found)
        outcome = await self._replied(channel, told, found, people) if found is not None else None
        return "help" if keyword is Keyword.HELP else outcome or "nobody"

    async def _replied(
        self, channel: str, told: Inbound, found: tuple[Record, Message], people: tuple[str, ...]
    ) -> str | None:
        """None for an answer to what is too old, or was never sent."""
        record, message = found
        now = self.clock.time()
        if now - (message.first_at or message.queued_at) > self.look_back_s:
            return None
        change = partial(
            answered, purpose=message.purpose, channel=channel, sender=told.sender, now=now
        )
        ours = message_id(record.id, message.purpose)
        guards = Guards(marks=conversation_marks(people, ours, FREE_FORM_S))
        note = {"at": now, "event": "replied", "channel": channel}
        try:
            saved = await self.book.save(record.id, change, notes=[note], guards=guards)
        except UnknownCallError:
            return None
        after = saved.message(message.purpose)
        return "replied" if after is not None and after.state is MessageState.REPLIED else None

    async def _opened(
        self, channel: str, told: Inbound, found: tuple[Record, Message] | None
    ) -> None:
        """Free words reach whoever wrote, by the name he wrote under and the one we wrote to."""
        names = {told.sender, found[1].to if found is not None else None} - {None}
        people = sorted(hashed(name) for name in names if name is not None)
        await self.talks.spoke(channel, people, FREE_FORM_S)

    def _people(self, told: Inbound, found: tuple[Record, Message] | None) -> tuple[str, ...]:
        """Whoever wrote, by all that is known of him."""
        people = {hashed(told.sender)}
        if found is not None and found[1].to is not None:
            people.update(people_reached(found[0], found[1].to, self.home_region))
        return tuple(sorted(people))

    def _himself(self, told: Inbound, found: tuple[Record, Message] | None) -> tuple[str, ...]:
        """Whoever wrote, by what is surely his: a handle that he sends may be somebody else's."""
        if found is None or not told.sender.startswith("+"):
            return (hashed(told.sender),)
        return people_reached(found[0], told.sender, self.home_region)

    async def _find(self, channel: str, told: Inbound) -> tuple[Record, Message] | None:
        """The message that is answered: the one it names, else the last one to this number."""
        for name in _names(channel, told):
            record = await self.book.ledger.find(name)
            messages = record.messages if record is not None else ()
            message = next((one for one in messages if one.handle is not None), None)
            if record is not None and message is not None:
                return record, message
        return None


def _names(channel: str, told: Inbound) -> Iterator[str]:
    """By what the answered message may be found, the surest first."""
    if told.in_reply_to is not None:
        yield provider_alias(channel, told.in_reply_to)
    yield from map(handle_alias, handles_in(told.text))
    yield reply_alias(channel, told.sender)

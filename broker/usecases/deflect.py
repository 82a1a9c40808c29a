"""Move a caller to a message channel: by the key he pressed, by the flow, or without a call."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from broker.domain.call import Phone, checked_id
from broker.domain.consents import Consent
from broker.domain.deflection import (
    DEFLECT,
    INVALID,
    NO_RECIPIENT,
    TRACK,
    Wish,
    chose,
    deflect,
)
from broker.domain.errors import BadInputError, UnknownCallError
from broker.domain.evolve import evolve
from broker.domain.guards import Guards, Mark, deflected_mark
from broker.domain.messages import DEFLECTION
from broker.domain.people import caller_of, hashed, identity_at
from broker.domain.progress import heard, request_tracking
from broker.domain.record import CallData, Over, Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.domain.call import Numbering
    from broker.domain.messages import Place
    from broker.domain.progress import Policy
    from broker.ports import Clock, Counters, Known
    from broker.usecases.book import Book
    from broker.usecases.number_check import NumberCheck

    Change = Callable[[Record], Record]

HANDLE_BYTES = 18
"""24 characters of URL-safe base64: fit for Telegram's 64 and for a text message."""
REFUSALS = {
    "no_recipient": "there is nobody to send to: name a number that can receive",
    "unknown_channel": "no channel of this name is set up for deflections",
    "unknown_template": "no template of this name is set up",
    "deflection_off": "deflection is switched off: [deflection] names no channels",
}
"""Why there is no deflection: stable code -> sentence."""


class _QueuedMeanwhile(Exception):  # noqa: N818 - no error: the other's consent is kept
    """Somebody else has queued the call's deflection since it was read."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What came of a key."""

    record: Record
    choice: str
    """`deflect`, `stay`, `tracking`, `invalid`, `queue`, `no_recipient`."""


@dataclass(frozen=True, slots=True)
class Deflect:
    """Queues deflections, once per call; every one has its consent."""

    book: Book
    clock: Clock
    counters: Counters
    policy: Policy
    numbering: Numbering
    numbers: NumberCheck
    repeat_window_s: float = 600.0

    async def on_deflect(self, any_id: str, wish: Wish) -> Record:
        """The call with its deflection queued; the same one however often it is wished for.

        UnknownCallError; BadInputError with a code of `REFUSALS`.
        """
        self.policy.deflection.check(wish)
        known = await self._known(any_id)
        record = known.record
        wish = self._readable(wish, record.data.to)
        if record.message(DEFLECTION) is not None:
            return await self.book.vouch(known)
        places = await self._places(record, wish)
        if not places:
            raise BadInputError(REFUSALS[NO_RECIPIENT], code=NO_RECIPIENT)
        return await self._queue(known, wish, places)

    async def on_choice(self, any_id: str, key: str, branch: str | None) -> Chosen:
        """The caller pressed `key`. UnknownCallError; BadInputError `deflection_off`.

        What cannot be done is a choice too, so that the call flow goes on.
        """
        rules = self.policy.deflection
        rules.check(Wish(by="check"))
        known = await self._known(any_id)
        action = rules.action(branch, key) or INVALID
        kind, _, channel = action.partition(":")
        if kind == DEFLECT:
            wish = Wish(by=f"key:{key}", channel=channel or None, branch=branch)
            return await self._choose_channel(known, wish)
        if kind == TRACK:
            now = self.clock.time()
            also: Change = partial(request_tracking, policy=self.policy, now=now)
            return await self._chose(known, kind, also)
        return await self._chose(known, kind)

    async def _choose_channel(self, known: Known, wish: Wish) -> Chosen:
        record = known.record
        places = await self._places(record, wish)
        if record.message(DEFLECTION) is None and not places:
            return await self._chose(known, NO_RECIPIENT)
        saved = await self._queue(known, wish, places, self._pressed(DEFLECT))
        return Chosen(saved, DEFLECT)

    async def _chose(self, known: Known, choice: str, also: Change | None = None) -> Chosen:
        note = {"at": self.clock.time(), "event": "chose", "choice": choice}
        pressed = self._pressed(choice)

        def change(record: Record) -> Record:
            return pressed(also(record) if also is not None else record)

        saved = await self.book.save(known, change, notes=[note])
        return Chosen(saved, saved.choice or choice)

    def _pressed(self, choice: str) -> Change:
        now = self.clock.time()

        def change(known: Record) -> Record:
            return heard(chose(known, choice, self.policy.deflection), self.policy, now)

        return change

    async def without_call(self, client: str, wish: Wish, called: str | None = None) -> Record:
        """A deflection that no call belongs to; the request is the consent.

        `called` is the number it is written from, as far as that says in which language.

        The same content from the same client within the repeat window is the same one.
        BadInputError with a code of `REFUSALS`.
        """
        self.policy.deflection.check(wish)
        wish = self._readable(wish, called)
        now = self.clock.time()
        content = "|".join([client, *map(str, _content(wish)), *([called] if called else [])])
        digest = sha256(content.encode(errors="surrogatepass")).hexdigest()
        record = Record(
            id=await self._same(digest),
            received_at=now,
            idle_at=now,
            data=CallData(from_=wish.to, to=called),
            over=Over.ENDED,
            over_at=now,
            standalone=True,
        )
        places = await self._places(record, wish)
        if not places:
            raise BadInputError(REFUSALS[NO_RECIPIENT], code=NO_RECIPIENT)
        try:
            await self.book.open(record)
        except UnknownCallError:
            # The same wish came before and was erased with the person; this is a new consent.
            record = evolve(record, id=await self._same(f"{digest}|{record.id}"))
            await self.book.open(record)
        return await self._queue(await self._read(record.id), wish, places)

    async def _same(self, content: str) -> str:
        """The id that this content has, or had when it came before within the window."""
        fresh = "d" + secrets.token_hex(15)
        return checked_id(await self.counters.first_said(content, fresh, self.repeat_window_s))

    async def find(self, any_id: str) -> Record | None:
        """The record of a deflection, by its own id."""
        record = await self.book.ledger.find(any_id)
        if record is None or record.message(DEFLECTION) is None:
            return None
        return record

    async def _known(self, any_id: str) -> Known:
        known = await self._read(any_id)
        if known.record.standalone:
            raise UnknownCallError("no record of this call")
        return known

    async def _read(self, any_id: str) -> Known:
        known = await self.book.ledger.read(any_id)
        if known is None:
            raise UnknownCallError("no record of this call")
        return known

    def _readable(self, wish: Wish, called: str | None = None) -> Wish:
        """The wish with its number in E.164. BadInputError `no_recipient` if it is none."""
        if wish.to is None or "@" in wish.to:
            return wish
        phone = self.numbering.parse(wish.to, called)
        if not isinstance(phone, Phone):
            raise BadInputError(REFUSALS[NO_RECIPIENT], code=NO_RECIPIENT)
        return replace(wish, to=phone.e164)

    async def _places(self, record: Record, wish: Wish) -> tuple[Place, ...]:
        """Where the message may go, without numbers that a lookup says no text reaches."""
        rules = self.policy.deflection
        places = rules.places(record, wish)
        numbers = {place.to for place in places if rules.only_mobile(place.channel)}
        refused = {to for to in numbers if await self.numbers.refusal(Phone.from_e164(to))}
        return tuple(
            place
            for place in places
            if place.to not in refused or not rules.only_mobile(place.channel)
        )

    async def _queue(
        self, known: Known, wish: Wish, places: tuple[Place, ...], also: Change | None = None
    ) -> Record:
        """Consent and message are kept in one step: there is never one without the other."""
        now, handle = self.clock.time(), new_handle()
        rules, record = self.policy.deflection, known.record

        def change(newest: Record) -> Record:
            if guards is not None and newest.message(DEFLECTION) is not None:
                raise _QueuedMeanwhile
            newest = also(newest) if also is not None else newest
            moved = deflect(newest, wish, rules, places=places, handle=handle, now=now)
            return heard(moved, self.policy, now) if moved is not newest else newest

        guards = None
        if record.message(DEFLECTION) is None and places:
            guards = Guards(
                marks=deflected_marks(record, places, rules.remember_s),
                consents=(consent(record, wish, places, rules.prompt_version, now),),
            )
        note = self._note(wish, now)
        try:
            return await self.book.save(known, change, notes=[note], guards=guards)
        except _QueuedMeanwhile:
            return await self._queue(await self._read(record.id), wish, places, also)

    @staticmethod
    def _note(wish: Wish, now: float) -> dict[str, object]:
        return {"at": now, "event": "deflection_asked", "by": wish.by, "branch": wish.branch}


def new_handle() -> str:
    """Stands for a message's context on the other channel: nobody guesses it."""
    return secrets.token_urlsafe(HANDLE_BYTES)


def consent(
    record: Record, wish: Wish, places: tuple[Place, ...], prompt_version: str, now: float
) -> Consent:
    """Who consented to what, to be kept with the message that it allows."""
    source, _, detail = wish.by.partition(":")
    told = [one for place in places if (one := identity_at(place.to)) is not None]
    return Consent(
        number=next(iter(told), caller_of(record) or "unknown"),
        at=now,
        source=source,
        channel=places[0].channel,
        call_id=None if record.standalone else record.id,
        key=detail if source == "key" else None,
        prompt_version=prompt_version,
        branch=wish.branch,
    )


def deflected_marks(
    record: Record, places: tuple[Place, ...], remember_s: float
) -> tuple[Mark, ...]:
    """What lets later calls of this person know that he was moved to a channel."""
    numbers = {place.to for place in places if place.to.startswith("+")}
    if (caller := caller_of(record)) is not None:
        numbers.add(caller)
    return tuple(deflected_mark(hashed(n), record.id, remember_s) for n in sorted(numbers))


def _content(wish: Wish) -> tuple[object, ...]:
    return wish.channel, wish.template, wish.branch, wish.to, sorted(wish.context.items())

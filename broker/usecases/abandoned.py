"""Where a caller who gave up may be written to: only where he once asked to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.domain.deflection import deflect
from broker.domain.people import hashed, identity_at
from broker.usecases.deflect import new_handle

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.domain.abandoned import Abandoned
    from broker.domain.deflection import Deflection
    from broker.domain.messages import Place
    from broker.domain.record import Record
    from broker.ports import Clock, Consents


@dataclass(frozen=True, slots=True)
class GaveUp:
    """Looks for consents; whoever has opted out since is left alone when it is sent."""

    rules: Deflection
    about: Abandoned
    consents: Consents
    clock: Clock

    async def and_write(
        self, record: Record, disposition: str | None, ending: Callable[[Record], Record]
    ) -> Callable[[Record], Record]:
        """`ending`, with a message to the caller if he may have one: both in one step."""
        places = await self._places(record, disposition)
        now, handle = self.clock.time(), new_handle()

        def change(known: Record) -> Record:
            if self.about.concerns(known, disposition):
                known = deflect(
                    known, self.about.wish, self.rules, places=places, handle=handle, now=now
                )
            return ending(known)

        return change if places else ending

    async def _places(self, record: Record, disposition: str | None) -> tuple[Place, ...]:
        """The numbers and addresses of this caller that he has agreed to be written to at."""
        if not self.rules.on or not self.about.concerns(record, disposition):
            return ()
        places = self.rules.places(record, self.about.wish)
        since = self.clock.time() - self.about.max_age_s
        people = dict.fromkeys(identity_at(place.to) for place in places)
        agreed = {one for one in people if one and await self.consents.has(hashed(one), since)}
        return tuple(place for place in places if identity_at(place.to) in agreed)

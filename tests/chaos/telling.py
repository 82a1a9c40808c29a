"""The provider of texts tells what became of them: signed, twice, in any order, anywhere."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from broker.domain.twilio_signature import HEADER, twilio_signature
from tests.chaos.history import Undelivered
from tests.chaos.stand_ins import TEXT_TOKEN

if TYPE_CHECKING:
    from tests.chaos.history import Call
    from tests.chaos.stand_ins import Taken
    from tests.chaos.world import World

_SOON_S = 0.05
_AGAIN_S = 0.4


@dataclass(frozen=True, slots=True)
class Teller:
    """Tells of every message whose fate is decided in `StandIns.fates`."""

    world: World

    async def tell(self, call: Call, taken: Taken, fate: str) -> None:
        """Begins before the answer to the message is out, and tells all of it once more later."""
        if fate == "failed":
            self.world.events.append(Undelivered(self.world.now, taken.to, taken.channel))
        states = ["sent", fate]
        self.world.random.shuffle(states)
        for again_s in (_SOON_S, _AGAIN_S):
            await asyncio.sleep(self.world.random.uniform(0, again_s))
            await asyncio.gather(*(self._tell(call, taken, state) for state in states))

    async def _tell(self, call: Call, taken: Taken, state: str) -> None:
        form = urlencode({"MessageSid": taken.sid, "MessageStatus": state})
        signature = twilio_signature(TEXT_TOKEN, taken.callback, parse_qsl(form))
        headers = {
            HEADER: signature,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        url = urlsplit(taken.callback)
        await self.world.tell(
            call, f"{url.path}?{url.query}", form, headers, definite=state == "failed"
        )

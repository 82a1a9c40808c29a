"""A channel in memory, for use-case tests: says what was sent, and fails on demand."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from broker.domain.errors import AnswerLostError, BrokerError, SignatureError, TemporaryError
from broker.ports import Callback, CallbackRead, Channel, Options

if TYPE_CHECKING:
    from broker.ports import Clock, Envelope, Inbound, Receipt

_SIGNED = {"x-fake-signature": "genuine"}


@dataclass(eq=False)
class FakeChannel(Channel):
    """Takes every envelope, and gives ids that follow from its reference, as e-mail does."""

    clock: Clock
    delay_s: float = 0.0
    """How long every answer takes, on `clock`; longer than `within` = a TemporaryError then."""
    keyed: bool = False
    """Whether the provider knows a reference again: it takes every one only once."""
    calls_back: bool = False
    needs_template: bool = False
    attempts: list[Envelope] = field(default_factory=list)
    """Every envelope that was handed over, whatever became of it."""
    taken: list[Envelope] = field(default_factory=list)
    """Those that the provider has; after a lost answer too."""
    _faults: deque[BrokerError | None] = field(default_factory=deque)
    _gate: asyncio.Event | None = None
    _told: dict[bytes, CallbackRead] = field(default_factory=dict)

    options_type = Options

    def fail(self, *faults: BrokerError | None) -> None:
        """The next envelopes fail with these, one each; None = that one is taken.

        `TemporaryError` and `PermanentError`: not taken. `AnswerLostError`: taken all the same.
        """
        self._faults.extend(faults)

    def hold(self) -> None:
        """Envelopes wait until `release`, whatever their deadline is."""
        self._gate = asyncio.Event()

    def release(self) -> None:
        if self._gate is not None:
            self._gate.set()

    async def send(self, envelope: Envelope, *, within: float) -> str:
        self.attempts.append(envelope)
        if self._gate is not None:
            await self._gate.wait()
        await self.clock.sleep(min(self.delay_s, within))
        if self.delay_s > within:
            raise TemporaryError("no answer in time")
        fault = self._faults.popleft() if self._faults else None
        if fault is None or isinstance(fault, AnswerLostError):
            self._take(envelope)
        if fault is not None:
            raise fault
        return f"fake:{envelope.reference}"

    def _take(self, envelope: Envelope) -> None:
        known = any(taken.reference == envelope.reference for taken in self.taken)
        if not (self.keyed and known):
            self.taken.append(envelope)

    def callback(self, *receipts: Receipt, inbound: tuple[Inbound, ...] = ()) -> Callback:
        """What the provider sends to tell these; it may be sent again, as it is."""
        body = b"told %d" % len(self._told)
        self._told[body] = CallbackRead(receipts, inbound, "taken")
        return Callback("POST", "https://broker.example.com", [], _SIGNED, body)

    def read_callback(self, callback: Callback) -> CallbackRead:
        if callback.headers != _SIGNED:
            raise SignatureError("not signed by the fake's provider")
        return self._told[callback.body]

    async def ping(self) -> str:
        return "a channel in memory"

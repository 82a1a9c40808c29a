"""A phone system in memory, for use-case tests: says what was written, and fails on demand."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from broker.domain.errors import (
    AnswerLostError,
    BrokerError,
    CallEndedError,
    SessionNotFoundError,
    TemporaryError,
)
from broker.domain.figures import Figures
from broker.domain.record import Session
from broker.ports import CallPlatform, Options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.domain.call import CallRef
    from broker.domain.hooks import CallReport, ScreenPop
    from broker.ports import Clock, Variable


@dataclass(frozen=True, slots=True)
class Write:
    """One write that arrived, whether or not it had an effect."""

    session_id: str
    variables: Mapping[str, Variable]


@dataclass(eq=False)
class FakePlatform(CallPlatform):
    """Every session exists until `end` says otherwise, unless `known` lists the ones that do.

    `resolves` maps call ids to the session ids that the platform names when it is asked; a call
    that is not in it is guessed.
    """

    clock: Clock
    resolves: dict[str, str] = field(default_factory=dict)
    known: set[str] | None = None
    """Session ids that exist; None = all."""
    delay_s: float = 0.0
    """How long every answer takes, on `clock`; longer than `within` = a TemporaryError then."""
    writes_out: bool = True
    writes: list[Write] = field(default_factory=list)
    sessions: defaultdict[str, dict[str, Variable]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    """What each session holds now."""
    pops_screens: bool = False
    logs_back: bool = False
    tells_figures: bool = False
    now: Figures = field(default_factory=Figures)
    """What it tells."""
    asked_figures: int = 0
    pops: list[ScreenPop] = field(default_factory=list)
    """What agents were shown."""
    reports: list[CallReport] = field(default_factory=list)
    """What its record of calls got."""
    told: int = 0
    """How often it was asked for one of these two."""
    _faults: deque[BrokerError | None] = field(default_factory=deque)
    _hook_faults: deque[Exception] = field(default_factory=deque)
    _figure_faults: deque[Exception] = field(default_factory=deque)
    _ended: set[str] = field(default_factory=set)
    _gate: asyncio.Event | None = None

    options_type = Options

    def fail(self, *faults: BrokerError | None) -> None:
        """The next writes fail with these, one each; None = that one succeeds."""
        self._faults.extend(faults)

    def fail_hooks(self, *faults: Exception) -> None:
        """The next screen pops and outcomes fail with these, one each."""
        self._hook_faults.extend(faults)

    def fail_figures(self, *faults: Exception) -> None:
        """The next questions for figures fail with these, one each."""
        self._figure_faults.extend(faults)

    def end(self, any_id: str) -> None:
        """The call or session of this id is over."""
        self._ended.add(any_id)

    def hold(self) -> None:
        """Writes wait until `release`, whatever their deadline is."""
        self._gate = asyncio.Event()

    def release(self) -> None:
        if self._gate is not None:
            self._gate.set()

    async def find_session(self, call: CallRef, *, within: float) -> Session:
        if call.session_id is not None:
            return Session(call.session_id, "given")
        if call.call_id in self._ended:
            raise CallEndedError("there is no such call")
        named = self.resolves.get(call.call_id)
        if named is None or self.delay_s > within:
            await self.clock.sleep(min(self.delay_s, within))
            return Session(call.call_id, "guessed")
        await self.clock.sleep(self.delay_s)
        return Session(named, "resolved")

    async def write(
        self, session: Session, variables: Mapping[str, Variable], *, within: float
    ) -> None:
        self.writes.append(Write(session.id, dict(variables)))
        if self._gate is not None:
            await self._gate.wait()
        await self.clock.sleep(min(self.delay_s, within))
        if self.delay_s > within:
            raise TemporaryError("no answer in time")
        if self._faults and (fault := self._faults.popleft()) is not None:
            raise fault
        self._check_alive(session)
        self.sessions[session.id].update(variables)

    async def pop_screen(self, pop: ScreenPop, *, within: float) -> None:
        await self._hook(within)
        self.pops.append(pop)

    async def log_back(self, report: CallReport, *, within: float) -> None:
        await self._hook(within)
        self.reports.append(report)

    async def figures(self, *, within: float) -> Figures:
        if not self.tells_figures:
            return await super().figures(within=within)
        self.asked_figures += 1
        await self.clock.sleep(min(self.delay_s, within))
        if self.delay_s > within:
            raise TemporaryError("no answer in time")
        if self._figure_faults:
            raise self._figure_faults.popleft()
        return self.now

    async def _hook(self, within: float) -> None:
        self.told += 1
        await self.clock.sleep(min(self.delay_s, within))
        if self.delay_s > within:
            raise AnswerLostError("no answer in time")
        if self._hook_faults:
            raise self._hook_faults.popleft()

    def _check_alive(self, session: Session) -> None:
        exists = self.known is None or session.id in self.known
        if exists and session.id not in self._ended:
            return
        if session.source == "guessed":
            raise SessionNotFoundError("the guessed session id is not known")
        raise CallEndedError("the session is over")

"""What every driver of a phone system has to promise, as tests to inherit."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from broker.domain.call import CallRef
from broker.domain.errors import (
    AnswerLostError,
    BrokerError,
    CallEndedError,
    PermanentError,
    SessionNotFoundError,
    TemporaryError,
)
from broker.domain.hooks import CallReport, ScreenPop
from broker.domain.record import Session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.ports import CallPlatform, Variable

WITHIN_S = 20.0
"""Ample time, for writes that are expected to succeed."""
TIGHT_S = 0.1
GRACE_S = 5.0
"""What a busy test machine may add to a deadline."""
CALLED = "+493023125000"
"""A called number of nobody."""
CANARY = "canary@example.com"
AGENT = "a0000000000000000000000000000007"
POP = ScreenPop(
    AGENT,
    "c0000000000000000000000000000001",
    "Zoë O'Brien · premium · C-1001",
    {"customer_id": "C-1001", "name": "Zoë O'Brien", "premium": True, "route": "premium"},
)
REPORT = CallReport(
    "c0000000000000000000000000000001", {"outcome": "premium", "lookup": "found", "references": 0}
)


class CallPlatformKit:
    """For every driver. Subclass it as `Test...` and add an async fixture `platform`.

    The fixture returns a driver whose phone system has the live calls `call` and `other`.
    """

    call = CallRef("c0000000000000000000000000000001", "50000000000000000000000000000001")
    other = CallRef("c0000000000000000000000000000002", "50000000000000000000000000000002")

    async def test_a_session_named_by_the_automation_is_taken(self, platform: CallPlatform) -> None:
        session = await platform.find_session(self.call, within=WITHIN_S)
        assert session == Session(str(self.call.session_id), "given")

    async def test_a_call_without_session_id_has_a_session_too(
        self, platform: CallPlatform
    ) -> None:
        session = await platform.find_session(CallRef(self.call.call_id), within=WITHIN_S)
        assert session in {
            Session(str(self.call.session_id), "resolved"),
            Session(self.call.call_id, "guessed"),
        }

    async def test_the_same_write_can_be_repeated(self, platform: CallPlatform) -> None:
        session = await platform.find_session(self.call, within=WITHIN_S)
        for _ in range(2):
            await platform.write(session, {"ivr.lookup": "found"}, within=WITHIN_S)

    async def test_ping_says_in_words_what_was_reached(self, platform: CallPlatform) -> None:
        assert len((await platform.ping()).split()) > 1

    async def test_what_it_does_not_do_it_refuses(self, platform: CallPlatform) -> None:
        """Nobody asks for a screen pop or an outcome unless the driver says it can."""
        if not platform.pops_screens:
            with pytest.raises(PermanentError):
                await platform.pop_screen(POP, within=WITHIN_S)
        if not platform.logs_back:
            with pytest.raises(PermanentError):
                await platform.log_back(REPORT, within=WITHIN_S)
        if not platform.tells_figures:
            with pytest.raises(PermanentError):
                await platform.figures(within=WITHIN_S)

    async def test_it_can_be_closed_twice(self, platform: CallPlatform) -> None:
        await platform.aclose()
        await platform.aclose()


class WritingPlatformKit(CallPlatformKit, ABC):
    """For drivers that write out. The phone system also knows `ended`, whose session is over."""

    ended = CallRef("c0000000000000000000000000000003", "50000000000000000000000000000003")

    @abstractmethod
    async def stored(self, session_id: str) -> Mapping[str, Variable]:
        """What the phone system itself has in this session."""

    @abstractmethod
    async def hang(self) -> None:
        """From now on the phone system takes requests and never answers."""

    @abstractmethod
    async def recover(self) -> None:
        """The phone system answers new requests again."""

    async def test_variables_arrive_in_the_session(self, platform: CallPlatform) -> None:
        variables: Mapping[str, Variable] = {
            "ivr.email": "zoë+1@example.com",
            "ivr.name": 'O\'Brien "Ü" {x} 100% 😀',
            "ivr.premium": True,
            "ivr.lookup_ms": 12,
        }
        await self._write(platform, variables)
        assert await self.stored(str(self.call.session_id)) == variables

    async def test_other_variables_stay(self, platform: CallPlatform) -> None:
        await self._write(platform, {"ivr.lookup": "timeout", "ivr.route": "reference"})
        await self._write(platform, {"ivr.lookup": "found", "ivr.premium": False})
        assert await self.stored(str(self.call.session_id)) == {
            "ivr.lookup": "found",
            "ivr.route": "reference",
            "ivr.premium": False,
        }

    async def test_calls_written_at_the_same_time_are_not_mixed_up(
        self, platform: CallPlatform
    ) -> None:
        await asyncio.gather(
            *(
                self._write(platform, {f"ivr.{n}": call.call_id}, call)
                for n in range(10)
                for call in (self.call, self.other)
            )
        )
        for call in (self.call, self.other):
            stored = await self.stored(str(call.session_id))
            assert stored == {f"ivr.{n}": call.call_id for n in range(10)}

    async def test_a_session_that_is_over_says_so(self, platform: CallPlatform) -> None:
        with pytest.raises(CallEndedError):
            await self._write(platform, {"ivr.lookup": "found"}, self.ended)

    async def test_a_guess_that_is_wrong_says_so(self, platform: CallPlatform) -> None:
        session = Session("60000000000000000000000000000009", "guessed")
        with pytest.raises(SessionNotFoundError):
            await platform.write(session, {"ivr.lookup": "found"}, within=WITHIN_S)

    async def test_a_silent_platform_costs_no_more_than_the_deadline(
        self, platform: CallPlatform
    ) -> None:
        await self.hang()
        began = time.monotonic()
        with pytest.raises(TemporaryError) as caught:
            await self._write(platform, {"ivr.email": CANARY}, within=TIGHT_S)
        assert time.monotonic() - began < TIGHT_S + GRACE_S
        assert CANARY not in str(caught.value)

    async def test_a_silent_platform_does_not_keep_a_call_without_a_session(
        self, platform: CallPlatform
    ) -> None:
        await self.hang()
        began = time.monotonic()
        session = await platform.find_session(CallRef(self.call.call_id), within=TIGHT_S)
        assert session == Session(self.call.call_id, "guessed")
        assert time.monotonic() - began < TIGHT_S + GRACE_S

    async def test_a_write_that_was_cancelled_leaves_the_driver_working(
        self, platform: CallPlatform
    ) -> None:
        await self.hang()
        write = asyncio.create_task(self._write(platform, {"ivr.lookup": "timeout"}))
        await asyncio.sleep(TIGHT_S / 2)
        write.cancel()
        await asyncio.wait({write})
        await self.recover()
        await self._write(platform, {"ivr.lookup": "found"})
        assert (await self.stored(str(self.call.session_id)))["ivr.lookup"] == "found"

    async def _write(
        self,
        platform: CallPlatform,
        variables: Mapping[str, Variable],
        call: CallRef | None = None,
        *,
        within: float = WITHIN_S,
    ) -> None:
        session = Session(str((call or self.call).session_id), "given")
        await platform.write(session, variables, within=within)


class TellingPlatformKit(ABC):
    """For drivers with `pops_screens` and `logs_back`; inherit it beside `WritingPlatformKit`.

    The fixture `platform` has both switched on.
    """

    @abstractmethod
    async def shown(self) -> Sequence[tuple[str, str, Mapping[str, object]]]:
        """Every push that reached the phone system: agent, message, data."""

    @abstractmethod
    async def recorded(self, call_id: str) -> Sequence[Mapping[str, object]]:
        """What the phone system's own record of this call was given."""

    @abstractmethod
    async def hang(self) -> None: ...

    @abstractmethod
    async def recover(self) -> None: ...

    @abstractmethod
    async def lose_answers(self) -> None:
        """From now on what is asked takes effect, and its answer is lost."""

    async def test_it_says_that_it_tells(self, platform: CallPlatform) -> None:
        assert (platform.pops_screens, platform.logs_back) == (True, True)

    async def test_an_agent_is_shown_who_is_calling(self, platform: CallPlatform) -> None:
        await platform.pop_screen(POP, within=WITHIN_S)
        assert await self.shown() == [(AGENT, POP.message, POP.data)]

    async def test_the_record_of_the_call_gets_its_outcome(self, platform: CallPlatform) -> None:
        await platform.log_back(REPORT, within=WITHIN_S)
        assert await self.recorded(REPORT.call_id) == [REPORT.data]

    async def test_an_outcome_of_a_call_that_is_unknown_is_refused(
        self, platform: CallPlatform
    ) -> None:
        with pytest.raises(PermanentError):
            await platform.log_back(replace(REPORT, call_id="c" * 32), within=WITHIN_S)

    async def test_a_lost_answer_is_told_and_nothing_is_sent_twice(
        self, platform: CallPlatform
    ) -> None:
        await self.lose_answers()
        with pytest.raises(AnswerLostError):
            await platform.pop_screen(POP, within=WITHIN_S)
        with pytest.raises(AnswerLostError):
            await platform.log_back(REPORT, within=WITHIN_S)
        assert len(await self.shown()) == 1
        assert len(await self.recorded(REPORT.call_id)) == 1

    async def test_telling_a_silent_platform_costs_no_more_than_the_deadline(
        self, platform: CallPlatform
    ) -> None:
        await self.hang()
        for telling in (platform.pop_screen(POP, within=TIGHT_S), self._log_back(platform)):
            began = time.monotonic()
            with pytest.raises(BrokerError) as caught:
                await telling
            assert time.monotonic() - began < TIGHT_S + GRACE_S
            assert "Zo" not in str(caught.value)

    async def _log_back(self, platform: CallPlatform) -> None:
        await platform.log_back(REPORT, within=TIGHT_S)


class CountingPlatformKit(ABC):
    """For drivers with `tells_figures`; inherit it beside the others.

    The fixture `platform` has them switched on.
    """

    @abstractmethod
    async def stand(self, *, wait_s: float, agents: int, is_open: bool) -> None:
        """From now on the phone system counts this, and its one line is open or not."""

    @abstractmethod
    async def hang(self) -> None: ...

    @abstractmethod
    async def recover(self) -> None: ...

    async def test_it_says_that_it_tells_figures(self, platform: CallPlatform) -> None:
        assert platform.tells_figures

    async def test_figures_are_those_of_now(self, platform: CallPlatform) -> None:
        for wait_s, agents, is_open in ((90.0, 0, True), (0.0, 7, False)):
            await self.stand(wait_s=wait_s, agents=agents, is_open=is_open)
            figures = await platform.figures(within=WITHIN_S)
            assert (figures.ewt_seconds, figures.agents_available) == (wait_s, agents)
            assert figures.is_open(CALLED) is is_open
            assert figures.missing == ()

    async def test_figures_of_a_silent_platform_cost_no_more_than_the_deadline(
        self, platform: CallPlatform
    ) -> None:
        await self.hang()
        began = time.monotonic()
        with pytest.raises(TemporaryError):
            await platform.figures(within=TIGHT_S)
        assert time.monotonic() - began < TIGHT_S + GRACE_S

    async def test_a_question_that_was_cancelled_leaves_the_driver_working(
        self, platform: CallPlatform
    ) -> None:
        await self.stand(wait_s=5.0, agents=1, is_open=True)
        await self.hang()
        question = asyncio.create_task(platform.figures(within=WITHIN_S))
        await asyncio.sleep(TIGHT_S / 2)
        question.cancel()
        await asyncio.wait({question})
        await self.recover()
        assert (await platform.figures(within=WITHIN_S)).agents_available == 1

"""Several questions for one lookup."""

from __future__ import annotations

import asyncio

import pytest

from broker.domain.errors import PermanentError
from broker.http_client import at_once


async def test_the_results_come_in_the_order_of_the_questions() -> None:
    first_may_end = asyncio.Event()

    async def first() -> str:
        await first_may_end.wait()
        return "first"

    async def second() -> str:
        first_may_end.set()
        return "second"

    assert await at_once(first(), second()) == ["first", "second"]


async def test_an_error_ends_the_other_questions_and_is_told_as_it_is() -> None:
    ended: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("waits")

    async def fails() -> None:
        await asyncio.sleep(0)
        raise PermanentError("no")

    with pytest.raises(PermanentError, match="no"):
        await at_once(waits(), fails())
    assert ended == ["waits"]


async def test_cancelling_ends_all_questions() -> None:
    ended: list[int] = []

    async def waits(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    asking = asyncio.ensure_future(at_once(waits(1), waits(2)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert sorted(ended) == [1, 2]

"""A time limit cuts work off when it is over, and mistakes nobody else's cancelling for its own."""

from __future__ import annotations

import asyncio

import pytest

from broker.timing import time_limit

AT_ONCE = 0.0
AMPLE_S = 60.0


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def test_work_is_cut_off_when_the_limit_is_over() -> None:
    with pytest.raises(TimeoutError), time_limit(AT_ONCE):
        await forever()
    await asyncio.sleep(0)  # nothing is left of the cancelling


async def test_work_in_time_is_not_disturbed_afterwards() -> None:
    with time_limit(AT_ONCE):
        pass
    await asyncio.sleep(0)
    with time_limit(None):
        await asyncio.sleep(0)


async def test_error_of_the_work_passes_also_if_the_limit_is_over_meanwhile() -> None:
    async def failing() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            raise LookupError from None

    with pytest.raises(LookupError), time_limit(AT_ONCE):
        await failing()


async def test_only_the_limit_that_is_over_is_told() -> None:
    with pytest.raises(TimeoutError), time_limit(AT_ONCE), time_limit(AMPLE_S):
        await forever()
    with time_limit(AMPLE_S):
        with pytest.raises(TimeoutError), time_limit(AT_ONCE):
            await forever()
        await asyncio.sleep(0)


async def test_who_cancels_the_task_is_not_told_of_a_time_out() -> None:
    async def limited() -> None:
        with time_limit(AMPLE_S):
            await forever()

    task = asyncio.create_task(limited())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelling_beside_the_limit_stays_a_cancelling() -> None:
    async def limited() -> None:
        with time_limit(AT_ONCE):
            try:
                await forever()
            finally:
                task.cancel()  # as somebody does who knows nothing of the limit
                await asyncio.sleep(0)

    task = asyncio.create_task(limited())
    with pytest.raises(asyncio.CancelledError):
        await task

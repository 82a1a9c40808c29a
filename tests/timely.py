"""Time limits that code has to keep, judged on a machine that is late itself now and then."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

from broker.domain.errors import TemporaryError
from broker.ports import set_deadline

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")
TRIES = 10
MOMENT_S = 0.05


async def sometimes(holds: Callable[[], Awaitable[bool]]) -> bool:
    """Whether it holds at least once: for what only a machine that is late can spoil.

    Code that is wrong is so every time; a machine is not late every time.
    """
    for _ in range(TRIES):
        if await holds():
            return True
    return False


async def stopped_from_outside(lookup: Callable[[], Awaitable[object]]) -> bool:
    """Whether the broker's deadline stops a lookup before the adapter's own error of the same time.

    Where the loop is so late that both come at once, either may be first.
    """
    set_deadline(MOMENT_S)
    try:
        async with asyncio.timeout(MOMENT_S):
            await lookup()
    except TimeoutError:
        return True
    except TemporaryError:
        return False
    raise AssertionError("it has ended by itself")


async def timely(work: Callable[[], Awaitable[T]], within_s: float) -> T:
    """What `work` returns, once it took less than `within_s`; see `sometimes`."""
    took = []
    for _ in range(TRIES):
        began = time.monotonic()
        done = await work()
        took.append(time.monotonic() - began)
        if took[-1] < within_s:
            return done
    raise AssertionError(f"{min(took):.3f} s at best, not {within_s} s")

"""One repeat of an idempotent request, if the time allows."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, TypeVar

from broker.domain.errors import TemporaryError
from broker.http_client.client import ReplyLostError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

FIRST_SHARE = 0.6
"""Of the time, for the first attempt: it may be stuck on a connection that died silently, and the
same request on another connection then still saves the call."""
WORTHWHILE_S = 0.02
JITTER_S = 0.1


async def once_more(
    attempt: Callable[[float], Awaitable[T]], within: float, first_share: float = FIRST_SHARE
) -> T:
    """What `attempt` returns, at the first or the second try, in at most `within` seconds.

    `attempt` gets the seconds it may take. It is repeated after a TemporaryError, not before its
    `retry_after`, and only if that leaves time; and not if aiohttp has repeated it already.
    """
    ends_at = time.monotonic() + within
    try:
        return await attempt(within * first_share)
    except TemporaryError as exc:
        if isinstance(exc, ReplyLostError) and exc.repeated:
            raise
        pause = exc.retry_after
        if pause is None:
            pause = random.uniform(0, min(JITTER_S, within / 10))  # noqa: S311 - spreads load
        if ends_at - time.monotonic() - pause < WORTHWHILE_S:
            raise
    await asyncio.sleep(pause)
    return await attempt(ends_at - time.monotonic())

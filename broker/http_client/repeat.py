"""One repeat of an idempotent request, if the time allows."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, TypeVar

from broker.domain.errors import TemporaryError
from broker.http_client.client import ReplyLostError
from broker.http_client.dependency import NotAskedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

FIRST_SHARE = 0.6
"""Of the time, for the first attempt: it may be stuck on a connection that died silently, and the
same request on another connection then still saves the call."""
WORTHWHILE_S = 0.02
JITTER_S = 0.1


async def once_more(
    attempt: Callable[[float], Awaitable[T]],
    within: float,
    first_share: float = FIRST_SHARE,
    may_repeat: Callable[[], bool] = lambda: True,
) -> T:
    """What `attempt` returns, at the first or the second try, in at most `within` seconds.

    `attempt` gets the seconds it may take. It is repeated after a TemporaryError, not before its
    `retry_after`, and only if that leaves time; and not if aiohttp has repeated it already, or if
    `may_repeat` says no (the dependency's retry budget). What was not sent is no try: it waits
    until it can be sent, as long as there is time.
    """
    ends_at = time.monotonic() + within
    repeating = False
    while True:
        left = ends_at - time.monotonic()
        try:
            return await attempt(left if repeating else left * first_share)
        except NotAskedError as exc:
            pause = (exc.retry_after or 0.0) + _jitter(within)
            if ends_at - time.monotonic() - pause < WORTHWHILE_S:
                raise
        except TemporaryError as exc:
            if repeating or (isinstance(exc, ReplyLostError) and exc.repeated):
                raise
            pause = _jitter(within) if exc.retry_after is None else exc.retry_after
            if ends_at - time.monotonic() - pause < WORTHWHILE_S or not may_repeat():
                raise
            repeating = True
        await asyncio.sleep(pause)


def _jitter(within: float) -> float:
    """It spreads load, and is never nothing."""
    return random.uniform(WORTHWHILE_S / 10, min(JITTER_S, within / 10))  # noqa: S311

"""A time limit around a piece of work, for the paths that every call takes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType


class time_limit:  # noqa: N801 - reads like a statement: `with time_limit(2.0):`
    """`asyncio.timeout` for less than half its price; None = no limit.

    Nothing may be rescheduled, and on Python 3.11 it asks once, not three times, which loop runs:
    there each such question is a system call (docs/performance.md).
    """

    __slots__ = ("_cancelling", "_expired", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self._expired = False

    def __enter__(self) -> None:
        if self._seconds is None:
            return
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a time limit needs a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._timer = loop.call_later(max(0.0, self._seconds), self._expire)

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """TimeoutError if the limit, and nobody else, has cancelled the work."""
        if self._timer is None:
            return
        self._timer.cancel()
        if not self._expired:
            return
        ours = self._task.uncancel() <= self._cancelling
        if ours and kind is asyncio.CancelledError:
            raise TimeoutError from error

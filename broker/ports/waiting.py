"""What a task may wait for: the clock, its deadline, and the patience of whoever asks."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_store_patience: ContextVar[float | None] = ContextVar("store_patience", default=None)


def store_answers_within(seconds: float | None) -> None:
    """From now on the current task gives the store `seconds` in all; None = as long as it takes.

    A caller is waiting for whoever sets this. Work that a request starts does not inherit it.
    """
    _store_patience.set(None if seconds is None else time.monotonic() + seconds)


def store_patience(most: float) -> float:
    """Seconds that the next answer of the store is waited for, at most `most`."""
    until = _store_patience.get()
    return most if until is None else max(0.001, min(most, until - time.monotonic()))


@contextmanager
def not_the_store() -> Iterator[None]:
    """The store's time stands still inside: somebody else is waited for."""
    began = time.monotonic()
    try:
        yield
    finally:
        until = _store_patience.get()
        if until is not None:
            _store_patience.set(until + time.monotonic() - began)


_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def set_deadline(seconds: float) -> None:
    """The current task has `seconds` left; whoever it calls can ask with `time_left`."""
    _deadline.set(time.monotonic() + seconds)


def time_left(default: float) -> float:
    """Seconds until the current lookup is cancelled, at least 1 ms; `default` outside of one.

    For what must know its time beforehand, such as a database's statement timeout.
    """
    deadline = _deadline.get()
    return default if deadline is None else max(0.001, deadline - time.monotonic())


class Clock(ABC):
    """Time as the use cases see it."""

    @abstractmethod
    def time(self) -> float:
        """Seconds since the epoch, as the store counts them: the same on every replica."""

    @abstractmethod
    def monotonic(self) -> float:
        """Seconds that never jump; only differences mean something, only in this process."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None: ...

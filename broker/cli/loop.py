"""Runs a command's coroutine on the fastest event loop there is."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """The result of `main`, on uvloop wherever that exists."""
    factory = None
    if sys.platform != "win32":
        import uvloop  # noqa: PLC0415 - only where it exists

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)

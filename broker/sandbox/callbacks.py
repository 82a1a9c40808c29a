"""Callbacks of the sandbox's providers: posted in the background, to whoever asked for them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from aiohttp import web

_WITHIN = aiohttp.ClientTimeout(total=5.0)


@dataclass(frozen=True, slots=True)
class Post:
    """One callback: where to, and what."""

    url: str
    body: bytes
    headers: Mapping[str, str]
    after_s: float = 0.0
    """Wait so long before it."""


@dataclass(slots=True)
class Callbacks:
    """Sends what is due, each series one after the other; nobody waits for it."""

    addresses: dict[str, str] = field(default_factory=dict)
    """Channel -> its callback address, as `PUT /_sandbox/callbacks` set it."""
    _series: set[asyncio.Task[None]] = field(default_factory=set)

    def post(self, series: Iterable[Post]) -> None:
        task = asyncio.create_task(_posted(list(series)))
        self._series.add(task)
        task.add_done_callback(self._series.discard)

    async def context(self, _app: web.Application) -> AsyncIterator[None]:
        """For `cleanup_ctx`: what is under way ends with the application."""
        yield
        for task in self._series:
            task.cancel()
        await asyncio.gather(*self._series, return_exceptions=True)


async def _posted(series: Iterable[Post]) -> None:
    """A receiver that is away misses them: the sandbox does not repeat."""
    async with aiohttp.ClientSession(timeout=_WITHIN) as http:
        for one in series:
            await asyncio.sleep(one.after_s)
            try:
                async with http.post(one.url, data=one.body, headers=one.headers) as answer:
                    await answer.read()
            except (aiohttp.ClientError, TimeoutError):
                return

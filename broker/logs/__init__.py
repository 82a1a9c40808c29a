"""Log lines: JSON on one stream, our own and those of libraries, without personal data."""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson
import structlog

from broker.logs.errors import add_exception
from broker.logs.redaction import Redaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import EventDict

__all__ = ["configure"]

_PER_SECOND = 10
_TEXTS = 1000
"""Texts that are told apart; a library that formats its own text must not fill the memory."""
_LEVELS = (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO)


def configure(
    stream: BinaryIO,
    *,
    hash_key: str | None = None,
    level: int = logging.INFO,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """From now on every log line of this process goes to `stream`, one JSON object each.

    Numbers are masked, or with `hash_key` replaced by a keyed hash, which is the same for the same
    number. Libraries are heard from WARNING on,
    and at most ten times a second with the same text.
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_logger,
            add_exception,
            Redaction(hash_key),
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *names: _Lines(stream, *names),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Libraries(clock)], level=logging.WARNING, force=True)


class _Lines:
    """Takes finished lines. A full disk or a closed pipe never reaches a call."""

    def __init__(self, stream: BinaryIO, name: str = "broker") -> None:
        self._stream = stream
        self.name = name

    def write(self, line: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(line + b"\n")
            self._stream.flush()

    debug = info = warning = error = critical = exception = write


class _Libraries(logging.Handler):
    """Puts the records of the standard `logging` through our own chain.

    Only the unformatted text is kept: what is formatted into it may be what a caller sent. The same
    text is written at most `_PER_SECOND` times a second; the next line says how many were left out.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[str, str], _Seen] = {}

    def emit(self, record: logging.LogRecord) -> None:
        level = next((level for level in _LEVELS if record.levelno >= level), logging.DEBUG)
        event = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        left_out = self._left_out((record.name, event))
        if left_out is None:
            return
        more = {"left_out": left_out} if left_out else {}
        with contextlib.suppress(Exception):  # a library's log call must not fail because of us
            structlog.get_logger(record.name).log(level, event, exc_info=record.exc_info, **more)

    def _left_out(self, text: tuple[str, str]) -> int | None:
        """How many lines like this were left out since the last one; None to leave this one out."""
        now = int(self._clock())
        if len(self._seen) > _TEXTS:
            self._seen.clear()
        seen = self._seen.setdefault(text, _Seen(now))
        if seen.second != now:
            seen.second, seen.written = now, 0
        if seen.written >= _PER_SECOND:
            seen.left_out += 1
            return None
        seen.written += 1
        left_out, seen.left_out = seen.left_out, 0
        return left_out


@dataclass(slots=True)
class _Seen:
    """One text of one library: lines written in this second, and left out since the last one."""

    second: int
    written: int = 0
    left_out: int = 0


def _add_logger(logger: Any, _method: str, event: EventDict) -> EventDict:
    event["logger"] = logger.name
    return event


def _render(_logger: Any, _method: str, event: EventDict) -> bytes:
    return orjson.dumps(event)

"""Log lines: JSON on one stream, our own and those of libraries, without personal data."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson
import structlog
from structlog.contextvars import merge_contextvars

from broker.logs.errors import add_exception
from broker.logs.redaction import Redaction

if TYPE_CHECKING:
    from structlog.typing import EventDict

__all__ = ["configure"]

_LEVELS = (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO)


def configure(stream: BinaryIO, *, hash_key: str | None = None, level: int = logging.INFO) -> None:
    """From now on every log line of this process goes to `stream`, one JSON object each.

    Numbers are masked, or with `hash_key` replaced by a keyed hash, which is the same for the same
    number. Libraries are heard from WARNING on.
    """
    structlog.configure(
        processors=[
            merge_contextvars,
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
    logging.basicConfig(handlers=[_Libraries()], level=logging.WARNING, force=True)


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

    Only the unformatted text is kept: what is formatted into it may be what a caller sent.
    """

    def emit(self, record: logging.LogRecord) -> None:
        level = next((level for level in _LEVELS if record.levelno >= level), logging.DEBUG)
        event = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        with contextlib.suppress(Exception):  # a library's log call must not fail because of us
            structlog.get_logger(record.name).log(level, event, exc_info=record.exc_info)


def _add_logger(logger: Any, _method: str, event: EventDict) -> EventDict:
    event["logger"] = logger.name
    return event


def _render(_logger: Any, _method: str, event: EventDict) -> bytes:
    return orjson.dumps(event)

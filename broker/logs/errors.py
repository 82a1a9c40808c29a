"""Errors in the log: type, places and a harmless text, never the value of a variable."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from broker.logs.redaction import event_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from structlog.typing import EventDict

_HTTP_PARSER = "aiohttp.http_exceptions"


def add_exception(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Replace `exc_info` by a description of the error and of what caused it."""
    event.pop("stack_info", None)
    error = _error_of(event.pop("exc_info", None))
    if error is not None:
        event["exception"] = [described(cause) for cause in _chain(error)]
    return event


def described(error: BaseException) -> dict[str, Any]:
    """What the log says of one error.

    Its text is left out where Python and libraries quote the data that they could not read.
    """
    shown: dict[str, Any] = {"type": type(error).__name__}
    if not _quotes_data(error):
        shown["text"] = event_text(error)
    shown["at"] = list(_places(error.__traceback__))
    if isinstance(error, BaseExceptionGroup):
        shown["errors"] = [described(inner) for inner in error.exceptions]
    return shown


def _quotes_data(error: BaseException) -> bool:
    return isinstance(error, ValueError | LookupError) or type(error).__module__ == _HTTP_PARSER


def _places(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        code = trace.tb_frame.f_code
        module = trace.tb_frame.f_globals.get("__name__", "?")
        yield f"{module}:{trace.tb_lineno} {code.co_name}"
        trace = trace.tb_next


def _error_of(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    elif exc_info is True:
        exc_info = sys.exc_info()[1]
    return exc_info if isinstance(exc_info, BaseException) else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        context = None if cause.__suppress_context__ else cause.__context__
        cause = cause.__cause__ or context

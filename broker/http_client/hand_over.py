"""Sending something once over HTTP: whatever leaves it open whether it was taken is said so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from broker.domain.errors import AnswerLostError
from broker.http_client.client import ReplyLostError, UnusableAnswerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.http_client.client import JsonClient, Reply

UNSURE = frozenset({500, 502, 504})
"""After these nobody knows whether a request had its effect."""


async def handed_over(  # noqa: PLR0913 - the parts of an HTTP request, each named at the call
    client: JsonClient,
    path: str,
    *,
    within: float,
    json: object | None = None,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    accept: frozenset[int] = frozenset(),
    unsure: frozenset[int] = UNSURE,
) -> Reply | None:
    """The reply to one POST, 2xx or in `accept`; None if it was taken but answered with rubbish.

    AnswerLostError: it went out, and no answer came, or one of `unsure`; it may have been taken.
    TemporaryError and PermanentError as of `JsonClient.request`: it was not.
    """
    name = client.name
    request: dict[str, Any] = {"json": json, "form": form, "headers": headers}
    try:
        async with asyncio.timeout(within):
            reply = await client.request("POST", path, accept=accept | unsure, **request)
    except UnusableAnswerError:
        return None
    except TimeoutError:
        raise AnswerLostError(f"{name}: no answer in time") from None
    except ReplyLostError as error:
        raise AnswerLostError(str(error)) from None
    if reply.status in unsure:
        raise AnswerLostError(f"{name}: HTTP {reply.status}")
    return reply

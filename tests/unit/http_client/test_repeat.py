"""An idempotent request is repeated once, if the time allows."""

from __future__ import annotations

import pytest

from broker.domain.errors import BrokerError, CallEndedError, PermanentError, TemporaryError
from broker.http_client import NotAskedError, ReplyLostError, once_more

AT_ONCE = TemporaryError("HTTP 503", retry_after=0.0)


class Attempts:
    """An attempt that fails with the given errors, one each, and then works."""

    def __init__(self, *errors: BrokerError) -> None:
        self._errors = list(errors)
        self.given: list[float] = []

    async def __call__(self, seconds: float) -> str:
        self.given.append(seconds)
        if self._errors:
            raise self._errors.pop(0)
        return "done"


async def test_what_works_at_once_is_not_repeated() -> None:
    attempts = Attempts()
    assert await once_more(attempts, 1.0) == "done"
    assert attempts.given == [pytest.approx(0.6, abs=0.01)]


async def test_a_temporary_failure_is_repeated_with_all_the_time_that_is_left() -> None:
    attempts = Attempts(AT_ONCE)
    assert await once_more(attempts, 1.0) == "done"
    assert len(attempts.given) == 2
    assert 0.9 < attempts.given[1] <= 1.0


async def test_a_second_failure_is_the_answer() -> None:
    attempts = Attempts(AT_ONCE, TemporaryError("HTTP 502"))
    with pytest.raises(TemporaryError, match="502"):
        await once_more(attempts, 1.0)
    assert len(attempts.given) == 2


@pytest.mark.parametrize(
    "error",
    [
        TemporaryError("HTTP 429", retry_after=1.0),
        TemporaryError("HTTP 429", retry_after=86_400.0),
        PermanentError("HTTP 400"),
        CallEndedError("gone"),
        ReplyLostError("reset", repeated=True),
    ],
)
async def test_what_a_repeat_in_time_cannot_mend_is_not_repeated(error: BrokerError) -> None:
    attempts = Attempts(error)
    with pytest.raises(type(error)):
        await once_more(attempts, 1.0)
    assert len(attempts.given) == 1


async def test_a_lost_reply_is_repeated_unless_the_http_library_did_so() -> None:
    attempts = Attempts(ReplyLostError("reset", repeated=False))
    assert await once_more(attempts, 0.2) == "done"


async def test_nothing_is_repeated_once_the_retry_budget_is_used_up() -> None:
    attempts = Attempts(AT_ONCE)
    with pytest.raises(TemporaryError):
        await once_more(attempts, 1.0, may_repeat=lambda: False)
    assert len(attempts.given) == 1


async def test_what_was_not_sent_takes_nothing_from_the_retry_budget() -> None:
    attempts = Attempts(NotAskedError("left alone", 0.0))
    assert await once_more(attempts, 1.0, may_repeat=lambda: False) == "done"


async def test_what_was_not_sent_however_often_still_has_its_repeat() -> None:
    unsent = NotAskedError("left alone", 0.0)
    attempts = Attempts(unsent, unsent, AT_ONCE, unsent, unsent)
    assert await once_more(attempts, 0.5) == "done"
    assert len(attempts.given) == 6


async def test_what_is_never_sent_ends_with_its_time() -> None:
    attempts = Attempts(*[NotAskedError("left alone", 0.01)] * 1000)
    with pytest.raises(NotAskedError):
        await once_more(attempts, 0.1)
    assert len(attempts.given) < 11
    assert min(attempts.given) > 0

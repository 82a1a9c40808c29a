"""The tree of errors: whoever catches BrokerError catches them all."""

from __future__ import annotations

import inspect

import pytest

from broker.domain import errors


def _classes() -> list[type]:
    return [
        thing
        for _, thing in inspect.getmembers(errors, inspect.isclass)
        if thing.__module__ == errors.__name__
    ]


@pytest.mark.parametrize("error", _classes(), ids=lambda error: error.__name__)
def test_every_error_hangs_under_the_root_and_tells_what_to_do(error: type) -> None:
    assert issubclass(error, errors.BrokerError)
    assert error.__doc__, "the first line says what the caller should do next"


def test_retrying_is_never_advised_for_what_can_never_work() -> None:
    hopeless = (errors.PermanentError, errors.BadInputError, errors.ConfigError)
    assert not [error for error in hopeless if issubclass(error, errors.TemporaryError)]


def test_the_operator_sees_all_faults_at_once() -> None:
    error = errors.ConfigError("server.port: missing", "store.url: unknown scheme")

    assert error.faults == ("server.port: missing", "store.url: unknown scheme")
    assert str(error) == "server.port: missing; store.url: unknown scheme"

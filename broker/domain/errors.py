"""Every error of the broker, named by what the caller of a function should do next."""

from __future__ import annotations


class BrokerError(Exception):
    """Root of the tree. `str()` of any of them may be logged: never put caller data into it."""


class BadInputError(BrokerError):
    """The input can never work. Do not retry; `code` is stable and goes to the sender."""

    def __init__(self, message: str, code: str = "invalid_body") -> None:
        super().__init__(message)
        self.code = code


class SignatureError(BrokerError):
    """It does not come from whom it should: a wrong, missing or outdated signature."""


class ConfigError(BrokerError):
    """The operator has to change something. `faults` lists everything that is wrong, at once."""

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class TemporaryError(BrokerError):
    """It did not happen; trying again later may help. `retry_after` is in seconds, if known."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StoreUnavailableError(TemporaryError):
    """The ledger could not be reached in time: nothing was promised."""


class PermanentError(BrokerError):
    """It did not happen and never will in this form. Do not retry."""


class OptedOutError(PermanentError):
    """The recipient does not want messages from us: a rule, not a failure."""


class ForbiddenSendError(BrokerError):
    """A rule forbids this send now; nothing was sent or counted. `reason`: see `Forbidden`."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not sent: {reason}")
        self.reason = reason


class AnswerLostError(BrokerError):
    """It was handed over, but the answer never came: it may or may not have happened."""


class CallEndedError(BrokerError):
    """The call session is gone: nothing can be written to it any more."""


class SessionNotFoundError(PermanentError):
    """The session id was only guessed, and the platform does not know it."""


class FencedError(BrokerError):
    """Another replica has taken this work over: stop, and write nothing."""


class UnknownCallError(BrokerError):
    """The ledger has no record of this call."""


class IdempotencyConflictError(BrokerError):
    """The same explicit idempotency key came with other content."""

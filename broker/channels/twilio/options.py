"""What both of Twilio's channels, and its number lookup, can be told."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, SecretStr, StringConstraints, model_validator

from broker.sdk import Options

Sid = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}[0-9a-fA-F]{32}$")]


class TwilioAccount(Options):
    """Who asks Twilio."""

    account_sid: Sid
    auth_token: SecretStr
    """Of the account, or the secret of `api_key`."""
    api_key: Sid | None = None

    @property
    def login(self) -> tuple[str, str]:
        """User and password of a request."""
        return self.api_key or self.account_sid, self.auth_token.get_secret_value()


class TwilioMessaging(TwilioAccount):
    """How messages are sent, and how Twilio tells what became of them."""

    base_url: str = "https://api.twilio.com"
    messaging_service_sid: Sid | None = None
    callbacks: bool = True
    """Whether receipts and what people write are taken from Twilio."""
    callback_token: SecretStr | None = None
    """What Twilio signs callbacks with, if `auth_token` is not: the account's token, or a shared
    key. Several with white space between while it is changed."""
    validity_s: int | None = Field(None, ge=1, le=36_000)
    """How long Twilio may keep a message in its own queue before it gives it up."""
    timeout_ms: int = Field(15_000, gt=0)

    @property
    def callback_tokens(self) -> tuple[str, ...]:
        """Each of them is good; none if callbacks are not wanted."""
        if not self.callbacks:
            return ()
        own = self.auth_token if self.api_key is None else None
        given = self.callback_token or own
        return tuple(given.get_secret_value().split()) if given is not None else ()

    @model_validator(mode="after")
    def _checkable(self) -> Self:
        """Callbacks that nobody can check are never taken."""
        if self.callbacks and not self.callback_tokens:
            raise ValueError(
                "needs callback_token, or callbacks = false: Twilio signs callbacks with the "
                "account's auth token, not with the secret of an API key"
            )
        return self


def one_sender(sender: str | None, service: str | None) -> None:
    """ValueError unless exactly one of the two says who sends."""
    if (sender is None) is (service is None):
        raise ValueError("needs sender or messaging_service_sid, and only one of them")

"""What an operator may set for push messages, refused before the first one."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from broker.channels.fcm import FcmChannel, FcmOptions
from broker.domain.errors import ConfigError
from broker.http_client import open_session
from broker.sandbox.fcm import service_account
from broker.testing.loopback import LOOPBACK


def options(**changes: Any) -> FcmOptions:
    account = orjson.dumps(service_account("http://127.0.0.1:1")).decode()
    return FcmOptions.model_validate({"service_account": account, **changes})


@pytest.mark.parametrize(
    "change",
    [
        {"type": "authorized_user"},
        {"project_id": "../x"},
        {"project_id": None},
        {"client_email": ""},
        {"private_key": None},
    ],
)
def test_a_key_file_that_lacks_something_stops_the_start(change: dict[str, Any]) -> None:
    account = orjson.dumps({**service_account("http://x"), **change}).decode()
    with pytest.raises(ValidationError, match="whole JSON key file") as caught:
        FcmOptions.model_validate({"service_account": account})
    assert "PRIVATE KEY" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "/run/secrets/key.json"])
def test_what_is_no_key_file_stops_the_start(text: str) -> None:
    with pytest.raises(ValidationError, match="whole JSON key file"):
        FcmOptions.model_validate({"service_account": text})


async def test_a_key_that_cannot_sign_stops_the_start() -> None:
    account = orjson.dumps({**service_account("http://x"), "private_key": "no PEM"}).decode()
    async with open_session(LOOPBACK) as http:
        with pytest.raises(ConfigError, match="RSA"):
            FcmChannel(FcmOptions.model_validate({"service_account": account}), http)


def test_the_key_is_never_shown() -> None:
    assert "PRIVATE KEY" not in repr(options())


@pytest.mark.parametrize("ttl_s", [-1, 2_419_201])
def test_google_keeps_messages_for_28_days_at_most(ttl_s: int) -> None:
    with pytest.raises(ValidationError):
        options(ttl_s=ttl_s)

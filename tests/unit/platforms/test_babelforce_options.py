"""What an operator may set for babelforce."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from broker.platforms.babelforce import BabelforceOptions

PASSWORD = {"username": "agent@example.com", "password": "hunter2"}


def test_with_credentials_alone_the_defaults_are_those_of_the_documentation() -> None:
    options = BabelforceOptions.model_validate({"auth": PASSWORD})
    assert options.base_url == "https://services.babelforce.com"
    assert options.session_key == "auto"
    assert options.bool_encoding == "json"
    assert options.auth.kind == "password"


@pytest.mark.parametrize(
    "auth",
    [
        {"kind": "password", "username": "agent@example.com", "password": SecretStr("hunter2")},
        {"kind": "client_credentials", "client_id": "c", "client_secret": SecretStr("hunter2")},
        {"kind": "token", "token": SecretStr("hunter2")},
        {"kind": "legacy_headers", "access_id": "a", "access_token": SecretStr("hunter2")},
    ],
)
def test_no_secret_is_shown_by_the_options(auth: dict[str, Any]) -> None:
    options = BabelforceOptions.model_validate({"auth": auth})
    assert options.auth.kind == auth["kind"]
    assert "hunter2" not in repr(options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"auth": {"kind": "oauth2", "token": "hunter2"}},
        {"auth": {"kind": "token"}},
        {"auth": {"kind": "token", "token": "hunter2", "username": "hunter2"}},
        {"auth": PASSWORD, "session_key": "hunter2"},
        {"auth": PASSWORD, "bool_encoding": "hunter2"},
        {"auth": PASSWORD, "base_ulr": "hunter2"},
        {"auth": "hunter2"},
    ],
)
def test_a_fault_is_named_without_values(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        BabelforceOptions.model_validate(options)
    assert "hunter2" not in str(caught.value)

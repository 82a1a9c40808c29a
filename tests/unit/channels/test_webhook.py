"""What the webhook channel signs, sends and refuses to send, before any request."""

from __future__ import annotations

import base64

import pytest
from pydantic import ValidationError

from broker.channels.webhook import WebhookOptions, signature

SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()


def test_the_signature_is_that_of_the_published_example() -> None:
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com",
        "https://hooks.example.com/",
        "https://hooks.example.com:8443/in/box/",
        "http://127.0.0.1:8091/webhook/messages",
        "http://[::1]:8091/x",
    ],
)
def test_an_address_may_have_a_port_and_a_path(url: str) -> None:
    assert WebhookOptions.model_validate({"url": url, "secret": SECRET}).url == url


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://hooks.example.com", "hooks.example.com", "https://", "https:///x"),
        *("https://u:p@hooks.example.com", "https://hooks.example.com?a=b", "https://h.example#x"),
        *(
            "https://h.example/a/../b",
            "https://h.example/a//b",
            "https://h.example/%2e",
            "https://:80",
        ),
    ],
)
def test_an_address_that_leads_elsewhere_or_holds_a_login_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        WebhookOptions.model_validate({"url": url, "secret": SECRET})


@pytest.mark.parametrize(
    "secret",
    [
        *("", " ", "k" * 24, "whsec_", "whsec_not base64", "whsec_" + "!" * 40),
        "whsec_" + base64.b64encode(b"k" * 23).decode(),
        "whsec_" + base64.b64encode(b"k" * 65).decode(),
        f"{SECRET} forgotten",
        f"{SECRET} whsec_c2hvcnQ=",
    ],
)
def test_a_secret_that_is_none_is_refused_without_being_repeated(secret: str) -> None:
    with pytest.raises(ValidationError) as caught:
        WebhookOptions.model_validate({"url": "https://h.example", "secret": secret})
    told = str(caught.value)
    assert "must be whsec_" in told
    assert len(secret) < 10 or secret not in told

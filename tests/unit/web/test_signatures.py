"""Signed requests, against the reference implementation of Standard Webhooks."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from broker.web.signatures import TOLERANCE_S, signing_key, verify

OLD, NEW = ("whsec_" + base64.b64encode(bytes([n]) * 24).decode() for n in (1, 2))
NOW = 1_700_000_000
ID = "msg_1"


def headers(secret: str, body: str, *, at: int = NOW, message_id: str = ID) -> dict[str, str]:
    signature = Webhook(secret).sign(message_id, datetime.fromtimestamp(at, UTC), body)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": signature,
    }


def accepted(secrets: list[str], sent: dict[str, str], body: str) -> bool:
    return verify([signing_key(s) for s in secrets], sent, body.encode(), NOW)


def test_vector_of_the_specification_is_accepted() -> None:
    sent = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert verify([key], sent, b'{"test": 2432232314}', 1614265330)


@given(body=st.text(max_size=200))
def test_what_the_reference_implementation_signs_is_accepted(body: str) -> None:
    assert accepted([OLD], headers(OLD, body), body)


@given(body=st.binary(max_size=50), other=st.binary(max_size=50))
def test_another_body_is_refused(body: bytes, other: bytes) -> None:
    one, two = body.hex(), other.hex()
    assert accepted([OLD], headers(OLD, one), two) is (one == two)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-301, False), (-300, True), (0, True), (300, True), (301, False)],
)
def test_clocks_may_differ_by_five_minutes(seconds: int, expected: bool) -> None:
    assert TOLERANCE_S == 300
    assert accepted([OLD], headers(OLD, "{}", at=NOW + seconds), "{}") is expected


def test_several_secrets_and_several_signatures_may_be_valid_at_once() -> None:
    old, new = headers(OLD, "{}"), headers(NEW, "{}")
    both = {**old, "webhook-signature": f"{old['webhook-signature']} {new['webhook-signature']}"}
    assert accepted([NEW], both, "{}")
    assert accepted([OLD, NEW], new, "{}")
    assert not accepted([NEW], old, "{}")


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_2"},
        {"webhook-id": ""},
        {"webhook-id": "ä"},
        {"webhook-timestamp": str(NOW + 1)},
        {"webhook-timestamp": "²"},
        {"webhook-timestamp": f"{NOW}\n"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,ä \udcff"},
    ],
)
def test_whatever_else_is_sent_is_refused(change: dict[str, str]) -> None:
    assert not accepted([OLD], {**headers(OLD, "{}"), **change}, "{}")


def test_signature_of_another_version_is_refused() -> None:
    sent = headers(OLD, "{}")
    sent["webhook-signature"] = sent["webhook-signature"].replace("v1,", "v2,")
    assert not accepted([OLD], sent, "{}")

"""Browsers are told apart as far as links differ on them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.devices import Device

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS {} like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1"
)


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        (IPHONE.format("17_4"), Device.IOS),
        (IPHONE.format("11_3_1"), Device.IOS),
        (IPHONE.format("11_2"), Device.OTHER),
        (IPHONE.format("9_3"), Device.OTHER),
        ("Mozilla/5.0 (iPad; CPU OS 16_0 like Mac OS X) AppleWebKit/605.1.15", Device.IOS),
        (
            "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Mobile Safari/537.36",
            Device.ANDROID,
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Safari/605.1.15",
            Device.MAC,
        ),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101", Device.OTHER),
        ("curl/8.5.0", Device.OTHER),
        ("", Device.OTHER),
    ],
)
def test_the_device_is_read_from_the_user_agent(user_agent: str, device: Device) -> None:
    assert Device.of(user_agent) is device


@given(st.text())
def test_any_text_is_some_device(user_agent: str) -> None:
    assert Device.of(user_agent) in Device

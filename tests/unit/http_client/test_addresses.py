"""Which addresses are internal, and what allows them."""

from __future__ import annotations

import pytest

from broker.http_client import Addresses

INTERNAL = [
    *("127.0.0.1", "127.255.0.1", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255"),
    "0.0.0.0",  # noqa: S104 - somewhere to connect to, not to bind
    *("192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1"),
    *("224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1"),
    *("2001:db8::1", "::ffff:127.0.0.1", "::ffff:a00:1", "::127.0.0.1", "64:ff9b::7f00:1"),
    *("64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1"),
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
]
PUBLIC = [
    *("8.8.8.8", "172.32.0.1", "100.128.0.1", "193.0.6.139", "2606:4700::1111", "2a00:1450::1"),
    *("::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"),
]


@pytest.mark.parametrize("address", INTERNAL)
def test_an_internal_address_is_refused(address: str) -> None:
    assert not Addresses().allow("crm.example.com", address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_fine(address: str) -> None:
    assert Addresses().allow("crm.example.com", address)


@pytest.mark.parametrize(
    ("address", "fine"),
    [("10.1.2.3", True), ("10.2.0.1", False), ("::ffff:10.1.2.3", True), ("fd00::1", False)],
)
def test_a_network_is_allowed_under_every_name(address: str, *, fine: bool) -> None:
    assert Addresses.parse(["10.1.0.0/16"]).allow("any.example.com", address) is fine


@pytest.mark.parametrize(
    ("host", "fine"),
    [
        ("crm.internal", True),
        ("CRM.Internal.", True),
        ("x.crm.internal", False),
        ("crm.internal.example.com", False),
    ],
)
def test_a_host_name_is_allowed_for_itself_only(host: str, *, fine: bool) -> None:
    assert Addresses.parse(["crm.internal"]).allow(host, "10.9.9.9") is fine


@pytest.mark.parametrize(
    "entry",
    ["", "10.0.0.1/8", "10.0.0.0/33", "http://crm", "crm:80", "*.crm", "127.1", "0x7f.1", "10.0.0"],
)
def test_what_is_neither_network_nor_name_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="must be a network"):
        Addresses.parse([entry])

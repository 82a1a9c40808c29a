"""What `store.url` may be, and that a wrong one is told without its password."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.stores.address import check, parse_sentinel

if TYPE_CHECKING:
    from tests.unit.settings.conftest import FaultsOf

CANARY = "c4n4ry"


@pytest.mark.parametrize(
    "url",
    [
        "memory://",
        "redis://store",
        "redis://:pw@store:6379/1",
        "rediss://user:pw@store/0?ssl_ca_certs=/etc/ssl/redis.pem&ssl_certfile=/c&ssl_keyfile=/k",
        "unix:///run/redis.sock",
        "redis+sentinel://s1/mymaster",
        "rediss+sentinel://u:p@s1,s2:26380,[::1]:1/mymaster/2?sentinel_password=x&ssl_ca_path=/c",
    ],
)
def test_address_of_a_known_form_is_taken(url: str) -> None:
    check(url)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (f"http://{CANARY}", "must begin with memory://, redis://, rediss://, unix://"),
        (f"memory://{CANARY}", "must begin with"),
        ("redis://", "must name the Redis server"),
        (f"redis://:{CANARY}@store:port", "must name the server as host or host:port"),
        (f"redis://:{CANARY}@", "must name the server"),
        (f"redis://store/{CANARY}", "must have a number as database"),
        (f"redis://store?socket_timeout={CANARY}", "unknown option after the ?; it may have no"),
        (f"rediss://store?ssl_ca_cert={CANARY}", "it may have ssl_ca_certs"),
        (f"redis://store?ssl_ca_certs={CANARY}", "has ssl_ca_certs, which needs TLS"),
        (f"redis+sentinel://:{CANARY}@s1", "must name the service"),
        (f"redis+sentinel://{CANARY}:99999/shop", "must name its sentinels as host:port"),
        (f"redis+sentinel://s1,,{CANARY}/shop", "must name its sentinels"),
        (f"redis+sentinel://s1/shop/{CANARY}", "must have a number as database"),
        (f"redis://store?sentinel_password={CANARY}", "unknown option"),
    ],
)
def test_wrong_address_is_told_without_what_it_holds(
    url: str, problem: str, faults_of: FaultsOf
) -> None:
    (fault,) = faults_of(store={"url": url})
    assert problem in fault
    assert CANARY not in fault


def test_data_nodes_and_sentinels_have_logins_of_their_own() -> None:
    address = parse_sentinel(
        "rediss+sentinel://us%40er:p%2Fw@s1:1,[2001:db8::1]/my.master/3"
        "?sentinel_username=watch&sentinel_password=s%26t&ssl_ca_certs=%2Fca"
    )
    assert address.members == (("s1", 1), ("2001:db8::1", 26379))
    assert address.service == "my.master"
    assert address.node == "rediss://us%40er:p%2Fw@node/3?ssl_ca_certs=%2Fca"
    assert address.login == {"username": "watch", "password": "s&t"}


def test_password_of_the_data_nodes_is_not_shown_by_a_sentinel_address() -> None:
    assert CANARY not in repr(parse_sentinel(f"redis+sentinel://:{CANARY}@s1/shop"))


def test_durable_needs_a_server(faults_of: FaultsOf) -> None:
    (fault,) = faults_of(store={"profile": "durable"})
    assert fault == "store.profile: is durable, which memory:// cannot be: name a Redis"
    assert faults_of(store={"profile": "durable", "url": "redis://store"}) == []

"""No spelling of an internal address, and no name that leads to one, is ever dialled."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest

from broker.domain.errors import BrokerError
from broker.http_client import Addresses, ForbiddenAddressError, JsonClient, open_session
from broker.testing.scripted_server import ScriptedServer, raw

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HOSTS = [
    # spellings of 127.0.0.1 and its neighbours
    *("127.0.0.1", "127.0.0.1.", "127.1", "127.0.1", "2130706433", "0x7f000001", "017700000001"),
    *(
        "0x7f.0.0.1",
        "0177.0.0.1",
        "0177.0.0.01",
        "127.000.000.001",
        "0x7f.1",
        "127.0x1",
        "00.0.0.0",
    ),
    *("127.0.0.2", "127.127.127.127", "127.255.255.254", "0", "0.0.0.1"),
    "0.0.0.0",  # noqa: S104 - somewhere to connect to, not to bind
    *(
        "1\u200b27.0.0.1",
        "127\u30020\u30020\u30021",
        "\uff11\uff12\uff17.0.0.1",
        "\u2460\u2461\u2466.0.0.1",
    ),
    # IPv6
    *("[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::0001]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
    *("[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[::7f00:1]", "[64:ff9b::127.0.0.1]"),
    *("[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::1%25lo]", "[::1%lo]", "[fe80::1%25lo]"),
    # private, link-local, cloud metadata
    *(
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "[::ffff:169.254.169.254]",
    ),
    *("[fd00:ec2::254]", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.100.100.200", "198.18.0.1"),
    # names
    *("localhost", "LOCALHOST", "localhost.", "foo.localhost", "rebound.example.com"),
    *("127.0.0.1.nip.io", "metadata.google.internal", "rebound.example.com."),
    # what a reader takes for another host
    *(
        "example.com@127.0.0.1",
        "user:pw@127.0.0.1",
        "127.0.0.1#@example.com",
        "127.0.0.1?@example.com",
    ),
    *(
        "example.com\\@127.0.0.1",
        "127.0.0.1\\.example.com",
        "%31%32%37.0.0.1",
        "127.0.0.1%2eexample.com",
    ),
    *("127.0.0.1%00.example.com", " 127.0.0.1", "127.0.0.1\t", "[127.0.0.1]"),
]


class _LoopbackDns(asyncio.DatagramProtocol):
    """A name server for which every name is 127.0.0.1, and has no IPv6 address."""

    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(b"\0", 12) + 5
        question = data[12:end]
        wants_a = question[-4:-2] == b"\0\1"
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1" if wants_a else b""
        counts = b"\0\1" + (b"\0\1" if wants_a else b"\0\0") + b"\0\0\0\0"
        self.transport.sendto(data[:2] + b"\x81\x80" + counts + question + answer, addr)


@asynccontextmanager
async def loopback_dns() -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(_LoopbackDns, ("127.0.0.1", 0))
    try:
        yield "127.0.0.1:{}".format(transport.get_extra_info("sockname")[1])
    finally:
        transport.close()


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


def named(server: ScriptedServer, host: str) -> str:
    return server.url.replace("127.0.0.1", host)


class _Doorbell(asyncio.Protocol):
    """Counts who connects."""

    def __init__(self, rings: list[str]) -> None:
        self._rings = rings

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._rings.append("connected")
        transport.close()


@pytest.mark.parametrize("host", HOSTS)
async def test_no_spelling_reaches_an_internal_address(host: str) -> None:
    rings: list[str] = []
    loop = asyncio.get_running_loop()
    async with (
        await loop.create_server(lambda: _Doorbell(rings), "127.0.0.1", 0) as server,
        loopback_dns() as dns,
        open_session(Addresses(), nameservers=[dns]) as http,
    ):
        url = f"http://{host}:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(BrokerError):
            await JsonClient(http, url, name="crm").request("GET", "/", within=1)
    assert rings == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "rebound.example.com"])
async def test_the_refusal_says_what_to_do_and_nothing_else(
    server: ScriptedServer, host: str
) -> None:
    async with loopback_dns() as dns, open_session(Addresses(), nameservers=[dns]) as http:
        with pytest.raises(ForbiddenAddressError) as caught:
            await JsonClient(http, named(server, host), name="crm").request("GET", "/", within=1)
    assert str(caught.value) == "crm: the address is not allowed by outbound.allow_internal"


async def test_a_name_that_is_allowed_lets_no_other_name_in(server: ScriptedServer) -> None:
    allowed = Addresses.parse(["crm.internal"])
    async with loopback_dns() as dns, open_session(allowed, nameservers=[dns]) as http:
        inside = JsonClient(http, named(server, "crm.internal"), name="crm")
        await inside.request("GET", "/", within=1)
        other = JsonClient(http, named(server, "other.internal"), name="crm")
        with pytest.raises(ForbiddenAddressError):
            await other.request("GET", "/", within=1)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_leads_nowhere(server: ScriptedServer, status: int) -> None:
    async with ScriptedServer() as internal:
        server.script.append(raw(status=status, headers={"Location": internal.url}))
        async with open_session(Addresses.parse(["127.0.0.1"])) as http:
            with pytest.raises(BrokerError):
                await JsonClient(http, server.url, name="crm").request("GET", "/", within=1)
        assert internal.asked == []

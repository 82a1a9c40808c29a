"""Where outbound connections may lead: checked against the address itself, when it is dialled."""

from __future__ import annotations

import ipaddress
import re
import socket
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import AddrInfoType, Connection
    from aiohttp.tracing import Trace

    from broker.http_client.dependency import Dependency

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", re.ASCII)
_ONLY_NUMBERS = re.compile(r"[0-9a-fx.]*[0-9.]", re.ASCII)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_HOST: ContextVar[str] = ContextVar("host")
"""Of the request for which a connection is being made."""


class RefusedAddressError(OSError):
    """The address is an internal one that nobody allowed. Nothing was sent there."""

    def __init__(self) -> None:
        super().__init__("not allowed by outbound.allow_internal")


@dataclass(frozen=True, slots=True)
class Addresses:
    """All public addresses, and of the internal ones those in `networks` or behind `names`.

    Internal is what the internet does not route: loopback, private, link-local (cloud metadata),
    carrier-grade NAT, multicast, reserved; also if an IPv6 address only wraps such an address.
    """

    networks: tuple[Network, ...] = ()
    names: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Self:
        """From networks (`10.1.0.0/16`), addresses and host names; ValueError if one is neither."""
        networks: list[Network] = []
        names: set[str] = set()
        for entry in entries:
            network = _network(entry)
            if network is not None:
                networks.append(network)
            else:
                names.add(_name(entry))
        return cls(tuple(networks), frozenset(names))

    def allow(self, host: str, address: str) -> bool:
        """Whether a request to `host` may be sent to `address`, which `host` stands for now."""
        forms = _forms(ipaddress.ip_address(address))
        return (
            not any(_is_internal(form) for form in forms)
            or host.lower().rstrip(".") in self.names
            or any(form in network for form in forms for network in self.networks)
        )


class Connector(aiohttp.TCPConnector):
    """Dials only what `addresses` allow. What a name stands for is checked, not the name."""

    def __init__(self, addresses: Addresses, dependency: Dependency, **options: Any) -> None:
        super().__init__(socket_factory=self._socket, **options)
        self.dependency = dependency
        """Whom all its connections are for."""
        self._addresses = addresses

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> Connection:
        _HOST.set(req.url.host or "")
        return await super().connect(req, traces, timeout)

    def _socket(self, info: AddrInfoType) -> socket.socket:
        """RefusedAddressError for an address that is not allowed: it is never dialled then."""
        family, kind, protocol, _, address = info
        if not self._addresses.allow(_HOST.get(), str(address[0])):
            raise RefusedAddressError
        return socket.socket(family, kind, protocol)


def _network(entry: str) -> Network | None:
    """None if it is no network. ValueError if it nearly is one."""
    try:
        return ipaddress.ip_network(entry)
    except ValueError:
        if "/" in entry or ":" in entry:
            raise ValueError("must be a network (10.1.0.0/16), an address or a host name") from None
        return None


def _name(entry: str) -> str:
    name = entry.lower().rstrip(".")
    if _NAME.fullmatch(name) is None or _ONLY_NUMBERS.fullmatch(name) is not None:
        raise ValueError("must be a network (10.1.0.0/16), an address or a host name")
    return name


def _forms(address: Address) -> tuple[Address, ...]:
    """`address`, or the IPv4 address that it wraps; both for what tunnels to its own network."""
    if isinstance(address, ipaddress.IPv4Address):
        return (address,)
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address in _NAT64:
        return (ipaddress.IPv4Address(int(address) & 0xFFFFFFFF),)
    if address.sixtofour is not None:
        return (address.sixtofour,)  # Pythons differ in whether the prefix itself is global
    if address.teredo is not None:
        return (address, *address.teredo)
    return (address,)


def _is_internal(address: Address) -> bool:
    return (
        not address.is_global
        or address.is_multicast
        or address.is_reserved
        or (isinstance(address, ipaddress.IPv6Address) and address.is_site_local)
    )

"""Where the store is: the forms that `store.url` may have. Reads text only, opens nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

MEMORY = "memory://"
SENTINEL_PORT = 26379
_SENTINEL = "+sentinel"
_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
_NEEDS_SCHEME = f"must begin with {MEMORY}, " + ", ".join(f"{s}://" for s in _SCHEMES)
_TLS = frozenset(
    {
        "ssl_ca_certs",
        "ssl_ca_path",
        "ssl_certfile",
        "ssl_keyfile",
        "ssl_password",
        "ssl_check_hostname",
        "ssl_ciphers",
    }
)
_LOGIN = frozenset({"sentinel_username", "sentinel_password"})
_DATABASE = re.compile(r"[0-9]{1,5}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}", re.ASCII)
_MEMBER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+)(?::([0-9]{1,5}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """`redis[s]+sentinel://[user:password@]host[:port],.../service[/db][?options]`."""

    members: tuple[tuple[str, int], ...]
    service: str
    node: str = field(repr=False)
    """How a data node is reached, as a redis:// or rediss:// URL; its host means nothing."""
    login: Mapping[str, str] = field(default_factory=dict, repr=False)
    """`username` and `password` for the sentinels themselves; they do not get the data nodes'."""


def is_sentinel(url: str) -> bool:
    return url.partition("://")[0].endswith(_SENTINEL)


def check(url: str) -> None:
    """ValueError, without a value of the address in it, if the store could not be opened."""
    scheme, found, rest = url.partition("://")
    if url == MEMORY:
        return
    if not found or scheme not in _SCHEMES:
        raise ValueError(_NEEDS_SCHEME)
    if not rest:
        raise ValueError("must name the Redis server")
    if is_sentinel(url):
        parse_sentinel(url)
        return
    _check_options(url, tls=scheme == "rediss", sentinel=False)
    if scheme != "unix":
        _check_server(url)


def parse_sentinel(url: str) -> SentinelAddress:
    """ValueError, without a value of the address in it, if it cannot be read."""
    scheme = url.partition("://")[0].removesuffix(_SENTINEL)
    options = _check_options(url, tls=scheme == "rediss", sentinel=True)
    authority, _, path = url.partition("://")[2].partition("?")[0].partition("/")
    login, _, members = authority.rpartition("@")
    service, _, database = path.partition("/")
    if _NAME.fullmatch(unquote(service)) is None:
        raise ValueError("must name the service after the sentinels: .../mymaster")
    if database and _DATABASE.fullmatch(database) is None:
        raise ValueError("must have a number as database after the service")
    for_nodes = {name: text for name, text in options.items() if name in _TLS}
    query = f"?{urlencode(for_nodes, quote_via=quote)}" if for_nodes else ""
    return SentinelAddress(
        tuple(_member(member) for member in members.split(",")),
        unquote(service),
        f"{scheme}://{login + '@' if login else ''}node/{database or 0}{query}",
        {name.removeprefix("sentinel_"): options[name] for name in _LOGIN & options.keys()},
    )


def _member(text: str) -> tuple[str, int]:
    found = _MEMBER.fullmatch(text)
    port = int(found[2] or SENTINEL_PORT) if found else 0
    if found is None or not 0 < port < 65536:  # noqa: PLR2004 - of TCP
        raise ValueError("must name its sentinels as host:port,host:port")
    return found[1].strip("[]"), port


def _check_options(url: str, *, tls: bool, sentinel: bool) -> dict[str, str]:
    """What follows the `?`. Time limits are not the address' business: they follow the lease."""
    options = dict(parse_qsl(url.partition("?")[2], keep_blank_values=True))
    known = (_TLS if tls else frozenset()) | (_LOGIN if sentinel else frozenset())
    for name in options:
        if name in known:
            continue
        if name in _TLS:
            raise ValueError(f"has {name}, which needs TLS: begin with rediss")
        wanted = ", ".join(sorted(known)) or "no option"
        raise ValueError(f"has an unknown option after the ?; it may have {wanted}")
    return options


def _check_server(url: str) -> None:
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        named = False
    if not named:
        raise ValueError("must name the server as host or host:port") from None
    database = parts.path.strip("/")
    if database and _DATABASE.fullmatch(database) is None:
        raise ValueError("must have a number as database after the host")
